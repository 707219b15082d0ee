#pragma once

#include "base/test.hpp"
#include "base/test_faults.hpp"
#include "dmsg/entry.hpp"
#include "net/test_loop.hpp"
#include "services/common/http_surface.hpp"
#include "services/common/test_host.hpp"
#include "services/dmsg_discovery/discovery.hpp"
#include "services/dmsg_discovery/routes.hpp"
#include "store/memory.hpp"
#include "store/redis.hpp"
#include "store/redis_server.hpp"
#include "store/snapshot.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <stdlib.h>

/// For tests of the discovery: its routes over one of the stores, with a clock that the test holds.
namespace skywire::discovery {

/// The clock of the recorded requests: spec/dmsg.md section 22.
inline constexpr WallTime kRecordingTime{std::chrono::seconds(1'795'167'603)};

enum class StoreKind { memory, snapshot, redis };

class TestDiscovery {
 public:
    explicit TestDiscovery(
        StoreKind kind = StoreKind::memory,
        Rules rules = testing_rules(),
        std::set<std::string, std::less<>> whitelist = {}
    )
        : loop(&clock),
          context(
              loop.ioc.get_executor(),
              clock,
              loop.random,
              loop.network,
              loop.workers,
              loop.metrics,
              faults,
              log::Logger()
          ),
          host(context),
          store(make_store(kind)),
          discovery(context, *store, std::move(rules)),
          routes(
              loop.metrics,
              discovery,
              std::move(whitelist),
              [this](const Error&) { ++store_failures; }
          ),
          surface(host, surface_options()) {
        routes.add_to(surface.router());
    }

    ~TestDiscovery() {
        faults.clear("store", std::string(store->kind()));
        const auto closed = loop.run(store->close(clock.now() + std::chrono::minutes(1)));
        CHECK(closed);
        if (!folder.empty()) {
            std::error_code ignored;
            std::filesystem::remove_all(folder, ignored);
        }
    }
    TestDiscovery(const TestDiscovery&) = delete;
    TestDiscovery& operator=(const TestDiscovery&) = delete;

    static Rules testing_rules() {
        Rules rules;
        rules.testing = true;
        return rules;
    }

    /// Through the router, as a connection does it.
    Task<http::Response> handle(http::Request request) {
        co_return co_await surface.router().handle(request);
    }

    static http::Request request(
        http::Method method, std::string target, std::string body = {}, http::Fields fields = {}
    ) {
        http::Request made;
        made.method = method;
        made.path = target.substr(0, target.find('?'));
        made.target = std::move(target);
        made.body = std::move(body);
        made.fields = std::move(fields);
        made.remote = net::Address::tcp("127.0.0.1", 40000);
        return made;
    }

    http::Response send(
        http::Method method, std::string target, std::string body = {}, http::Fields fields = {}
    ) {
        return loop.run(
            handle(request(method, std::move(target), std::move(body), std::move(fields)))
        );
    }
    http::Response get(std::string target) { return send(http::Method::get, std::move(target)); }
    http::Response post(const dmsg::Entry& entry, const std::string& query = {}) {
        return send(http::Method::post, "/dmsg-discovery/entry/" + query, dmsg::to_json(entry));
    }

    std::uint64_t counted(std::string_view name, std::string outcome) {
        return loop.metrics.counter(name, "", {{"outcome", std::move(outcome)}}).value();
    }

    ManualClock clock{kRecordingTime};
    net::TestLoop loop;
    TestFaults faults;
    net::Context context;
    services::TestHost host;
    std::string folder;
    std::optional<store::RedisServer> redis;
    std::unique_ptr<store::Store> store;
    int store_failures = 0;
    Discovery discovery;
    Routes routes;
    services::HttpSurface surface;

 private:
    static services::HttpSurface::Options surface_options() {
        services::HttpSurface::Options options;
        options.service_name = "dmsg-discovery";
        return options;
    }

    std::unique_ptr<store::Store> make_store(StoreKind kind) {
        switch (kind) {
            case StoreKind::memory:
                return store::make_memory_store(context);
            case StoreKind::snapshot: {
                folder = "/tmp/discovery-test-XXXXXX";
                if (::mkdtemp(folder.data()) == nullptr) throw std::runtime_error("mkdtemp");
                auto opened = loop.run(store::open_snapshot_store(context, folder + "/d.sqlite"));
                return std::move(opened.value());
            }
            case StoreKind::redis: {
                redis.emplace();
                store::RedisOptions options;
                options.url = store::RedisUrl::parse(redis->url()).value();
                return store::make_redis_store(context, options);
            }
        }
        return nullptr;
    }
};

/// A client's entry, signed.
inline dmsg::Entry client_entry(
    const crypto::KeyPair& keys,
    std::uint64_t sequence,
    const std::vector<crypto::PublicKey>& servers = {},
    std::string client_type = {}
) {
    dmsg::Entry entry;
    entry.version = dmsg::kEntryVersion;
    entry.sequence = sequence;
    entry.timestamp = 1'700'000'000'000'000'000 + static_cast<std::int64_t>(sequence);
    entry.static_key = keys.public_key;
    entry.client.emplace();
    entry.client->delegated_servers = servers;
    entry.client_type = std::move(client_type);
    dmsg::sign_entry(entry, keys.secret_key);
    return entry;
}

/// A server's entry, signed, as of now.
inline dmsg::Entry server_entry(
    const crypto::KeyPair& keys,
    std::uint64_t sequence,
    WallTime now,
    std::int64_t available_sessions = 10,
    std::string server_type = {}
) {
    dmsg::Entry entry;
    entry.version = dmsg::kEntryVersion;
    entry.sequence = sequence;
    entry.timestamp = now.time_since_epoch().count();
    entry.static_key = keys.public_key;
    entry.server.emplace();
    entry.server->address = "192.0.2.1:8081";
    entry.server->available_sessions = available_sessions;
    entry.server->server_type = std::move(server_type);
    dmsg::sign_entry(entry, keys.secret_key);
    return entry;
}

inline std::string path_of(const crypto::KeyPair& keys) {
    return "/dmsg-discovery/entry/" + keys.public_key.to_text();
}

}  // namespace skywire::discovery
