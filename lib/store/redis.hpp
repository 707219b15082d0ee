#pragma once

#include "net/address.hpp"
#include "net/context.hpp"
#include "store/store.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace skywire::store {

/// A Redis URL: redis://[user:password@]host[:port][/db], unix://[user:password@]PATH[?db=N]. Other
/// text gets redis:// in front, as the reference does. User and password may be escaped (%40).
///
/// Refused with errc::unsupported, since hiredis 0.14 or this module has none of it: rediss://
/// (TLS), RESP3, Sentinel, Cluster. Errors never repeat the text: a piece of the password may be in
/// it.
struct RedisUrl {
    net::Address address;
    unsigned database = 0;
    /// Never printed. REDIS_PASSWORD of the environment is the caller's to put here.
    std::string password;
    std::string user;

    static Result<RedisUrl> parse(std::string_view text);
    /// Without user and password: for logs and health.
    std::string to_string() const;
};

struct RedisOptions {
    RedisUrl url;
    std::chrono::milliseconds connect_timeout{2'000};
    std::chrono::milliseconds command_timeout{2'000};
    std::chrono::milliseconds reconnect_min{100};
    std::chrono::milliseconds reconnect_max{5'000};
    /// Commands under way and waiting; more answer errc::limit_reached.
    std::size_t pending_max = 10'000;
    /// Bytes of commands that wait to be sent; more answer errc::limit_reached.
    std::size_t outgoing_bytes_max = 64U << 20U;
    /// A larger reply is not read: the connection is made again.
    std::size_t reply_bytes_max = 64U << 20U;
};

/// A Store in Redis over one pipelined connection on context.loop: concurrent commands share round
/// trips. Connects and reconnects by itself, with backoff. Calls made before the first attempt has
/// ended wait for it; later, while there is no connection, calls fail at once with
/// errc::unavailable. A command that was sent when the connection broke is not sent again.
///
/// A batch with expectations is one Lua script, one without is MULTI/EXEC: one round trip each.
/// Other clients see all of a batch or nothing. MULTI/EXEC does not undo: where a set operation
/// meets a key that holds a value (errc::malformed), the other changes of that batch have happened.
///
/// Errors beside those of every Store: errc::forbidden (password, ACL), errc::unsupported (the
/// server is part of a cluster). Close it before it dies. The fault point "store" (subject: the
/// address) fails its calls. Counts store_redis_commands_total, store_redis_errors_total{reason},
/// store_redis_reconnects_total and store_redis_pending.
std::unique_ptr<Store> make_redis_store(const net::Context& context, RedisOptions options);

/// Connects, authenticates, selects the database, PINGs and disconnects: whether Redis is there.
Task<Result<>> probe_redis(net::Context context, RedisOptions options);

}  // namespace skywire::store
