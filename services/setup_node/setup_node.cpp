#include "services/setup_node/setup_node.hpp"

#include "base/assert.hpp"
#include "net/deadline.hpp"
#include "router/error.hpp"
#include "router/setup_calls.hpp"

#include <optional>

#include <fmt/format.h>

namespace skywire::setup_node {
namespace {

using namespace std::chrono_literals;

/// A visor's call with a hundred hops is 9 kB.
constexpr std::size_t kMessageMax = 64 * 1024;

rpc::Server::Options server_options(const Options& options) {
    rpc::Server::Options server;
    server.name = "setup";
    server.connections_max = options.setups_max * 2;
    server.connections_per_caller_max = options.setups_per_caller_max * 2;
    server.calls_per_connection_max = options.setups_per_caller_max;
    // A set-up ends by itself before.
    server.call_timeout = options.request_timeout + 5s;
    server.limits.message_bytes = kMessageMax;
    server.limits.types = 64;
    server.limits.fields = 256;
    server.limits.values = 1 << 14;
    return server;
}

std::string_view undone_name(RouteSetup::Undone undone) noexcept {
    switch (undone) {
        case RouteSetup::Undone::deleted:
            return "deleted";
        case RouteSetup::Undone::unsupported:
            return "unsupported";
        case RouteSetup::Undone::failed:
            return "failed";
    }
    return "failed";
}

crypto::PublicKey key_of(const net::Address& caller) {
    const auto key = crypto::PublicKey::from_text(caller.host);
    return key ? *key : crypto::PublicKey();
}

}  // namespace

/// Counts a set-up of a caller for as long as it lives.
class SetupNode::Slot {
 public:
    Slot(SetupNode& node, const crypto::PublicKey& caller) : node_(node), caller_(caller) {
        ++node_.setups_;
        ++node_.callers_[caller_];
        node_.active_.add(1);
    }
    ~Slot() {
        node_.active_.add(-1);
        --node_.setups_;
        const auto of_caller = node_.callers_.find(caller_);
        if (--of_caller->second == 0) node_.callers_.erase(of_caller);
    }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

