#include "services/service_discovery/visor_services.hpp"

#include "cxo/leaf.hpp"
#include "services/service_discovery/test_service_discovery.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace skywire::service_discovery {
namespace {

using services::TestStore;
using services::TestWorld;
using Taken = services::FeedIntake::Taken;

const crypto::KeyPair kVisor = keys_of("visor1");
const crypto::KeyPair kOther = keys_of("visor2");

using Leaves = std::map<std::string, std::string>;

std::string leaf_of(
    const std::string& type,
    const std::string& more = R"(,"geo":{"country":"DE"})",
    const crypto::KeyPair& keys = kVisor
) {
    return TestService::body_of(keys, type, more);
}

/// A service that a visor's feed reaches.
struct Rig {
    explicit Rig(
        services::StoreConfig store = TestStore::memory(),
        Config config = TestService::testing_config()
    )
        : service(world, std::move(store), std::move(config)) {}

    Taken take(const Leaves& leaves) {
        std::vector<cxo::Change> changes;
        changes.reserve(leaves.size());
        for (const auto& [path, leaf] : leaves) {
            const ByteSpan bytes = as_bytes(leaf);
            changes.push_back({path, Bytes(bytes.begin(), bytes.end())});
        }
        const cxo::Tree tree = cxo::Tree(index).apply(std::move(changes)).value().tree;
        return world.loop.run(service.work.take(kVisor.public_key, tree));
    }
    std::uint64_t count(std::string outcome) {
        return world.counted("service_discovery_feed_entries_total", "outcome", std::move(outcome));
    }
    bool lists(const std::string& type) { return service.lists(kVisor, type); }

    TestWorld world;
    cxo::ObjectIndex index;
    TestService service;
};

}  // namespace

TEST_CASE("sd visor services: what a visor's feed has is listed, and gone when it goes") {
    Rig rig;
    const std::string framed(as_text(cxo::write_frame(leaf_of("skysocks")).value()));
    CHECK(rig.take({{"services/vpn", leaf_of("vpn")}, {"anywhere", framed}}) == Taken::done);
    CHECK(rig.lists("vpn"));
    CHECK(rig.lists("skysocks"));
    CHECK(
        rig.service.list("vpn") == R"([{"address":")" + kVisor.public_key.to_text() +
                                       R"(:44","type":"vpn","geo":{"country":"DE"},)"
                                       R"("version":"v1.3.29"}])"
                                       "\n"
    );
    // Another place is as good.
    CHECK(rig.take({{"vpn", leaf_of("vpn")}}) == Taken::done);
    CHECK(rig.lists("vpn"));
    CHECK_FALSE(rig.lists("skysocks"));
    CHECK(rig.take({}) == Taken::nothing);
    CHECK_FALSE(rig.lists("vpn"));
    CHECK(rig.count("taken") == 3);
    CHECK(rig.count("removed") == 2);
    CHECK(rig.count("absent") == 1);
    const auto uptimes = rig.service.get("/uptimes?v=v2");
    CHECK(uptimes.body_view().find(kVisor.public_key.to_text()) != std::string_view::npos);
}

TEST_CASE("sd visor services: a leaf of another type at the same place takes the place") {
    Rig rig;
    rig.take({{"a", leaf_of("vpn")}, {"b", leaf_of("skysocks")}});
    rig.take({{"a", leaf_of("skysocks")}, {"b", leaf_of("something")}});
    CHECK_FALSE(rig.lists("vpn"));
    CHECK(rig.lists("skysocks"));
    CHECK(rig.lists("something"));
}

