#pragma once

#include "dmsg/client/client_counters.hpp"
#include "dmsg/client/directory.hpp"
#include "dmsg/client/links.hpp"
#include "dmsg/discovery_client.hpp"
#include "net/context.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <functional>
#include <string>
#include <vector>

namespace skywire::dmsg::detail {

/// Keeps as many sessions as are wanted, spec/dmsg.md section 10: reads lists of servers, has Links
/// dial them, waits longer after each failure. All decisions are in `plan`, which looks at what is
/// there and may be called at any time.
class SessionKeeper {
 public:
    struct Options {
        /// 0: with every server.
        std::size_t sessions_min = 1;
        std::string server_type;
        /// Whether the discovery is asked for servers beside the configured ones.
        bool use_lists = true;
    };

    SessionKeeper(
        const net::Context& context,
        Options options,
        Directory& directory,
        DiscoveryClient& discovery,
        Links& links,
        ClientCounters& counters
    );
    SessionKeeper(const SessionKeeper&) = delete;
    SessionKeeper& operator=(const SessionKeeper&) = delete;

    void start();
    Task<std::vector<std::string>> stop(SteadyTime deadline);

    void links_changed() { plan(); }
    void link_ended(const Link& link);
    void server_going_away(const crypto::PublicKey& server);

    /// There are as many sessions as there shall be.
    bool settled() const;
    /// Why there is no session; empty where there is one.
    std::string trouble() const;

 private:
    /// A server with which there may be a session.
    struct Candidate {
        Entry entry;
        bool configured = false;
        bool listed = false;
        /// Dials in a row that failed.
        unsigned failed_dials = 0;
        /// Sessions in a row that did not live long: another process may have our key.
        unsigned short_lives = 0;
        SteadyTime next_try{};
        /// Set while a dial is under way.
        bool dialling = false;
        SteadyTime dial_began{};
    };

    void plan();
    /// Begins dials as far as sessions are missing; when to look again.
    SteadyTime plan_dials(SteadyTime now);
    SteadyTime plan_list(SteadyTime now);
    std::size_t target() const;
    Task<> run();
    Task<> dial(Entry server);
    Task<> read_list();
    void take_list(std::vector<Entry> servers);
    void take_listed(const Entry& entry);
    Candidate* find(const crypto::PublicKey& key);
    std::vector<Entry> shuffled(std::vector<Entry> servers);

    net::Context context_;
    Options options_;
    Directory& directory_;
    DiscoveryClient& discovery_;
    Links& links_;
    ClientCounters& counters_;
    /// Configured ones first.
    std::vector<Candidate> candidates_;
    bool started_ = false;
    bool planning_ = false;
    bool plan_again_ = false;
    /// A list is on its way.
    bool reading_ = false;
    /// There was a list with a server in it.
    bool list_read_ = false;
    /// A server was lost: the list may tell of another.
    bool list_due_ = false;
    /// Lists in a row after which there still was no session.
    unsigned list_rounds_ = 0;
    SteadyTime last_list_{};
    /// When to read the next one as long as there is no session.
    SteadyTime next_list_{};
    std::string dial_trouble_;
    std::string list_trouble_;
    SteadyTime wake_at_ = SteadyTime::max();
    net::Timer wake_;
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
