#pragma once

#include "http/signed_request.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "services/common/http_surface.hpp"
#include "services/common/test_request.hpp"
#include "services/common/test_store.hpp"
#include "services/transport_discovery/leases.hpp"
#include "services/transport_discovery/reports.hpp"
#include "services/transport_discovery/routes.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

/// For tests of the transport-discovery: its routes over a store, on a still clock.
namespace skywire::tpd {

using services::TestStore;
using services::TestWorld;

inline constexpr std::string_view kMonitor =
    "037c40008101a4ea4ead1e02d0299c032666c197008d02fda56f52103a74805b3a";

/// Answers the probes of the owners that live; takes all of 10 s for the others.
class TestProber final : public services::Prober {
 public:
    struct World {
        std::set<crypto::PublicKey> living;
        /// Our own way to the network.
        bool connected = true;
        int asked = 0;
    };

    TestProber(Clock& clock, World& world) : clock_(clock), world_(world) {}

    Task<services::Life> probe(crypto::PublicKey owner) override {
        ++world_.asked;
        if (!world_.connected) co_return services::Life::unknown;
        if (world_.living.contains(owner)) co_return services::Life::alive;
        (void)co_await net::sleep_for(clock_, std::chrono::seconds(10));
        co_return services::Life::silent;
    }

 private:
    Clock& clock_;
    World& world_;
};

/// The service without its listeners, as service.cpp puts it together.
class TestTpd {
 public:
    struct Options {
        Lifetimes lifetimes{std::chrono::minutes(5), std::chrono::hours(24)};
        bool shared = false;
        RateLimit::Options rate_limit;
        Traffic::Options traffic;
    };

    TestTpd(TestWorld& world_in, services::ServiceStore& store, Options options)
        : world(world_in),
          answers(world.loop.metrics, [this](const Error&) { ++store_failures; }),
          transports(world.context, store.store(), {options.lifetimes, options.shared}),
          uptimes(world.context, store.store()),
          traffic(world.context, store.store(), transports, options.traffic),
          auth(
              world.context,
              store,
              {std::string(kPrefix), /*testing=*/true, {std::string(kMonitor)}}
          ),
          scope(world.context.loop),
          leases(
              transports,
              uptimes,
              [&](services::Owners::Events events) {
                  services::Owners::Options owners;
                  owners.store = &store.store();
                  owners.prefix = kPrefix;
                  owners.held_timeout = options.lifetimes.held;
                  return std::make_unique<services::Owners>(
                      world.context,
                      std::make_unique<TestProber>(world.clock, peers),
                      scope,
                      std::move(events),
                      std::move(owners)
                  );
              },
              [this](const Error&) { ++store_failures; }
          ),
          rate_limit(options.rate_limit),
          routes({world.context, transports, uptimes, auth, answers, rate_limit}),
          reports({world.context, transports, uptimes, traffic, answers}),
          surface(world.host, surface_options()) {
        world.loop.run(auth.open()).value();
        world.loop.run(leases.open()).value();
        auth.on_accepted([this](const crypto::PublicKey& key) { leases.seen(key); });
        Table::Events events;
        events.held = [this](const crypto::PublicKey& key, std::size_t count) {
            leases.set_records(key, count);
        };
        transports.table().on_change(std::move(events));
        world.loop.run(transports.open()).value();
        routes.add_to(surface.router());
        reports.add_to(surface.router());
        leases.start();
        scope.spawn("sweep", [this] { return sweep(); });
        world.loop.settle();
    }
    TestTpd(TestWorld& world_in, services::ServiceStore& store)
        : TestTpd(world_in, store, Options()) {}
    ~TestTpd() {
        transports.table().on_change({});
        const SteadyTime now = world.clock.now();
        CHECK(world.loop.run(scope.close(world.clock, now, now + std::chrono::seconds(1))).empty());
    }
    TestTpd(const TestTpd&) = delete;
    TestTpd& operator=(const TestTpd&) = delete;

    http::Response send(
        http::Method method, std::string target, std::string body = {}, http::Fields fields = {}
    ) {
        return send_from(
            net::Address::tcp("127.0.0.1", 40000),
            method,
            std::move(target),
            std::move(body),
            std::move(fields)
        );
    }
    http::Response send_from(
        net::Address remote,
        http::Method method,
        std::string target,
        std::string body = {},
        http::Fields fields = {}
    ) {
        http::Request made =
            services::local_request(method, std::move(target), std::move(body), std::move(fields));
        made.remote = std::move(remote);
        return world.loop.run(services::answer_of(surface.router(), std::move(made)));
    }
    http::Response get(std::string target) { return send(http::Method::get, std::move(target)); }
    /// Signed with the nonce that is due.
    http::Response send_as(
        const crypto::KeyPair& keys,
        http::Method method,
        std::string target,
        std::string body = {},
        http::Fields fields = {}
    ) {
        std::uint64_t& nonce = nonces_[keys.public_key];
        http::sign_request(fields, keys, body, nonce);
        http::Response response =
            send(method, std::move(target), std::move(body), std::move(fields));
        if (response.status == 200) ++nonce;
        return response;
    }

    std::uint64_t refused(std::string reason) {
        return world.counted("transport_discovery_refused_total", "reason", std::move(reason));
    }

    TestWorld& world;
    TestProber::World peers;
    int store_failures = 0;
    Answers answers;
    Transports transports;
    Uptimes uptimes;
    Traffic traffic;
    services::RequestAuth auth;
    net::Scope scope;
    Leases leases;
    RateLimit rate_limit;
    Routes routes;
    Reports reports;
    services::HttpSurface surface;

 private:
    static services::HttpSurface::Options surface_options() {
        services::HttpSurface::Options options;
        options.service_name = "transport-discovery";
        return options;
    }

    Task<> sweep() {
        while (true) {
            const auto swept = co_await transports.sweep();
            if (!swept) ++store_failures;
            const bool slept = co_await net::sleep_for(world.clock, std::chrono::seconds(1));
            if (!slept) co_return;
        }
    }

    std::map<crypto::PublicKey, std::uint64_t> nonces_;
};

inline crypto::KeyPair visor(int number) {
    return crypto::deterministic_key_pair("visor " + std::to_string(number));
}

/// An entry with the signatures of both, or of `a` alone.
inline transport::SignedEntry signed_entry(
    const crypto::KeyPair& a,
    const crypto::KeyPair& b,
    std::string_view type = transport::kStcpr,
    bool both = true
) {
    transport::SignedEntry entry;
    entry.entry = transport::make_entry(a.public_key, b.public_key, type, transport::kLabelUser);
    transport::sign_entry(entry, a).value();
    if (both) transport::sign_entry(entry, b).value();
    return entry;
}

inline std::string body_of(const std::vector<transport::SignedEntry>& entries) {
    std::string body = "[";
    for (const transport::SignedEntry& entry : entries) {
        if (body.size() > 1) body += ',';
        body += transport::to_json(entry);
    }
    return body + "]";
}

inline std::string body_of(const std::vector<transport::Entry>& entries) {
    std::string body = "[";
    for (const transport::Entry& entry : entries) {
        if (body.size() > 1) body += ',';
        body += transport::to_json(entry);
    }
    return body + "]";
}

}  // namespace skywire::tpd
