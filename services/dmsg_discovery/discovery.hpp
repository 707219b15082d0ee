#pragma once

#include "crypto/keys.hpp"
#include "dmsg/entry_rules.hpp"
#include "net/context.hpp"
#include "store/store.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// Who is reachable on dmsg, and through which servers: the rules of spec/dmsg.md sections 11 and
/// 12 and the store layout of section 13. HTTP is in routes.cpp.
namespace skywire::discovery {

/// What a POST did.
enum class Written {
    /// Nothing was stored for the key.
    first,
    /// An older entry was replaced.
    again,
};

/// How entries are judged.
struct Rules {
    /// Loopback addresses of servers are allowed.
    bool testing = false;
    /// No signature, timestamp and sequence checks.
    bool load_testing = false;
    /// Life of a client's entry; zero: until it is deleted.
    Duration client_lifetime{0};
    std::string auth_passphrase;
    std::set<crypto::PublicKey> official_servers;
};

inline constexpr std::chrono::seconds kServerLifetime{120};
/// Of a client's entry posted with ?timeout=true.
inline constexpr std::chrono::seconds kShortLifetime{180};
inline constexpr std::size_t kAvailableServersMax = 512;
/// Times a write is tried again when another one of the same key came between.
inline constexpr int kWriteAttemptsMax = 8;

/// Server key to the keys of the clients that say they are reachable there.
using ClientsByServer = std::map<std::string, std::vector<std::string>, std::less<>>;

/// Entries in a store, which other replicas may write too: the sequence rule holds between them,
/// since a write happens only where the entry that was judged is still there.
///
/// Used on the store's event loop. An entry is refused with a dmsg::errc; all other errors are the
/// store's (errc::unavailable, limit_reached, closed).
class Discovery {
 public:
    /// `store` outlives the discovery.
    Discovery(const net::Context& context, store::Store& store, Rules rules);

    /// Told of each key whose entry was written or removed here.
    using OnWritten = std::function<void(const std::string& key)>;
    void on_written(OnWritten callback) { on_written_ = std::move(callback); }

    /// Judges and stores an entry. `short_lived` is ?timeout=true. Also errc::limit_reached: others
    /// kept writing the same key.
    Task<Result<Written>> post(std::string body, bool short_lived);

    /// Judges a signed entry, without the sequence rule, and removes what is stored for its key.
    Task<Result<>> erase(std::string body);

    /// The stored text for a key's 66 lower-case digits.
    Task<Result<std::optional<std::string>>> entry(std::string key);

    Task<Result<std::vector<std::string>>> clients();
    Task<Result<std::vector<std::string>>> visors();

    /// Texts of the entries of at most kAvailableServersMax random servers with free sessions, the
    /// one with the most first.
    Task<Result<std::vector<std::string>>> available_servers();
    Task<Result<std::vector<std::string>>> all_servers();

    /// The texts of those entries that are there, by key.
    Task<Result<std::map<std::string, std::string>>> entries(std::vector<std::string> keys);

    /// Who is reachable through which server, from what was read at most `age_max` ago.
    Task<Result<std::shared_ptr<const ClientsByServer>>> clients_by_server(Duration age_max);

    /// Removes entries without asking their owners.
    Task<Result<>> deregister(std::vector<std::string> keys);

    struct Counts {
        std::size_t servers = 0;
        std::size_t clients = 0;
    };
    /// Takes keys whose entry has expired off the sets; how many are left.
    Task<Result<Counts>> sweep();

 private:
    dmsg::EntryRules entry_rules(bool test_mode) const;
    Task<Result<std::vector<std::string>>> texts_of(std::vector<std::string> keys);

    net::Context context_;
    store::Store& store_;
    Rules rules_;
    OnWritten on_written_;
    std::shared_ptr<const ClientsByServer> clients_by_server_;
    SteadyTime clients_by_server_read_{};
};

}  // namespace skywire::discovery