TEST_CASE("sd visor services: the rules of a registration hold") {
    Rig rig;
    CHECK(rig.take({{"a", leaf_of("vpn", "", kOther)}}) == Taken::nothing);
    CHECK(rig.take({{"a", R"({"type":"vpn","version":"v1.3.29"})"}}) == Taken::nothing);
    CHECK(rig.take({{"a", "null"}}) == Taken::nothing);
    CHECK(rig.count("other_key") == 3);
    const std::string address = R"({"address":")" + kVisor.public_key.to_text() + R"(:44")";
    CHECK(rig.take({{"a", address + R"(,"type":"vpn"})"}}) == Taken::nothing);
    CHECK(rig.count("no_version") == 1);
    // Whatever it says of its address.
    for (const std::string ips : {R"([""])", R"(["203.0.113.7"])", "[]"})
        CHECK(
            rig.take({{"a", leaf_of("visor", R"(,"geo":{"lat":1},"local_ips":)" + ips)}}) ==
            Taken::nothing
        );
    CHECK(rig.count("unreachable") == 3);
    CHECK(rig.take({{"a", leaf_of(std::string(129, 't'))}}) == Taken::nothing);
    CHECK(
        rig.take({{"a", leaf_of("vpn", R"(,"local_ips":[")" + std::string(17'000, '1') + R"("])")}}
        ) == Taken::nothing
    );
    CHECK(rig.take({{"a", std::string(40'000, ' ') + leaf_of("vpn")}}) == Taken::nothing);
    CHECK(rig.count("too_large") == 3);
    CHECK(rig.service.work.directory().table().size() == 0);
}

TEST_CASE("sd visor services: what is no registration changes nothing") {
    Rig rig;
    rig.take({{"a", leaf_of("vpn")}});
    const std::string bomb(as_text(cxo::write_gzip(std::string(10'000'000, ' ')).value()));
    const std::vector<std::string> leaves{
        "nonsense",
        "[]",
        "7",
        leaf_of("vpn", R"(,"unknown":1)"),
        R"({"address":"nonsense","type":"vpn"})",
        R"({"address":7,"type":"vpn"})",
        R"({"address":")" + kVisor.public_key.to_text() + R"(:65536","type":"vpn"})",
        leaf_of("vpn", R"(,"geo":7)"),
        leaf_of("vpn", R"(,"local_ips":{})"),
        R"({"deleted_at":"2026-09-01T00:00:00Z"})",
        std::string(1000, '['),
        std::string("\x02of another version"),
        std::string("\0\xff", 2),
        bomb
    };
    for (const std::string& leaf : leaves)
        CHECK(rig.take({{"a", leaf}}) == Taken::nothing);
    CHECK(rig.count("unreadable") == leaves.size());
    CHECK(rig.lists("vpn"));
    // It is gone with its leaf all the same.
    rig.take({{"b", "nonsense"}});
    CHECK_FALSE(rig.lists("vpn"));
}

TEST_CASE("sd visor services: a feed of too many leaves, of one type twice, of too many types") {
    Rig rig;
    rig.take({{"a", leaf_of("vpn")}});
    Leaves leaves;
    for (int i = 0; i < 129; ++i)
        leaves.emplace(fmt::format("leaf{}", i), leaf_of(fmt::format("type{}", i)));
    CHECK(rig.take(leaves) == Taken::nothing);
    CHECK(rig.count("too_many") == 1);
    CHECK(rig.lists("vpn"));
    rig.take({{"a", leaf_of("vpn")}, {"b", leaf_of("vpn", R"(,"geo":{"country":"FR"})")}});
    CHECK(rig.count("twice") == 1);
    CHECK(rig.service.list("vpn").find("DE") != std::string::npos);
    leaves.erase("leaf7");
    CHECK(rig.take(leaves) == Taken::done);
    // 64 of one key, the vpn among them.
    CHECK(rig.count("limit") == 128 - 63);
    CHECK(rig.service.work.directory().table().size() == 63);
    rig.take({{"a", leaf_of("vpn")}});
    CHECK(rig.service.work.directory().table().size() == 1);
    // Nothing is written for what was never registered: the vpn, then the 63 others.
    CHECK(rig.count("removed") == 1 + 63);
}

TEST_CASE("sd visor services: what came over HTTP stays, unless a feed has listed it since") {
    Rig rig;
    REQUIRE(rig.service.post_held(kVisor, "vpn").status == 200);
    rig.take({{"a", leaf_of("skysocks")}});
    CHECK(rig.lists("vpn"));
    rig.take({{"a", leaf_of("vpn")}});
    CHECK_FALSE(rig.lists("skysocks"));
    rig.take({});
    CHECK_FALSE(rig.lists("vpn"));
}

TEST_CASE("sd visor services: they end by their age, and give their visor's others a longer life") {
    Rig rig;
    REQUIRE(rig.service.post_held(kVisor, "vpn").status == 200);
    for (int i = 0; i < 40; ++i) {
        rig.take({{"a", leaf_of("skysocks")}});
        rig.world.pass(90s);
    }
    CHECK(rig.lists("skysocks"));
    CHECK(rig.lists("vpn"));
    rig.world.pass(5min);
    CHECK_FALSE(rig.lists("skysocks"));
    rig.world.pass(10min);
    CHECK_FALSE(rig.lists("vpn"));
}

TEST_CASE("sd visor services: an entry without a place has the configured one, or none") {
    {
        Rig rig;
        CHECK(rig.take({{"a", leaf_of("vpn", "")}}) == Taken::done);
        CHECK(rig.service.list("vpn").find(R"("geo":{})") != std::string::npos);
    }
    Config config = TestService::testing_config();
    config.geo.fallback = Geo{1, 2, "XX", ""};
    Rig rig(TestStore::memory(), config);
    CHECK(rig.take({{"a", leaf_of("vpn", "")}}) == Taken::done);
    CHECK(rig.service.list("vpn").find(R"("country":"XX")") != std::string::npos);
}

TEST_CASE("sd visor services: what the store does not take is asked for again") {
    Rig rig;
    rig.take({{"a", leaf_of("vpn")}});
    rig.world.faults.set("store", "memory");
    CHECK(rig.take({{"a", leaf_of("skysocks")}}) == Taken::again);
    // For the removal alone.
    CHECK(rig.take({}) == Taken::again);
    rig.world.faults.clear("store", "memory");
    CHECK(rig.lists("vpn"));
    CHECK(rig.take({{"a", leaf_of("skysocks")}}) == Taken::done);
    CHECK_FALSE(rig.lists("vpn"));
    CHECK(rig.lists("skysocks"));
    CHECK(rig.count("store_unavailable") == 2);
}

TEST_CASE("sd visor services: what a feed says while the store is away is not all made up for") {
    Rig rig;
    rig.world.faults.set("store", "memory");
    for (int i = 0; i < 100; ++i)
        CHECK(rig.take({{"a", leaf_of(fmt::format("type{}", i))}}) == Taken::again);
    rig.world.faults.clear("store", "memory");
    CHECK(rig.take({{"a", leaf_of("vpn")}}) == Taken::done);
    CHECK(rig.lists("vpn"));
    CHECK(rig.count("removed") == VisorServices::kUncertainMax);
    CHECK(rig.take({}) == Taken::nothing);
    CHECK(rig.service.work.directory().table().size() == 0);
}

TEST_CASE("sd visor services: a store that is full is not asked again and again") {
    services::StoreConfig config = TestStore::memory();
    // An uptime's among them.
    config.limits.entries_max = 12;
    Rig rig(std::move(config));
    CHECK(rig.take({{"a", leaf_of("vpn")}}) == Taken::done);
    Leaves leaves{{"a", leaf_of("vpn")}};
    for (int i = 0; i < 20; ++i)
        leaves.emplace(fmt::format("leaf{}", i), leaf_of(fmt::format("type{}", i)));
    rig.world.pass(4min);
    CHECK(rig.take(leaves) == Taken::done);
    const std::uint64_t taken = rig.count("taken");
    CHECK(rig.count("limit") == 22 - taken);
    CHECK(rig.count("limit") >= 18);
    CHECK(rig.count("store_unavailable") == 0);
    // What there was goes on.
    rig.world.pass(4min);
    CHECK(rig.lists("vpn"));
}

TEST_CASE("sd visor services: a feed is one write of the store") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    Rig rig(TestStore::redis(server));
    // That of the log, which is in each.
    const auto writes = [&] {
        const std::string told = server.command("INFO commandstats");
        const std::string_view name = "cmdstat_eval:calls=";
        const std::size_t at = told.find(name);
        return at == std::string::npos ? 0 : std::stoi(told.substr(at + name.size()));
    };
    Leaves leaves;
    for (int i = 0; i < 64; ++i)
        leaves.emplace(fmt::format("leaf{}", i), leaf_of(fmt::format("type{}", i)));
    const int before = writes();
    CHECK(rig.take(leaves) == Taken::done);
    // The visor's uptime may be one more.
    CHECK(writes() - before <= 2);
    // What goes makes room for the next time.
    CHECK(rig.take({{"a", leaf_of("vpn")}}) == Taken::nothing);
    CHECK(rig.count("taken") == 64);
    CHECK(rig.count("limit") == 1);
    CHECK(rig.take({{"a", leaf_of("vpn")}}) == Taken::done);
    CHECK(rig.count("removed") == 64);
    CHECK(writes() - before <= 6);
    CHECK(rig.lists("vpn"));
    CHECK(rig.service.work.directory().table().size() == 1);
}

TEST_CASE("sd visor services: what a feed could not register is not removed with its leaf") {
    Rig rig;
    Leaves leaves;
    for (int i = 0; i < 64; ++i)
        leaves.emplace(fmt::format("leaf{}", i), leaf_of(fmt::format("type{}", i)));
    REQUIRE(rig.take(leaves) == Taken::done);
    Leaves more = leaves;
    more.emplace("zz", leaf_of("vpn"));
    CHECK(rig.take(more) == Taken::done);
    CHECK(rig.count("limit") == 1);
    // The one that gives way is removed after the vpn was refused.
    more.erase("leaf7");
    CHECK(rig.take(more) == Taken::done);
    CHECK(rig.count("limit") == 2);
    REQUIRE(rig.service.post_held(kVisor, "vpn").status == 200);
    leaves.erase("leaf7");
    CHECK(rig.take(leaves) == Taken::done);
    CHECK(rig.lists("vpn"));
    CHECK(rig.count("removed") == 1);
}

}  // namespace skywire::service_discovery
