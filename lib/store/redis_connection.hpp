#pragma once

#include "net/context.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "store/redis.hpp"
#include "store/resp.hpp"

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace skywire::store {

/// What went wrong with a command or the connection: the `reason` of store_redis_errors_total.
enum class RedisFailure { connect, refused, timeout, lost, protocol, reply, limit };

std::string_view to_string(RedisFailure failure) noexcept;

/// What an error reply means to us: an Error with the code to branch on. The text of the server is
/// quoted, `password` is cut out of it.
Error error_of_reply(std::string_view text, std::string_view password);

/// Dials, then AUTH, SELECT and PING in one round trip, all within connect_timeout.
Task<Result<std::unique_ptr<net::Stream>>> connect_redis(
    net::Context context, RedisOptions options
);

/// One pipelined connection, made again when it breaks. Commands of all callers are joined in one
/// write while the one before is under way; replies are given out in the order of the commands.
///
/// Until the first attempt to connect has ended, calls wait for it; later, while there is no
/// connection, they fail at once. Used on one event loop; close it before it dies.
class RedisConnection {
 public:
    RedisConnection(const net::Context& context, RedisOptions options);
    RedisConnection(const RedisConnection&) = delete;
    RedisConnection& operator=(const RedisConnection&) = delete;

    /// Sends `commands`, which has `replies` replies (1 to 65535); the last of them, or the first
    /// error among them. Cancelled: errc::cancelled; the command may have happened.
    Task<Result<Reply>> call(std::string commands, std::size_t replies);

    /// Waits for what is under way, then ends. Errors: errc::timed_out with the names of what is
    /// late.
    Task<Result<>> close(SteadyTime deadline);

 private:
    enum class State { first_attempt, up, down, closed };
    struct Command;
    struct Link;

    Task<> run();
    Task<> serve(std::unique_ptr<net::Stream> stream);
    Task<> write_loop(std::shared_ptr<Link> link);
    Task<> read_loop(std::shared_ptr<Link> link);
    Task<> deadline_loop(std::shared_ptr<Link> link);
    Result<> take_replies(Link& link);
    void take_reply(Reply reply);
    void end(Link& link, RedisFailure failure, const Error& why);
    void lost(RedisFailure failure, const Error& why);
    void fail_all(const Error& error);
    Duration backoff(unsigned failures);
    Error unavailable(const Error& why) const;
    void count(RedisFailure failure);

    net::Context context_;
    RedisOptions options_;
    State state_ = State::first_attempt;
    bool closing_ = false;
    Error last_error_;
    /// Sent or waiting to be sent, in the order of their bytes.
    std::deque<std::shared_ptr<Command>> commands_;
    std::string outgoing_;
    net::Event to_write_;
    net::Event ended_;
    net::Timer deadline_timer_;
    net::Timer backoff_timer_;
    net::Timer drain_timer_;
    Counter& sent_;
    Counter& reconnects_;
    Gauge& pending_;
    net::Scope scope_;
};

}  // namespace skywire::store
