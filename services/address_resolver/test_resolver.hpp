#pragma once

#include "http/signed_request.hpp"
#include "services/address_resolver/work.hpp"
#include "services/common/test_request.hpp"
#include "services/common/test_store.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>

/// For tests of the address-resolver: all of it but the listeners, over one of the stores, with a
/// clock that the test moves.
namespace skywire::resolver {

/// Answers as the test says; "unknown" for others.
class TestProber final : public services::Prober {
 public:
    using Answers = std::map<crypto::PublicKey, services::Life>;

    explicit TestProber(std::shared_ptr<Answers> answers) : answers_(std::move(answers)) {}

    Task<services::Life> probe(crypto::PublicKey owner) override {
        const auto found = answers_->find(owner);
        co_return found == answers_->end() ? services::Life::unknown : found->second;
    }

 private:
    std::shared_ptr<Answers> answers_;
};

class TestResolver {
 public:
    explicit TestResolver(
        services::TestWorld& world,
        services::StoreConfig store_config = services::TestStore::memory(),
        const Config& config = test_config()
    )
        : world_(world),
          store(world, std::move(store_config)),
          surface(world.host, surface_options()),
          scope(world.context.loop),
          work(
              {world.host, world.context, &*store, surface, nullptr, scope},
              config,
              std::make_unique<TestProber>(probes)
          ) {
        opened = world.loop.run(work.open());
        CHECK(opened);
    }
    ~TestResolver() {
        Clock& clock = world_.clock;
        const SteadyTime deadline = clock.now() + std::chrono::minutes(1);
        CHECK(world_.loop.run(work.stop(deadline)).empty());
        CHECK(world_.loop.run(scope.close(clock, clock.now(), deadline)).empty());
    }
    TestResolver(const TestResolver&) = delete;
    TestResolver& operator=(const TestResolver&) = delete;

    static Config test_config() {
        Config config;
        config.common.testing = true;
        config.common.addr = net::Address::tcp("127.0.0.1", 0);
        config.udp_addr = net::Address::tcp("127.0.0.1", 0);
        config.held_timeout = std::chrono::hours(24);
        config.udp_sessions_max = 1000;
        return config;
    }

    /// Through the router, as a connection does it.
    http::Response send(http::Request request) {
        return world_.loop.run(services::answer_of(surface.router(), std::move(request)));
    }

    /// As a visor over dmsg, from this public address.
    http::Response as_visor(
        const crypto::PublicKey& key,
        http::Method method,
        std::string path,
        std::string body = {},
        std::string ip = "203.0.113.7"
    ) {
        http::Request made = services::local_request(method, std::move(path), std::move(body));
        made.remote = net::Address::tcp(key.to_text(), 50000);
        made.fields.set("SW-PublicIP", std::move(ip));
        return send(std::move(made));
    }

    http::Response bind(const crypto::PublicKey& key, std::string more = {}) {
        return as_visor(
            key,
            http::Method::post,
            "/bind/stcpr",
            R"({"port":"7777","addresses":["203.0.113.7"])" + more + "}"
        );
    }
    /// 200 or 404.
    unsigned resolved(const crypto::PublicKey& caller, const crypto::PublicKey& key) {
        return as_visor(caller, http::Method::get, "/resolve/stcpr/" + key.to_text()).status;
    }
    std::string transports() {
        return std::string(
            send(services::local_request(http::Method::get, "/transports")).body_view()
        );
    }

 private:
    static services::HttpSurface::Options surface_options() {
        services::HttpSurface::Options options;
        options.service_name = "address-resolver";
        return options;
    }

    services::TestWorld& world_;

 public:
    std::shared_ptr<TestProber::Answers> probes = std::make_shared<TestProber::Answers>();
    services::TestStore store;
    services::HttpSurface surface;
    net::Scope scope;
    Work work;
    Result<> opened;
};

}  // namespace skywire::resolver
