#pragma once

#include "base/test.hpp"
#include "http/signed_request.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "services/common/http_surface.hpp"
#include "services/common/test_request.hpp"
#include "services/common/test_store.hpp"
#include "services/service_discovery/work.hpp"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

/// For tests of the service-discovery: the service between the parts of a test, on one of the
/// stores, with a clock that the test holds and visors that answer as the test says.
namespace skywire::service_discovery {

using namespace std::chrono_literals;

inline crypto::KeyPair keys_of(const std::string& name) {
    return crypto::deterministic_key_pair("skywire-services-vector-" + name);
}

/// Which visors live, and whether they can be asked.
struct Visors {
    std::set<crypto::PublicKey> living;
    bool reachable = true;
    int probes = 0;
};

class TestProber final : public services::Prober {
 public:
    TestProber(Clock& clock, Visors& visors) : clock_(clock), visors_(visors) {}

    Task<services::Life> probe(crypto::PublicKey owner) override {
        ++visors_.probes;
        if (!visors_.reachable) co_return services::Life::unknown;
        if (visors_.living.contains(owner)) co_return services::Life::alive;
        co_await net::sleep_for(clock_, 10s);
        co_return services::Life::silent;
    }

 private:
    Clock& clock_;
    Visors& visors_;
};

class TestService {
 public:
    TestService(
        services::TestWorld& world,
        services::StoreConfig store_config,
        Config config = testing_config()
    )
        : world_(world),
          store(world, std::move(store_config)),
          surface(world.host, surface_options()),
          scope(world.context.loop),
          work(
              {world.host, world.context, &*store, surface, nullptr, scope},
              std::move(config),
              std::make_unique<TestProber>(world.clock, visors)
          ) {
        world.loop.run(work.open()).value();
        world.loop.settle();
    }
    ~TestService() {
        const SteadyTime now = world_.clock.now();
        CHECK(world_.loop.run(work.stop(now + 1s)).empty());
        CHECK(world_.loop.run(scope.close(world_.clock, now, now + 1s)).empty());
    }
    TestService(const TestService&) = delete;
    TestService& operator=(const TestService&) = delete;

    static Config testing_config() {
        Config config;
        config.common.testing = true;
        config.common.entry_timeout = 5min;
        config.held_timeout = 24h;
        config.whitelist = {keys_of("monitor").public_key.to_text()};
        return config;
    }

    http::Response send(
        http::Method method,
        std::string target,
        std::string body = {},
        http::Fields fields = {},
        std::string peer = "127.0.0.1"
    ) {
        http::Request made =
            services::local_request(method, std::move(target), std::move(body), std::move(fields));
        made.remote = net::Address::tcp(std::move(peer), 40000);
        return world_.loop.run(services::answer_of(surface.router(), std::move(made)));
    }
    http::Response get(std::string target) { return send(http::Method::get, std::move(target)); }
    std::string list(const std::string& type) {
        return std::string(get("/api/services?type=" + type).body_view());
    }

    /// Signed with the number that is due.
    http::Response send_signed(
        const crypto::KeyPair& keys,
        http::Method method,
        std::string target,
        std::string body = {},
        http::Fields fields = {}
    ) {
        const auto answer = get("/security/nonces/" + keys.public_key.to_text());
        const auto parsed = parse_json(answer.body);
        const auto nonce = parsed->as_object().at("next_nonce").to_number<std::uint64_t>();
        http::sign_request(fields, keys, body, nonce);
        return send(method, std::move(target), std::move(body), std::move(fields));
    }
    /// A 2024 visor's registration: no place, so it is held.
    http::Response post_held(const crypto::KeyPair& keys, const std::string& type = "vpn") {
        return send_signed(keys, http::Method::post, "/api/services", body_of(keys, type, ""));
    }
    /// One that says where it is, and comes again.
    http::Response post_refreshing(const crypto::KeyPair& keys, const std::string& type = "vpn") {
        return send_signed(
            keys, http::Method::post, "/api/services", body_of(keys, type, R"(,"geo":{"lat":1})")
        );
    }
    http::Response erase(const crypto::KeyPair& keys, const std::string& type) {
        return send_signed(
            keys,
            http::Method::delete_,
            "/api/services/" + keys.public_key.to_text() + "?type=" + type
        );
    }
    static std::string body_of(
        const crypto::KeyPair& keys, const std::string& type, const std::string& more
    ) {
        return R"({"address":")" + keys.public_key.to_text() + R"(:44","type":")" + type +
               R"(","version":"v1.3.29")" + more + "}";
    }
    bool lists(const crypto::KeyPair& keys, const std::string& type = "vpn") {
        return list(type).find(keys.public_key.to_text()) != std::string::npos;
    }

 private:
    static services::HttpSurface::Options surface_options() {
        services::HttpSurface::Options options;
        options.service_name = "service-discovery";
        return options;
    }

    services::TestWorld& world_;

 public:
    Visors visors;
    services::TestStore store;
    services::HttpSurface surface;
    net::Scope scope;
    Work work;
};

}  // namespace skywire::service_discovery
