#pragma once

#include "crypto/keys.hpp"
#include "dmsg/discovery_client.hpp"
#include "dmsg/entry.hpp"
#include "net/context.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace skywire::dmsg::detail {

/// Keeps a server's entry in the discovery true: spec/dmsg.md section 9, "Entry maintenance", and
/// section 11. Posted at start (again and again until it is taken), every minute or so, and a
/// second after the number of free sessions has changed; removed by `withdraw`. One event loop.
///
/// A discovery refuses entries of servers that are not written by its own clock, give or take a
/// minute. Where it does, entries are written by that clock from then on; one that it holds from a
/// time it has not reached, because a clock was set back, is removed first.
///
/// Counts dmsg_server_registrations_total{outcome}: "ok", the discovery's reason, "unavailable".
class Registration {
 public:
    struct Options {
        crypto::KeyPair keys;
        /// The server's part of the entry, but for the number of free sessions.
        ServerInfo server;
        Duration update_interval{std::chrono::minutes(1)};
    };

    /// `discovery` outlives it. `available` tells the number of free sessions.
    Registration(
        const net::Context& context,
        Options options,
        DiscoveryClient& discovery,
        std::function<std::size_t()> available
    );
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

    /// Begins; `on_registered` is called after the first success.
    void start(std::function<void()> on_registered);
    /// The number of free sessions may have changed.
    void changed();

    /// The entry stands in the discovery, as far as we know.
    bool registered() const noexcept { return registered_; }
    /// Why the last try failed; empty where it did not.
    const std::string& trouble() const noexcept { return trouble_; }

    /// Stops renewing and removes the entry.
    Task<> withdraw(SteadyTime deadline);
    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    Task<> keep();
    Task<Result<>> news();
    Task<> wait_for_news();
    Task<Result<>> post();
    Task<Result<>> post_once();
    Task<Result<>> read_own();
    Task<Result<>> follow_clock();
    WallTime now() const;
    Entry next_entry() const;
    void count(std::string_view outcome);

    net::Context context_;
    Options options_;
    DiscoveryClient& discovery_;
    std::function<std::size_t()> available_;
    std::function<void()> on_registered_;
    /// What the discovery has, as last read or posted.
    std::optional<Entry> stored_;
    /// What the discovery's clock is ahead of ours, where that mattered.
    Duration clock_ahead_{};
    bool read_ = false;
    bool registered_ = false;
    bool withdrawn_ = false;
    bool changed_ = false;
    std::string trouble_;
    net::Event news_;
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