 private:
    SetupNode& node_;
    crypto::PublicKey caller_;
};

SetupNode::SetupNode(
    const net::Context& context, Dial dial, Listing* listing, const Options& options
)
    : context_(context),
      dial_(std::move(dial)),
      listing_(listing),
      options_(options),
      stats_(context_.metrics, context_.clock),
      active_(context_.metrics.gauge("setup_node_active", "Routes being set up or unwound.")),
      breakers_(options_.breakers),
      server_(context_, methods_, server_options(options_)),
      scope_(context_.loop) {
    methods_.on<router::BidirectionalRoute>(
        std::string(router::kDialRouteGroup),
        [this](net::Address caller, router::BidirectionalRoute route) {
            return this->dial(std::move(caller), std::move(route));
        }
    );
    for (const auto undone :
         {RouteSetup::Undone::deleted, RouteSetup::Undone::unsupported, RouteSetup::Undone::failed})
        (void)undone_counter(undone);
}

SetupNode::~SetupNode() = default;

void SetupNode::serve(std::unique_ptr<net::Listener> listener) {
    server_.serve(std::move(listener));
}

std::string SetupNode::stats_json() const {
    const SteadyTime now = context_.clock.now();
    return stats_.json([&](const crypto::PublicKey& key) { return breakers_.open(key, now); });
}

Task<Result<rpc::Reply>> SetupNode::dial(net::Address caller, router::BidirectionalRoute route) {
    co_await asio::this_coro::throw_if_cancelled(false);
    const SteadyTime begun = context_.clock.now();
    const Stats::Request asked{
        route.descriptor.source, route.descriptor.destination, route.forward.size()
    };
    stats_.begun();
    if (const auto refused = refusal(caller, route); refused) {
        log::debug(
            context_.logger,
            "route.refused",
            log::kv("caller", caller.host),
            log::kv("reason", reason_name(refused->reason)),
            log::kv("error", refused->error.message())
        );
        stats_.failed(asked, refused->reason, refused->error.message());
        co_return refused->error;
    }
    const auto slot = std::make_shared<Slot>(*this, key_of(caller));
    const auto setup = std::make_shared<RouteSetup>(context_, dial_, listing_, std::move(route));
    const auto outcome = co_await setup->run(begun + options_.request_timeout);
    Stats::Request done = asked;
    done.took = context_.clock.now() - begun;
    if (!outcome.rules) {
        stats_.failed(done, outcome.reason, outcome.text);
        if (outcome.of_destination) breakers_.failed(asked.destination, context_.clock.now());
        log::debug(
            context_.logger,
            "route.failed",
            log::kv("source", asked.source),
            log::kv("destination", asked.destination),
            log::kv("reason", reason_name(outcome.reason)),
            log::kv("error", outcome.text)
        );
        unwind(setup, slot, setup->touched());
        co_return fail(errc::unavailable, outcome.text);
    }
    stats_.succeeded(done);
    breakers_.succeeded(asked.destination);
    log::debug(
        context_.logger,
        "route.set_up",
        log::kv("source", asked.source),
        log::kv("destination", asked.destination),
        log::kv("hops", asked.hops)
    );
    rpc::Reply reply = rpc::reply_of(*outcome.rules);
    reply.undelivered = [this, setup, slot] { unwind(setup, slot, /*undo=*/true); };
    reply.delivered = [this, setup, slot] { unwind(setup, slot, /*undo=*/false); };
    co_return reply;
}

std::optional<SetupNode::Refusal> SetupNode::refusal(
    const net::Address& caller, const router::BidirectionalRoute& route
) const {
    if (const auto checked = router::check_route(route, options_.route); !checked)
        return Refusal{Reason::invalid_route, checked.error()};
    const crypto::PublicKey key = key_of(caller);
    if (key.is_null() || key != route.descriptor.source) {
        return Refusal{
            Reason::invalid_route,
            fail(errc::forbidden, "the route does not begin at the visor that asks for it")
        };
    }
    const auto of_caller = callers_.find(key);
    const bool caller_full =
        of_caller != callers_.end() && of_caller->second >= options_.setups_per_caller_max;
    if (setups_ >= options_.setups_max || caller_full) {
        return Refusal{
            Reason::concurrency_limit, fail(errc::limit_reached, "too many routes are being set up")
        };
    }
    if (breakers_.open(route.descriptor.destination, context_.clock.now())) {
        return Refusal{
            Reason::circuit_open,
            fail(errc::unavailable, "the destination has failed too often lately")
        };
    }
    return std::nullopt;
}

void SetupNode::unwind(std::shared_ptr<RouteSetup> setup, std::shared_ptr<Slot> slot, bool undo) {
    const bool begun = scope_.spawn(
        "unwinding a route",
        [this, setup = std::move(setup), slot = std::move(slot), undo] {
            return unwinding(setup, slot, undo);
        }
    );
    // The server, whose calls come here, ends before the scope.
    SKY_ASSERT(begun);
}

Task<> SetupNode::unwinding(
    std::shared_ptr<RouteSetup> setup, std::shared_ptr<Slot> slot, bool undo
) {
    co_await asio::this_coro::throw_if_cancelled(false);
    if (undo) {
        co_await setup->undo(
            context_.clock.now() + options_.undo_timeout,
            [this](const crypto::PublicKey& visor, RouteSetup::Undone undone) {
                undone_counter(undone).add();
                log::debug(
                    context_.logger,
                    "route.unwound",
                    log::kv("visor", visor),
                    log::kv("outcome", undone_name(undone))
                );
            }
        );
    }
    co_await asio::this_coro::reset_cancellation_state();
    co_await setup->close();
    slot.reset();
}

Counter& SetupNode::undone_counter(RouteSetup::Undone undone) {
    return context_.metrics.counter(
        "setup_node_unwound_total",
        "Visors that were asked to delete rules of a route that failed.",
        {{"outcome", std::string(undone_name(undone))}}
    );
}

Task<> SetupNode::drain(SteadyTime deadline) {
    co_await server_.drain(deadline);
    const auto ended = [](SetupNode& node) -> Task<Result<>> {
        co_await node.scope_.wait_empty();
        co_return Result<>();
    };
    (void)co_await net::with_deadline(context_.clock, deadline, ended(*this));
}

Task<std::vector<std::string>> SetupNode::stop(SteadyTime deadline) {
    auto late = co_await server_.stop(deadline);
    // What is late comes to be unwound whenever it ends, and there must be a place for it.
    if (!late.empty()) co_return late;
    Clock& clock = context_.clock;
    for (std::string& name : co_await scope_.close(clock, clock.now(), deadline))
        late.push_back(std::move(name));
    co_return late;
}

}  // namespace skywire::setup_node
