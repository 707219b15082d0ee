#pragma once

#include "dmsg/entry.hpp"
#include "services/common/http_surface.hpp"
#include "services/common/test_request.hpp"
#include "services/common/test_store.hpp"
#include "services/dmsg_discovery/discovery.hpp"
#include "services/dmsg_discovery/routes.hpp"
#include "store/redis_server.hpp"

#include <memory>
#include <string>
#include <vector>

/// For tests of the discovery: its routes over one of the stores, with a clock that the test holds.
namespace skywire::discovery {

/// The clock of the recorded requests: spec/dmsg.md section 22.
inline constexpr WallTime kRecordingTime{std::chrono::seconds(1'795'167'603)};

enum class StoreKind { memory, snapshot, redis };

class TestDiscovery : public services::TestWorld {
 public:
    explicit TestDiscovery(
        StoreKind kind = StoreKind::memory,
        Rules rules = testing_rules(),
        std::vector<std::string> whitelist = {}
    )
        : TestWorld(kRecordingTime),
          redis(kind == StoreKind::redis ? std::make_unique<store::RedisServer>() : nullptr),
          store(*this, store_config(kind)),
          discovery(context, store.raw(), std::move(rules)),
          routes(
              loop.metrics,
              discovery,
              std::move(whitelist),
              [this](const Error&) { ++store_failures; }
          ),
          surface(host, surface_options()) {
        routes.add_to(surface.router());
    }

    ~TestDiscovery() { faults.clear("store", std::string(store.raw().kind())); }
    TestDiscovery(const TestDiscovery&) = delete;
    TestDiscovery& operator=(const TestDiscovery&) = delete;

    static Rules testing_rules() {
        Rules rules;
        rules.testing = true;
        return rules;
    }

    http::Response send(
        http::Method method, std::string target, std::string body = {}, http::Fields fields = {}
    ) {
        return loop.run(services::answer_of(
            surface.router(),
            services::local_request(method, std::move(target), std::move(body), std::move(fields))
        ));
    }
    http::Response get(std::string target) { return send(http::Method::get, std::move(target)); }
    http::Response post(const dmsg::Entry& entry, const std::string& query = {}) {
        return send(http::Method::post, "/dmsg-discovery/entry/" + query, dmsg::to_json(entry));
    }

    std::uint64_t counted(std::string_view name, std::string outcome) {
        return TestWorld::counted(name, "outcome", std::move(outcome));
    }

    /// Null with other stores.
    std::unique_ptr<store::RedisServer> redis;
    services::TestStore store;
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

    services::StoreConfig store_config(StoreKind kind) const {
        switch (kind) {
            case StoreKind::memory:
                return services::TestStore::memory();
            case StoreKind::snapshot:
                return services::TestStore::snapshot();
            case StoreKind::redis:
                return services::TestStore::redis(*redis);
        }
        return {};
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
