// How long entries live, on the virtual clock: spec/services-http.md section 13 item 3.

#include "services/service_discovery/test_service_discovery.hpp"

namespace skywire::service_discovery {
namespace {

using services::TestStore;
using services::TestWorld;

const crypto::KeyPair kVisor = keys_of("visor1");
const crypto::KeyPair kOther = keys_of("visor2");

}  // namespace

TEST_CASE("sd leases: a refreshing entry ends its timeout after the last write, not before") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    CHECK(service.post_refreshing(kVisor).status == 200);
    world.pass(4min);
    CHECK(service.post_refreshing(kVisor).status == 200);
    world.pass(5min - 1ns);
    CHECK(service.lists(kVisor));
    world.clock.advance(1ns);
    CHECK_FALSE(service.lists(kVisor));
    CHECK(service.list("vpn") == "null\n");
    CHECK(service.get("/api/services/" + kVisor.public_key.to_text() + "?type=vpn").status == 404);
    // Nothing of it stays behind.
    world.pass(30s);
    for (const char* key : {"service_types", "service:vpn"})
        CHECK(world.loop.run(service.store.raw().members(key)).value().empty());
    CHECK(service.visors.probes == 0);
}

TEST_CASE("sd leases: a version header makes an entry refreshing, too") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    http::Fields fields;
    fields.set("SW-Visor-Version", "v1.3.40");
    const std::string body = TestService::body_of(kVisor, "vpn", "");
    CHECK(
        service.send_signed(kVisor, http::Method::post, "/api/services", body, fields).status == 200
    );
    world.pass(6min);
    CHECK_FALSE(service.lists(kVisor));
}

TEST_CASE("sd leases: a held entry with a living owner is there after 30 days") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    service.visors.living.insert(kVisor.public_key);
    CHECK(service.post_held(kVisor).status == 200);
    world.pass(30 * 24h, 1min);
    CHECK(service.lists(kVisor));
    CHECK(service.visors.probes > 30 * 24 * 10);
}

TEST_CASE("sd leases: a killed owner's held entries are gone within nine minutes") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    CHECK(service.post_held(kVisor).status == 200);
    CHECK(service.post_held(kVisor, "skysocks").status == 200);
    CHECK(service.post_refreshing(kVisor, "mytype").status == 200);
    CHECK(service.post_held(kOther).status == 200);
    service.visors.living.insert(kOther.public_key);
    for (int i = 0; i < 9; ++i) {
        world.pass(1min);
        CHECK(service.post_refreshing(kOther, "mytype").status == 200);
        CHECK(service.lists(kOther));
        if (i < 4) CHECK(service.lists(kVisor));
    }
    CHECK_FALSE(service.lists(kVisor));
    CHECK_FALSE(service.lists(kVisor, "skysocks"));
    CHECK(service.lists(kOther));
}

TEST_CASE("sd leases: with our dmsg side down a held entry stays until the held timeout") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    service.visors.reachable = false;
    CHECK(service.post_held(kVisor).status == 200);
    world.pass(23h + 59min, 1min);
    CHECK(service.lists(kVisor));
    world.pass(2min, 1min);
    CHECK_FALSE(service.lists(kVisor));
}

TEST_CASE("sd leases: a signed request is a sign of life") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    CHECK(service.post_held(kVisor).status == 200);
    for (int i = 0; i < 20; ++i) {
        world.pass(4min + 50s);
        CHECK(service.erase(kVisor, "nothing").status == 200);
    }
    CHECK(service.lists(kVisor));
    CHECK(service.visors.probes == 0);
}

TEST_CASE("sd leases: an entry follows the class of its last write") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    service.visors.living.insert(kVisor.public_key);
    CHECK(service.post_held(kVisor).status == 200);
    // The same visor restarted and registering again is still held.
    CHECK(service.post_held(kVisor).status == 200);
    world.pass(1h, 1min);
    CHECK(service.lists(kVisor));
    CHECK(service.post_refreshing(kVisor).status == 200);
    world.pass(5min);
    CHECK_FALSE(service.lists(kVisor));
    CHECK(service.post_refreshing(kVisor).status == 200);
    CHECK(service.post_held(kVisor).status == 200);
    world.pass(2h, 1min);
    CHECK(service.lists(kVisor));
    CHECK(service.erase(kVisor, "vpn").status == 200);
    CHECK_FALSE(service.lists(kVisor));
    const int probes = service.visors.probes;
    world.pass(2h, 1min);
    CHECK(service.visors.probes == probes);
}

TEST_CASE("sd leases: a restart keeps what is valid, and counts no time against held entries") {
    TestWorld world;
    {
        TestService service(world, TestStore::snapshot());
        service.visors.reachable = false;
        CHECK(service.post_held(kVisor).status == 200);
        CHECK(service.post_refreshing(kOther).status == 200);
        CHECK(service.post_refreshing(keys_of("visor3"), "skysocks").status == 200);
        world.pass(2min);
        CHECK(service.post_refreshing(keys_of("visor3"), "skysocks").status == 200);
    }
    world.clock.advance(4min);
    {
        TestService service(world, TestStore::snapshot());
        service.visors.reachable = false;
        CHECK(service.lists(kVisor));
        CHECK_FALSE(service.lists(kOther));
        CHECK(service.lists(keys_of("visor3"), "skysocks"));
        world.pass(1min + 1s);
        CHECK_FALSE(service.lists(keys_of("visor3"), "skysocks"));
    }
    // Three days off.
    world.clock.advance(72h);
    TestService service(world, TestStore::snapshot());
    service.visors.reachable = false;
    CHECK(service.lists(kVisor));
    world.pass(23h, 1min);
    CHECK(service.lists(kVisor));
    world.pass(2h, 1min);
    CHECK_FALSE(service.lists(kVisor));
}

TEST_CASE("sd leases: in Redis held entries live by their owners' signs") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    TestService service(world, TestStore::redis(server));
    CHECK(service.post_held(kVisor).status == 200);
    CHECK(service.post_refreshing(kOther).status == 200);
    const std::string held = "service:vpn:" + kVisor.public_key.to_text();
    const std::string refreshing = "service:vpn:" + kOther.public_key.to_text();
    CHECK(server.command("GET " + held).find(R"("held":true)") != std::string::npos);
    const auto left = [&](const std::string& key) {
        return std::stol(server.command("TTL " + key).substr(1));
    };
    CHECK(left(held) > 86'000);
    CHECK(left(refreshing) <= 300);
    CHECK(left(refreshing) > 200);
    // A sign of life sets the whole lifetime again.
    CHECK(server.command("EXPIRE " + held + " 1000") == ":1\r\n");
    service.store.wait_idle();
    world.clock.advance(2min);
    CHECK(service.erase(kVisor, "nothing").status == 200);
    world.loop.run_until([&] { return left(held) > 86'000; });
    // What Redis has ended is not listed for long.
    CHECK(server.command("DEL " + held) == ":1\r\n");
    service.store.wait_idle();
    world.clock.advance(31s);
    CHECK(service.lists(kOther));
    CHECK_FALSE(service.lists(kVisor));
}

}  // namespace skywire::service_discovery
