#pragma once

#include "dmsg/address.hpp"
#include "net/context.hpp"
#include "router/route_setup.hpp"
#include "rpc/client.hpp"
#include "services/setup_node/listing.hpp"
#include "services/setup_node/stats.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace skywire::setup_node {

/// Opens a dmsg stream.
using Dial = std::function<Task<Result<std::unique_ptr<net::Stream>>>(dmsg::Address to)>;

/// One route being set up: asks all visors of it for ids, gives the ones between their rules, then
/// the one at the far end; nobody is told of rules that an earlier step has not made possible. What
/// may have been installed can be deleted again. spec/visor.md section 10.5.
///
///     auto outcome = co_await setup.run(deadline);
///     if (!outcome.rules && setup.touched()) co_await setup.undo(later);
///     co_await setup.close();
class RouteSetup {
 public:
    struct Outcome {
        /// The initiator's; without them the rest says why.
        std::optional<router::EdgeRules> rules;
        Reason reason = Reason::unknown;
        std::string text;
        /// The fault lies with the visor at the far end.
        bool of_destination = false;
    };

    /// What became of rules that were to be deleted.
    enum class Undone { deleted, unsupported, failed };
    using OnUndone = std::function<void(const crypto::PublicKey& visor, Undone)>;

    /// `route` has passed router::check_route. Without a `listing` nobody is asked whether the far
    /// end has its transport. All of them outlive it.
    RouteSetup(
        const net::Context& context, Dial dial, Listing* listing, router::BidirectionalRoute route
    );
    /// `close` has been awaited.
    ~RouteSetup();
    RouteSetup(const RouteSetup&) = delete;
    RouteSetup& operator=(const RouteSetup&) = delete;

    /// Once. Cancelled: ends as soon as it can; what it has done is to be undone.
    Task<Outcome> run(SteadyTime deadline);

    /// Whether a visor may hold rules of this route.
    bool touched() const;

    /// Deletes the rules where they may be. Visors of 2024 cannot: theirs expire.
    Task<> undo(SteadyTime deadline, OnUndone on_undone);

    /// Ends all streams.
    Task<> close();

 private:
    struct Visor;
    struct Failure {
        Reason reason = Reason::unknown;
        std::string text;
        const Visor* visor = nullptr;
    };
    using Step = Task<std::optional<Failure>> (RouteSetup::*)(Visor& visor);
    struct Job {
        Step step;
        Visor* visor;
    };

    Task<std::optional<Failure>> all_of(std::vector<Job> jobs);
    Task<std::optional<Failure>> reserve(Visor& visor);
    Task<std::optional<Failure>> look_up(Visor& visor);
    Task<std::optional<Failure>> add_intermediary(Visor& visor);
    Task<std::optional<Failure>> add_edge(Visor& visor);
    Task<> undo_at(Visor& visor, SteadyTime deadline, OnUndone on_undone);
    Task<Result<>> connect(Visor& visor, SteadyTime deadline);

    Failure failure(Reason reason, const Visor& visor, const Error& error, std::string_view what);
    Outcome failed(const Failure& failure) const;

    net::Context context_;
    Dial dial_;
    Listing* listing_;
    router::BidirectionalRoute route_;
    SteadyTime deadline_{};
    bool cancelled_ = false;
    std::map<crypto::PublicKey, Visor> visors_;
    router::RouteRules rules_;
};

}  // namespace skywire::setup_node
