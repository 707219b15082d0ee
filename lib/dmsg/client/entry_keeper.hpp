#pragma once

#include "crypto/keys.hpp"
#include "dmsg/client/client_counters.hpp"
#include "dmsg/discovery_client.hpp"
#include "net/context.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace skywire::dmsg::detail {

/// Keeps a client's entry in the discovery true: spec/dmsg.md sections 10 and 11. What is stored is
/// read before each write and taken over; an error that is not "not found" never leads to a first
/// entry, which would set the sequence back.
class EntryKeeper {
 public:
    struct Options {
        explicit Options(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

        crypto::KeyPair keys;
        /// Members that older discoveries refuse; left out after a refusal.
        std::string client_type;
        std::string protocol;
        Duration refresh{std::chrono::minutes(5)};
    };

    /// `on_written` is told after each write.
    EntryKeeper(
        const net::Context& context,
        Options options,
        DiscoveryClient& discovery,
        ClientCounters& counters,
        std::function<void()> on_written
    );
    EntryKeeper(const EntryKeeper&) = delete;
    EntryKeeper& operator=(const EntryKeeper&) = delete;

    void start();

    /// The servers we are reached through from now on. `settled`: no change is expected soon, so a
    /// first entry need not wait for one.
    void set_servers(std::vector<crypto::PublicKey> servers, bool settled);

    /// An entry that names a server has been written.
    bool written() const noexcept { return written_; }
    /// Why the entry is not written; empty where it is, and where there is nothing to say yet.
    const std::string& trouble() const noexcept { return trouble_; }

    /// Writes no more, and removes what was written.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    Task<> run();
    /// Waits until something is to be written.
    Task<> wait_due();
    /// Reads, and writes what follows from it, again where another writer was faster.
    Task<Result<>> write(std::vector<crypto::PublicKey> servers);
    Task<Result<Entry>> read();
    Task<Result<>> post(Entry entry);
    Entry next(const Entry& stored, const std::vector<crypto::PublicKey>& servers) const;
    void written(const Result<>& outcome, bool names_server);

    net::Context context_;
    Options options_;
    DiscoveryClient& discovery_;
    ClientCounters& counters_;
    std::function<void()> on_written_;

    std::vector<crypto::PublicKey> servers_;
    bool settled_ = false;
    /// There is something to write that is not written.
    bool dirty_ = false;
    /// When to write at the soonest.
    SteadyTime due_ = SteadyTime::max();
    bool written_ = false;
    unsigned failures_ = 0;
    /// The discovery has refused our extra members.
    bool plain_ = false;
    std::string trouble_;
    /// What may be stored because of us.
    std::optional<Entry> posted_;
    bool stopping_ = false;
    net::Timer wake_;
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
