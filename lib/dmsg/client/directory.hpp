#pragma once

#include "crypto/keys.hpp"
#include "dmsg/client/client_counters.hpp"
#include "dmsg/discovery_client.hpp"
#include "dmsg/entry.hpp"
#include "net/context.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"

#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace skywire::dmsg::detail {

/// What a client knows of others: servers configured and listed, entries looked up and kept for a
/// while. Configured servers come first: a look-up of theirs may need the very session that is to
/// be made.
class Directory {
 public:
    Directory(
        const net::Context& context,
        std::vector<Entry> configured,
        DiscoveryClient& discovery,
        ClientCounters& counters
    );
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;

    const std::vector<Entry>& configured() const noexcept { return configured_; }
    void set_listed(std::vector<Entry> servers) { listed_ = std::move(servers); }
    const std::vector<Entry>& listed() const noexcept { return listed_; }

    struct Answer {
        Entry entry;
        /// Not asked just now.
        bool kept = false;
    };
    /// A key's entry. One question at a time for each key, however many ask; cancelled: it goes on.
    /// Where the discovery does not answer, an older answer serves. The discovery's errors.
    Task<Result<Answer>> entry(crypto::PublicKey key);

    /// A server's entry: configured, listed, or looked up. Code::entry_not_of_server.
    Task<Result<Entry>> server(crypto::PublicKey key);

    /// Look it up again the next time.
    void forget(const crypto::PublicKey& key) { entries_.erase(key); }

    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    struct Kept {
        Entry entry;
        SteadyTime at;
    };
    struct LookUp {
        explicit LookUp(const Executor& loop) : ended(loop) {}
        net::Event ended;
        std::optional<Result<Answer>> result;
    };

    Task<> look_up(std::shared_ptr<LookUp> look_up, crypto::PublicKey key);
    Result<Answer> answer_of(Result<Entry> found, const crypto::PublicKey& key);
    void keep(const crypto::PublicKey& key, const Entry& entry);

    net::Context context_;
    std::vector<Entry> configured_;
    std::vector<Entry> listed_;
    DiscoveryClient& discovery_;
    ClientCounters& counters_;
    std::map<crypto::PublicKey, Kept> entries_;
    std::map<crypto::PublicKey, std::shared_ptr<LookUp>> under_way_;
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
