#include "services/setup_node/route_setup.hpp"

#include "net/deadline.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "router/setup_calls.hpp"

#include <fmt/format.h>

namespace skywire::setup_node {
namespace {

/// 255 ids are 1.3 kB.
constexpr std::size_t kMessageMax = 16 * 1024;

}  // namespace

struct RouteSetup::Visor {
    crypto::PublicKey key;
    std::size_t ids_needed = 0;
    std::vector<router::RouteId> ids = {};
    /// It has been told rules, or may have been.
    bool touched = false;
    std::unique_ptr<rpc::Client> client = nullptr;
};

RouteSetup::RouteSetup(
    const net::Context& context, Dial dial, Listing* listing, router::BidirectionalRoute route
)
    : context_(context), dial_(std::move(dial)), listing_(listing), route_(std::move(route)) {
    for (const auto& [key, count] : router::ids_needed(route_))
        visors_.emplace(key, Visor{.key = key, .ids_needed = count});
}

RouteSetup::~RouteSetup() = default;

Task<RouteSetup::Outcome> RouteSetup::run(SteadyTime deadline) {
    co_await asio::this_coro::throw_if_cancelled(false);
    deadline_ = deadline;
    Visor& destination = visors_.at(route_.descriptor.destination);
    std::vector<Job> jobs;
    jobs.reserve(visors_.size() + 1);
    if (listing_ != nullptr) jobs.push_back({&RouteSetup::look_up, &destination});
    for (auto& [key, visor] : visors_)
        jobs.push_back({&RouteSetup::reserve, &visor});
    if (const auto failure = co_await all_of(std::move(jobs)); failure) co_return failed(*failure);

    router::ReservedIds ids;
    for (const auto& [key, visor] : visors_)
        ids[key] = visor.ids;
    auto rules = router::make_rules(route_, std::move(ids));
    if (!rules) co_return failed({Reason::rule_generation, rules.error().message()});
    rules_ = std::move(*rules);

    jobs.clear();
    for (const auto& [key, list] : rules_.intermediary)
        jobs.push_back({&RouteSetup::add_intermediary, &visors_.at(key)});
    if (const auto failure = co_await all_of(std::move(jobs)); failure) co_return failed(*failure);

    // A visor that is told of a route whose initiator does not come waits for it in vain.
    jobs.clear();
    jobs.push_back({&RouteSetup::add_edge, &destination});
    if (const auto failure = co_await all_of(std::move(jobs)); failure) co_return failed(*failure);
    Outcome outcome;
    outcome.rules = rules_.initiator;
    co_return outcome;
}

/// Side by side; the first failure ends the others.
Task<std::optional<RouteSetup::Failure>> RouteSetup::all_of(std::vector<Job> jobs) {
    net::Scope scope(context_.loop);
    net::Event changed(context_.loop);
    std::size_t left = jobs.size();
    std::optional<Failure> first;
    const auto before = co_await asio::this_coro::cancellation_state;
    cancelled_ = cancelled_ || before.cancelled() != asio::cancellation_type::none;
    if (!cancelled_) {
        for (const Job& job : jobs) {
            scope.spawn("set-up step", [&, job]() -> Task<> {
                co_await asio::this_coro::throw_if_cancelled(false);
                auto failure = co_await (this->*job.step)(*job.visor);
                if (failure && !first) first = std::move(failure);
                --left;
                changed.notify();
            });
        }
    }
    while (left > 0 && !first && !cancelled_) {
        const bool awake = co_await changed.wait();
        if (!awake) cancelled_ = true;
    }
    const auto after = co_await asio::this_coro::cancellation_state;
    cancelled_ = cancelled_ || after.cancelled() != asio::cancellation_type::none;
    co_await asio::this_coro::reset_cancellation_state();
    std::optional<Failure> outcome = first;
    co_await scope.close(context_.clock);
    if (!outcome && cancelled_) outcome = Failure{Reason::context_canceled, "the caller is gone"};
    co_return outcome;
}

Task<std::optional<RouteSetup::Failure>> RouteSetup::reserve(Visor& visor) {
    const auto connected = co_await connect(visor, deadline_);
    if (!connected) {
        const bool source = visor.key == route_.descriptor.source;
        co_return failure(
            source ? Reason::source_unreachable : Reason::id_reservation,
            visor,
            connected.error(),
            "a dial attempt failed with"
        );
    }
    const auto ids = co_await visor.client->call<router::RouteIds>(
        std::string(router::kReserveIds), rpc::body_of<std::uint64_t>(visor.ids_needed), deadline_
    );
    if (!ids) {
        co_return failure(
            Reason::id_reservation,
            visor,
            ids.error(),
            fmt::format("failed to reserve route ids: reserve routeID from {} failed", visor.key)
        );
    }
    visor.ids = ids->ids;
    co_return std::nullopt;
}

Task<std::optional<RouteSetup::Failure>> RouteSetup::look_up(Visor&) {
    const router::Hop hop = route_.reverse.front();
    const auto listed = co_await listing_->lists(hop, deadline_);
    // Not held against the visor, which has no part in it.
    if (!listed) {
        co_return Failure{
            Reason::unknown,
            "cannot tell whether the transport is there: " + listed.error().message()
        };
    }
    if (*listed) co_return std::nullopt;
    co_return Failure{
        Reason::invalid_route,
        fmt::format("transport {} of {} is not listed", hop.transport.to_text(), hop.from)
    };
}

Task<std::optional<RouteSetup::Failure>> RouteSetup::add_intermediary(Visor& visor) {
    visor.touched = true;
    const auto added = co_await visor.client->call<bool>(
        std::string(router::kAddIntermediaryRules),
        rpc::body_of(router::IntermediaryRules{rules_.intermediary.at(visor.key)}),
        deadline_
    );
    if (added && *added) co_return std::nullopt;
    co_return failure(
        Reason::intermediary_rules,
        visor,
        added ? fail(errc::forbidden, "the visor does not take them") : added.error(),
        fmt::format("failed to add intermediary rules to {}", visor.key)
    );
}

Task<std::optional<RouteSetup::Failure>> RouteSetup::add_edge(Visor& visor) {
    visor.touched = true;
    const auto added = co_await visor.client->call<bool>(
        std::string(router::kAddEdgeRules), rpc::body_of(rules_.responder), deadline_
    );
    if (added && *added) co_return std::nullopt;
    co_return failure(
        Reason::destination_rules,
        visor,
        added ? fail(errc::forbidden, "the visor does not take them") : added.error(),
        "failed to broadcast rules to destination router"
    );
}

Task<Result<>> RouteSetup::connect(Visor& visor, SteadyTime deadline) {
    auto stream = co_await net::with_deadline(
        context_.clock, deadline, dial_({visor.key, router::kVisorSetupPort})
    );
    if (!stream) co_return stream.error();
    if (visor.client) co_await visor.client->close();
    rpc::Client::Options options;
    options.limits.message_bytes = kMessageMax;
    visor.client = std::make_unique<rpc::Client>(context_, std::move(*stream), options);
    co_return Result<>();
}

bool RouteSetup::touched() const {
    for (const auto& [key, visor] : visors_)
        if (visor.touched) return true;
    return false;
}

Task<> RouteSetup::undo(SteadyTime deadline, OnUndone on_undone) {
    net::Scope scope(context_.loop);
    for (auto& [key, visor] : visors_) {
        if (!visor.touched) continue;
        Visor* const at = &visor;
        scope.spawn("undo", [this, at, deadline, on_undone] {
            return undo_at(*at, deadline, on_undone);
        });
    }
    co_await scope.wait_empty();
    co_await asio::this_coro::reset_cancellation_state();
    co_await scope.close(context_.clock);
}

Task<> RouteSetup::undo_at(Visor& visor, SteadyTime deadline, OnUndone on_undone) {
    co_await asio::this_coro::throw_if_cancelled(false);
    if (!visor.client || visor.client->broken()) {
        const auto connected = co_await connect(visor, deadline);
        if (!connected) {
            on_undone(visor.key, Undone::failed);
            co_return;
        }
    }
    const auto deleted = co_await visor.client->call<bool>(
        std::string(router::kDelRules), rpc::body_of(router::RouteIds{visor.ids}), deadline
    );
    if (deleted) {
        on_undone(visor.key, *deleted ? Undone::deleted : Undone::failed);
    } else {
        const bool unknown = rpc::is_unknown_method(deleted.error());
        on_undone(visor.key, unknown ? Undone::unsupported : Undone::failed);
    }
}

Task<> RouteSetup::close() {
    for (auto& [key, visor] : visors_) {
        if (!visor.client) continue;
        co_await visor.client->close();
        visor.client.reset();
    }
}

RouteSetup::Failure RouteSetup::failure(
    Reason reason, const Visor& visor, const Error& error, std::string_view what
) {
    const bool late = error == make_error_code(errc::timed_out);
    return {
        late ? Reason::context_deadline : reason,
        fmt::format("{}: {}", what, error.message()),
        &visor
    };
}

RouteSetup::Outcome RouteSetup::failed(const Failure& failure) const {
    Outcome outcome;
    outcome.reason = failure.reason;
    outcome.text = failure.text;
    const bool canceled = failure.reason == Reason::context_canceled;
    outcome.of_destination = !canceled && failure.visor != nullptr &&
                             failure.visor->key == route_.descriptor.destination;
    return outcome;
}

}  // namespace skywire::setup_node
