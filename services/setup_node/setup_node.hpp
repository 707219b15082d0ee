#pragma once

#include "net/network.hpp"
#include "net/scope.hpp"
#include "rpc/methods.hpp"
#include "rpc/server.hpp"
#include "services/setup_node/breaker.hpp"
#include "services/setup_node/route_setup.hpp"
#include "services/setup_node/stats.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace skywire::setup_node {

struct Options {
    router::RouteLimits route;
    /// Set-ups at one time, those being unwound included.
    std::size_t setups_max = 512;
    /// The same of one caller. Visors of 2024 ask for one route at a time.
    std::size_t setups_per_caller_max = 16;
    /// For a set-up as a whole.
    std::chrono::milliseconds request_timeout{30'000};
    /// For deleting what a failed one may have left.
    std::chrono::milliseconds undo_timeout{10'000};
    Breakers::Options breakers = {};
};

/// Serves DialRouteGroup: judges requests, sets routes up, unwinds those that fail. Used on
/// context.loop. A caller may ask for routes from itself alone: the network's setup-node lets
/// anybody ask for anything, but its visors ask for nothing else.
class SetupNode {
 public:
    /// `listing` may be null; all of them outlive it.
    SetupNode(const net::Context& context, Dial dial, Listing* listing, const Options& options);
    ~SetupNode();
    SetupNode(const SetupNode&) = delete;
    SetupNode& operator=(const SetupNode&) = delete;

    /// The listener at dmsg port 36: the callers' addresses have their keys as hosts.
    void serve(std::unique_ptr<net::Listener> listener);

    /// The body of GET /stats.
    std::string stats_json() const;
    const Stats& stats() const noexcept { return stats_; }

    /// No new requests; those under way end, and are unwound where they fail.
    Task<> drain(SteadyTime deadline);

    /// Ends everything; the names of what had not ended at the deadline.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    class Slot;
    struct Refusal {
        Reason reason;
        Error error;
    };

    Task<Result<rpc::Reply>> dial(net::Address caller, router::BidirectionalRoute route);
    std::optional<Refusal> refusal(
        const net::Address& caller, const router::BidirectionalRoute& route
    ) const;
    void unwind(std::shared_ptr<RouteSetup> setup, std::shared_ptr<Slot> slot, bool undo);
    Task<> unwinding(std::shared_ptr<RouteSetup> setup, std::shared_ptr<Slot> slot, bool undo);
    Counter& undone_counter(RouteSetup::Undone undone);

    net::Context context_;
    Dial dial_;
    Listing* listing_;
    Options options_;
    Stats stats_;
    Gauge& active_;
    Breakers breakers_;
    /// Set-ups by the key of their caller.
    std::map<crypto::PublicKey, std::size_t> callers_;
    std::size_t setups_ = 0;
    rpc::Methods methods_;
    rpc::Server server_;
    /// What is being unwound.
    net::Scope scope_;
};

}  // namespace skywire::setup_node
