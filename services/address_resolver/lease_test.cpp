// How long bindings live: spec/services-http.md section 13 item 3; stores that several share.

#include "services/address_resolver/test_resolver.hpp"

using namespace std::chrono_literals;

namespace skywire::resolver {
namespace {

using services::Life;
using services::TestStore;
using services::TestWorld;

const crypto::PublicKey kVisor = crypto::deterministic_key_pair("visor").public_key;
const crypto::PublicKey kOther = crypto::deterministic_key_pair("other").public_key;

constexpr const char* kOf2026 = R"(,"public_ip":"203.0.113.7")";

bool bound(TestResolver& resolver) {
    return resolver.resolved(kOther, kVisor) == 200;
}

}  // namespace

TEST_CASE("lease: a held binding whose visor gives signs is there after 30 days") {
    TestWorld world;
    TestResolver resolver(world);
    REQUIRE(resolver.bind(kVisor).status == 200);
    (*resolver.probes)[kVisor] = Life::silent;
    for (int i = 0; i < 30 * 24 * 12; ++i) {
        world.pass(5min - 1s, 5min);
        (void)resolver.as_visor(kVisor, http::Method::get, "/resolve/stcpr/" + kOther.to_text());
        world.loop.settle();
    }
    CHECK(bound(resolver));
}

TEST_CASE("lease: the same where the visor answers probes") {
    TestWorld world;
    TestResolver resolver(world);
    REQUIRE(resolver.bind(kVisor).status == 200);
    (*resolver.probes)[kVisor] = Life::alive;
    world.pass(30 * 24h, 1min);
    CHECK(bound(resolver));
}

TEST_CASE("lease: a held binding is gone within 9 minutes of its visor") {
    TestWorld world;
    TestResolver resolver(world);
    REQUIRE(resolver.bind(kVisor).status == 200);
    (*resolver.probes)[kVisor] = Life::silent;
    world.pass(5min);
    CHECK(bound(resolver));
    world.pass(4min);
    CHECK_FALSE(bound(resolver));
    CHECK(resolver.transports() == "{}");
}

TEST_CASE("lease: without dmsg a held binding stays until held_timeout") {
    TestWorld world;
    TestResolver resolver(world);
    REQUIRE(resolver.bind(kVisor).status == 200);
    world.pass(24h - 10s, 1min);
    CHECK(bound(resolver));
    world.pass(1min);
    CHECK_FALSE(bound(resolver));
}

TEST_CASE("lease: a visor that was started again is held as before") {
    TestWorld world;
    TestResolver resolver(world);
    REQUIRE(resolver.bind(kVisor).status == 200);
    world.pass(1h, 1min);
    REQUIRE(resolver.bind(kVisor).status == 200);
    world.pass(23h, 1min);
    CHECK(bound(resolver));
}

TEST_CASE("lease: a refreshing binding is gone entry_timeout after the last write") {
    TestWorld world;
    TestResolver resolver(world);
    REQUIRE(resolver.bind(kVisor, kOf2026).status == 200);
    world.pass(4min);
    REQUIRE(resolver.bind(kVisor, kOf2026).status == 200);
    world.pass(5min - 1s);
    CHECK(bound(resolver));
    world.pass(1s);
    CHECK_FALSE(bound(resolver));
    CHECK(resolver.transports() == "{}");
    CHECK(world.loop.run(resolver.store.raw().count("address-resolver:stcpr:_index")).value() == 0);
}

TEST_CASE("lease: a visor that turns from one class to the other follows its last write") {
    TestWorld world;
    TestResolver resolver(world);
    REQUIRE(resolver.bind(kVisor).status == 200);
    REQUIRE(resolver.bind(kVisor, kOf2026).status == 200);
    world.pass(5min);
    CHECK_FALSE(bound(resolver));
    REQUIRE(resolver.bind(kVisor, kOf2026).status == 200);
    REQUIRE(resolver.bind(kVisor).status == 200);
    world.pass(1h, 1min);
    CHECK(bound(resolver));
}

TEST_CASE("lease: a restart from the snapshot loses nothing, and its time does not count") {
    TestWorld world;
    const auto refreshing = crypto::deterministic_key_pair("refreshing").public_key;
    {
        TestResolver resolver(world, TestStore::snapshot());
        REQUIRE(resolver.bind(kVisor).status == 200);
        REQUIRE(resolver.bind(refreshing, kOf2026).status == 200);
        world.pass(1min);
    }
    {
        TestResolver resolver(world, TestStore::snapshot());
        CHECK(bound(resolver));
        CHECK(resolver.resolved(kOther, refreshing) == 200);
    }
    world.pass(48h, 1h);
    TestResolver resolver(world, TestStore::snapshot());
    CHECK(bound(resolver));
    CHECK(resolver.resolved(kOther, refreshing) == 404);
    (*resolver.probes)[kVisor] = Life::silent;
    world.pass(9min);
    CHECK_FALSE(bound(resolver));
}

TEST_CASE("lease: two resolvers on one Redis serve the same bindings") {
    store::RedisServer redis;
    TestWorld world;
    TestResolver one(world, TestStore::redis(redis));
    TestResolver two(world, TestStore::redis(redis));
    REQUIRE(one.bind(kVisor).status == 200);
    REQUIRE(two.bind(kOther, kOf2026).status == 200);
    CHECK(bound(two));
    CHECK(one.resolved(kVisor, kOther) == 200);
    CHECK(one.transports() == two.transports());
    CHECK(one.transports().find(kVisor.to_text()) != std::string::npos);
    const auto path = "/bind/stcpr";
    REQUIRE(two.as_visor(kVisor, http::Method::delete_, path, "{}\n").status == 200);
    CHECK(one.resolved(kOther, kVisor) == 404);
    CHECK(one.transports() == two.transports());
}

TEST_CASE("lease: in Redis a value says its class and carries its lifetime") {
    store::RedisServer redis;
    TestWorld world;
    Config config = TestResolver::test_config();
    config.common.entry_timeout = 5min;
    config.held_timeout = 1h;
    TestResolver resolver(world, TestStore::redis(redis), config);
    const std::string key = "address-resolver:stcpr:" + kVisor.to_text();
    // Redis counts by the machine's clock, and began to after `before`.
    const SystemClock redis_clock;
    SteadyTime before = redis_clock.now();
    const auto lives_for = [&](Duration whole) {
        const auto left =
            std::chrono::milliseconds(std::stoll(redis.command("PTTL " + key).substr(1)));
        return left <= whole && left >= whole - (redis_clock.now() - before) - 1ms;
    };
    REQUIRE(resolver.bind(kVisor).status == 200);
    CHECK(lives_for(1h));
    const auto held = world.loop.run(resolver.store.raw().get(key)).value();
    CHECK(
        held == R"({"remote_addr":"203.0.113.7","port":"7777","addresses":["203.0.113.7"],)"
                R"("held":true})"
    );
    before = redis_clock.now();
    REQUIRE(resolver.bind(kVisor, kOf2026).status == 200);
    CHECK(lives_for(5min));
    const auto refreshing = world.loop.run(resolver.store.raw().get(key)).value();
    CHECK(
        refreshing == R"({"remote_addr":"203.0.113.7","port":"7777","addresses":["203.0.113.7"],)"
                      R"("public_ip":"203.0.113.7"})"
    );
}

TEST_CASE("bindings: what others wrote into the store is read, or passed over") {
    TestWorld world;
    TestResolver resolver(world);
    store::Batch batch;
    const auto put = [&](const crypto::PublicKey& key, std::string text) {
        batch.changes.emplace_back(
            store::SetValue{"address-resolver:stcpr:" + key.to_text(), std::move(text)}
        );
        batch.changes.emplace_back(store::AddToSet{"address-resolver:stcpr:_index", key.to_text()});
    };
    put(kVisor, R"({"remote_addr":"203.0.113.9","port":"1","addresses":null,"new":{}})");
    put(kOther, "not JSON");
    batch.changes.emplace_back(store::AddToSet{"address-resolver:stcpr:_index", "no key"});
    const auto applied = world.loop.run(resolver.store.raw().apply(std::move(batch)));
    REQUIRE(applied.value());
    const auto answer =
        resolver.as_visor(kOther, http::Method::get, "/resolve/stcpr/" + kVisor.to_text());
    CHECK(answer.body == R"({"remote_addr":"203.0.113.9","port":"1","addresses":[]})");
    CHECK(resolver.resolved(kVisor, kOther) == 404);
    CHECK(resolver.transports().find(kVisor.to_text()) != std::string::npos);
    CHECK(resolver.bind(kOther).status == 200);
    CHECK(resolver.resolved(kVisor, kOther) == 200);
}

TEST_CASE("address-resolver: a store that fails is answered with 500 and known at once") {
    TestWorld world;
    TestResolver resolver(world);
    REQUIRE(resolver.bind(kVisor).status == 200);
    world.faults.set("store", "memory");
    CHECK(resolver.bind(kVisor).status == 500);
    CHECK(resolver.resolved(kOther, kVisor) == 500);
    CHECK(resolver.send(services::local_request(http::Method::get, "/transports")).status == 500);
    CHECK(resolver.store->check().status == framework::Check::Status::fail);
    world.faults.clear("store", "memory");
    CHECK(bound(resolver));
}

}  // namespace skywire::resolver
