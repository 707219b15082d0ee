#include "services/service_discovery/directory.hpp"

#include "services/service_discovery/test_service_discovery.hpp"

namespace skywire::service_discovery {
namespace {

using services::TestStore;
using services::TestWorld;

Entry entry_of(
    const std::string& name, const std::string& type, const std::string& version = "v1"
) {
    Entry entry;
    entry.key = keys_of(name).public_key;
    entry.port = 44;
    entry.type = type;
    entry.version = version;
    return entry;
}

/// A directory on a store.
struct Rig {
    Rig(TestWorld& world_in, services::StoreConfig config, Directory::Options options = {})
        : world(world_in),
          store(world, std::move(config)),
          directory(
              world.context,
              *store,
              options,
              [this](const crypto::PublicKey& key, std::size_t count) { held[key] = count; }
          ) {
        world.loop.run(directory.open()).value();
    }

    Result<> put(Entry entry, bool is_held) {
        return world.loop.run(directory.put(std::move(entry), is_held));
    }
    Result<> erase(const std::string& type, const std::string& name) {
        std::vector<crypto::PublicKey> keys(1, keys_of(name).public_key);
        return world.loop.run(directory.erase(type, std::move(keys)));
    }
    std::string list(const std::string& type) {
        return *world.loop.run(directory.list(type)).value()->body;
    }
    bool lists(const std::string& name, const std::string& type) {
        return list(type).find(keys_of(name).public_key.to_text()) != std::string::npos;
    }

    TestWorld& world;
    std::map<crypto::PublicKey, std::size_t> held;
    TestStore store;
    Directory directory;
};

Directory::Options few_types() {
    Directory::Options options;
    options.types_per_key_max = 3;
    return options;
}

}  // namespace

TEST_CASE("sd directory: the body of a list is made once for each change") {
    TestWorld world;
    Rig rig(world, TestStore::memory());
    REQUIRE(rig.put(entry_of("a", "vpn"), false));
    const auto body = [&](const std::string& type) {
        return world.loop.run(rig.directory.list(type)).value()->body;
    };
    const auto first = body("vpn");
    CHECK(body("vpn") == first);
    REQUIRE(rig.put(entry_of("a", "visor"), false));
    CHECK(body("vpn") == first);
    REQUIRE(rig.put(entry_of("b", "vpn"), false));
    const auto second = body("vpn");
    CHECK(second != first);
    // Who is still sending the first one goes on with it.
    CHECK(first->find(keys_of("b").public_key.to_text()) == std::string::npos);
    REQUIRE(rig.erase("vpn", "nobody"));
    CHECK(body("vpn") == second);
    REQUIRE(rig.erase("vpn", "a"));
    CHECK(body("vpn") != second);
    CHECK(*body("nothing") == "null\n");
}

TEST_CASE("sd directory: a store that does not answer changes nothing") {
    TestWorld world;
    Rig rig(world, TestStore::memory());
    REQUIRE(rig.put(entry_of("a", "vpn"), false));
    const std::string before = rig.list("vpn");
    world.faults.set("store", "memory");
    CHECK_FALSE(rig.put(entry_of("b", "vpn"), true));
    CHECK_FALSE(rig.erase("vpn", "a"));
    world.faults.clear("store", "memory");
    CHECK(rig.list("vpn") == before);
    CHECK(rig.held.empty());
}

TEST_CASE("sd directory: a key has a bounded number of types") {
    TestWorld world;
    Rig rig(world, TestStore::memory(), few_types());
    for (const char* type : {"one", "two", "three"})
        CHECK(rig.put(entry_of("a", type), true));
    CHECK(rig.put(entry_of("a", "four"), true).error() == make_error_code(errc::limit_reached));
    CHECK(rig.put(entry_of("a", "two", "v2"), true));
    CHECK(rig.put(entry_of("b", "four"), true));
    CHECK(rig.held[keys_of("a").public_key] == 3);
    REQUIRE(rig.erase("two", "a"));
    CHECK(rig.held[keys_of("a").public_key] == 2);
    CHECK(rig.put(entry_of("a", "four"), true));
}

TEST_CASE("sd directory: no type reaches the store's keys of another one") {
    TestWorld world;
    Rig rig(world, TestStore::memory());
    const std::string victim = keys_of("a").public_key.to_text();
    REQUIRE(rig.put(entry_of("b", "vpn:" + victim), true));
    REQUIRE(rig.put(entry_of("a", "vpn"), true));
    REQUIRE(rig.put(entry_of("b", "vpn%3A" + victim), true));
    CHECK(rig.lists("a", "vpn"));
    CHECK(rig.lists("b", "vpn:" + victim));
    CHECK(rig.lists("b", "vpn%3A" + victim));
    REQUIRE(rig.erase("vpn:" + victim, "b"));
    CHECK(rig.lists("a", "vpn"));
    CHECK(rig.lists("b", "vpn%3A" + victim));
    CHECK(world.loop.run(rig.store.raw().members("service:vpn")).value().size() == 1);
}

TEST_CASE("sd directory: filters are exact, a draw is from what they leave") {
    TestWorld world;
    Rig rig(world, TestStore::memory());
    for (int i = 0; i < 20; ++i) {
        Entry entry = entry_of(std::to_string(i), "vpn", i % 2 == 0 ? "v1" : "v2");
        if (i < 10) entry.geo = Geo{1, 2, "DE", ""};
        const auto stored = rig.put(std::move(entry), false);
        REQUIRE(stored);
    }
    const auto count = [&](Filter filter) {
        filter.type = "vpn";
        const auto body = world.loop.run(rig.directory.find(std::move(filter))).value();
        const auto parsed = parse_json(body).value();
        return parsed.is_array() ? parsed.get_array().size() : 0;
    };
    CHECK(count({"", "v1", "", 0}) == 10);
    CHECK(count({"", "v1", "DE", 0}) == 5);
    CHECK(count({"", "V1", "", 0}) == 0);
    CHECK(count({"", "", "de", 0}) == 0);
    CHECK(count({"", "", "", 7}) == 7);
    CHECK(count({"", "v1", "DE", 3}) == 3);
    CHECK(count({"", "", "", 20}) == 20);
    CHECK(count({"", "", "", 99}) == 20);
    std::set<std::string> drawn;
    for (int i = 0; i < 50; ++i)
        drawn.insert(world.loop.run(rig.directory.find({"vpn", "", "", 1})).value());
    CHECK(drawn.size() > 5);
}

TEST_CASE("sd directory: of two services on one Redis each reads what the other has written") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig first(world, TestStore::redis(server));
    Rig second(world, TestStore::redis(server));
    SeededRandom random(7);
    std::map<std::pair<std::string, std::string>, std::string> model;
    const auto check = [&](Rig& rig, const std::string& type) {
        std::size_t expected = 0;
        for (const auto& [place, version] : model) {
            if (place.first != type) continue;
            ++expected;
            const auto entry =
                world.loop.run(rig.directory.get(type, keys_of(place.second).public_key)).value();
            REQUIRE(entry.has_value());
            CHECK(entry->version == version);
        }
        const auto parsed = parse_json(rig.list(type)).value();
        CHECK((parsed.is_array() ? parsed.get_array().size() : 0) == expected);
    };
    for (int i = 0; i < 300; ++i) {
        Rig& writer = random.below(2) == 0 ? first : second;
        const std::string type = "type" + std::to_string(random.below(3));
        const std::string name = "visor" + std::to_string(random.below(8));
        if (random.below(3) > 0) {
            const std::string version = "v" + std::to_string(i);
            REQUIRE(writer.put(entry_of(name, type, version), random.below(2) == 0));
            model[{type, name}] = version;
        } else {
            REQUIRE(writer.erase(type, name));
            model.erase({type, name});
        }
        // Often enough one of them falls behind by more than the log tells.
        if (random.below(20) == 0) check(first, type);
        if (random.below(4) == 0) check(second, type);
    }
    for (const char* type : {"type0", "type1", "type2"}) {
        check(first, type);
        check(second, type);
    }
    CHECK(first.held == second.held);
    // The layout is the network's.
    Rig third(world, TestStore::redis(server));
    CHECK(third.list("type0") == first.list("type0"));
    CHECK(third.list("type1") == second.list("type1"));
}

TEST_CASE("sd directory: writers at the same time lose nothing") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig first(world, TestStore::redis(server));
    Rig second(world, TestStore::redis(server));
    int ended = 0;
    const auto write = [&](Rig& rig, int number) -> Task<> {
        Entry entry = entry_of(std::to_string(number), "vpn");
        const auto written = co_await rig.directory.put(std::move(entry), true);
        CHECK(written);
        ++ended;
    };
    for (int i = 0; i < 40; ++i) {
        asio::co_spawn(
            world.loop.ioc, write(i % 2 == 0 ? first : second, i), [](std::exception_ptr) {}
        );
    }
    world.loop.run_until([&] { return ended == 40; });
    CHECK(parse_json(first.list("vpn"))->as_array().size() == 40);
    CHECK(second.list("vpn") == first.list("vpn"));
}

TEST_CASE("sd directory: a Redis that was emptied, or written by others, is read again") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig rig(world, TestStore::redis(server));
    REQUIRE(rig.put(entry_of("a", "vpn"), true));
    CHECK(server.command("FLUSHALL") == "+OK\r\n");
    CHECK(rig.list("vpn") == "null\n");
    CHECK(rig.held[keys_of("a").public_key] == 0);
    // A service without the log.
    Entry other = entry_of("b", "vpn");
    const std::string key = other.key.to_text();
    store::Batch batch;
    batch.changes.emplace_back(
        store::SetValue{"service:vpn:" + key, to_stored({std::move(other), false, 0})}
    );
    batch.changes.emplace_back(store::AddToSet{"service:vpn", key});
    batch.changes.emplace_back(store::AddToSet{"service_types", "vpn"});
    world.loop.run(rig.store.raw().apply(std::move(batch))).value();
    world.clock.advance(31s);
    CHECK(rig.lists("b", "vpn"));
}

TEST_CASE("sd directory: while Redis is away nothing is answered, and nothing is lost") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer::Options kept;
    kept.appendonly = true;
    store::RedisServer server(kept);
    TestWorld world;
    Rig rig(world, TestStore::redis(server));
    REQUIRE(rig.put(entry_of("a", "vpn"), true));
    const std::string before = rig.list("vpn");
    server.stop();
    CHECK_FALSE(rig.put(entry_of("b", "vpn"), true));
    CHECK_FALSE(world.loop.run(rig.directory.list("vpn")));
    CHECK(rig.store->check().status == framework::Check::Status::fail);
    server.start();
    // The connection is made again after a pause.
    for (int i = 0; i < 100 && !world.loop.run(rig.directory.list("vpn")); ++i)
        world.pass(1s);
    CHECK(rig.list("vpn") == before);
    CHECK(rig.held[keys_of("a").public_key] == 1);
    REQUIRE(rig.put(entry_of("b", "vpn"), true));
    CHECK(rig.lists("b", "vpn"));
}

}  // namespace skywire::service_discovery
