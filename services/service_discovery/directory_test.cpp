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

Directory::Exchange exchange_of(
    const std::string& name, const std::vector<std::string>& types, std::vector<std::string> gone
) {
    Directory::Exchange exchange{keys_of(name).public_key, {}, std::move(gone)};
    exchange.put.reserve(types.size());
    for (const std::string& type : types)
        exchange.put.push_back(entry_of(name, type));
    return exchange;
}

std::vector<std::string> types_of(const std::string& prefix, int count) {
    std::vector<std::string> types;
    types.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i)
        types.push_back(prefix + std::to_string(i));
    return types;
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
    /// As a visor's feed: entries of these types, and none of those.
    Result<Directory::Types> exchange(
        const std::string& name,
        const std::vector<std::string>& types,
        std::vector<std::string> gone = {}
    ) {
        return world.loop.run(directory.exchange(exchange_of(name, types, std::move(gone))));
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

TEST_CASE("sd directory: an exchange leaves out what is too much of one key") {
    TestWorld world;
    Rig rig(world, TestStore::memory(), few_types());
    CHECK(rig.exchange("a", {"one", "two"}).value().empty());
    // What goes makes room for the next one, not for this.
    CHECK(
        rig.exchange("a", {"four", "three", "two"}, {"one"}).value() == Directory::Types{"three"}
    );
    CHECK_FALSE(rig.lists("a", "one"));
    CHECK(rig.lists("a", "two"));
    CHECK(rig.lists("a", "four"));
    CHECK(rig.exchange("a", {"four", "three", "two"}).value().empty());
    CHECK(rig.exchange("a", {}, {"two", "three", "four", "never"}).value().empty());
    CHECK(rig.directory.table().size() == 0);
    CHECK(world.loop.run(rig.store.raw().members("service_types")).value().empty());
}

TEST_CASE("sd directory: in a store that is full what there is goes on, and what has room comes") {
    for (services::StoreConfig config : {TestStore::memory(), TestStore::snapshot()}) {
        TestWorld world;
        // A place of its own, and one in each of three sets; of a type that others have, two.
        config.limits.entries_max = 10;
        Rig rig(world, config);
        REQUIRE(rig.put(entry_of("b", "known"), true));
        REQUIRE(rig.exchange("a", {"old"}).value().empty());
        world.clock.advance(4min);
        CHECK(
            rig.exchange("a", {"known", "new", "old"}).value() == Directory::Types{"known", "new"}
        );
        world.clock.advance(4min);
        CHECK(rig.lists("a", "old"));
        // What goes makes room for the first that fits.
        CHECK(rig.exchange("a", {"known", "new"}, {"old"}).value() == Directory::Types{"new"});
        CHECK(rig.lists("a", "known"));
        CHECK_FALSE(rig.lists("a", "old"));
        CHECK_FALSE(rig.lists("a", "new"));
        CHECK(rig.exchange("a", {"known"}).value().empty());
        CHECK(rig.store->check().status == framework::Check::Status::pass);
    }
}

TEST_CASE("sd directory: an exchange that fails has changed nothing here") {
    TestWorld world;
    Rig rig(world, TestStore::memory());
    REQUIRE(rig.exchange("a", {"one", "two"}).value().empty());
    const std::string before = rig.list("one");
    world.faults.set("store", "memory");
    CHECK_FALSE(rig.exchange("a", {"three"}, {"one"}));
    world.faults.clear("store", "memory");
    CHECK(rig.list("one") == before);
    CHECK(rig.list("three") == "null\n");
}

TEST_CASE("sd directory: an exchange is one write, and others see all of it or nothing") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig first(world, TestStore::redis(server));
    Rig second(world, TestStore::redis(server));
    const Counter& sent = world.loop.metrics.counter("store_redis_commands_total", "");
    const Counter& reloads = world.loop.metrics.counter("service_discovery_reloads_total", "");
    REQUIRE(first.exchange("a", types_of("old", 64)).value().empty());
    CHECK(second.lists("a", "old7"));
    const std::uint64_t sent_before = sent.value();
    const std::uint64_t reloads_before = reloads.value();
    // Whoever comes meanwhile waits for all of it.
    int ended = 0;
    bool whole = false;
    const auto exchange = [&]() -> Task<> {
        const auto exchanged =
            co_await first.directory.exchange(exchange_of("b", types_of("new", 64), {}));
        CHECK(exchanged);
        ++ended;
    };
    const auto put = [&]() -> Task<> {
        const auto stored = co_await first.directory.put(entry_of("c", "vpn"), true);
        CHECK(stored);
        whole = first.directory.table().types_of(keys_of("b").public_key) == 64;
        ++ended;
    };
    asio::co_spawn(world.loop.ioc, exchange(), [](std::exception_ptr) {});
    asio::co_spawn(world.loop.ioc, put(), [](std::exception_ptr) {});
    world.loop.run_until([&] { return ended == 2; });
    CHECK(whole);
    // Two writes; before each others are let by.
    CHECK(sent.value() - sent_before <= 2 + 2 * 48);
    REQUIRE(first.exchange("a", types_of("newer", 1), types_of("old", 64)).value().size() == 1);
    CHECK(second.list("old7") == "null\n");
    CHECK(second.lists("b", "new63"));
    CHECK(second.list("vpn") == first.list("vpn"));
    CHECK(reloads.value() == reloads_before);
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

TEST_CASE("sd directory: who writes all the time lets the other by") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig busy(world, TestStore::redis(server));
    Rig other(world, TestStore::redis(server));
    int ended = 0;
    const auto write = [&](Rig& rig, int first, int count) -> Task<> {
        for (int i = first; i < first + count; ++i) {
            Entry entry = entry_of(std::to_string(i), "vpn");
            const auto written = co_await rig.directory.put(std::move(entry), true);
            CHECK(written);
        }
        ++ended;
    };
    for (int i = 0; i < 10; ++i)
        asio::co_spawn(world.loop.ioc, write(busy, 100 * i, 40), [](std::exception_ptr) {});
    asio::co_spawn(world.loop.ioc, write(other, 5000, 40), [](std::exception_ptr) {});
    world.loop.run_until([&] { return ended == 11; });
    CHECK(parse_json(other.list("vpn"))->as_array().size() == 440);
}

TEST_CASE("sd directory: who writes much at once lets the other by as well") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig busy(world, TestStore::redis(server));
    Rig other(world, TestStore::redis(server));
    bool done = false;
    int ended = 0;
    const auto exchange = [&](std::string name) -> Task<> {
        bool even = false;
        while (!done) {
            even = !even;
            const auto exchanged = co_await busy.directory.exchange(exchange_of(
                name, types_of(even ? "even" : "odd", 32), types_of(even ? "odd" : "even", 32)
            ));
            CHECK(exchanged);
        }
        ++ended;
    };
    const auto write = [&]() -> Task<> {
        for (int i = 0; i < 40; ++i) {
            const auto written =
                co_await other.directory.put(entry_of(std::to_string(i), "vpn"), true);
            CHECK(written);
        }
        done = true;
        ++ended;
    };
    for (int i = 0; i < 10; ++i) {
        asio::co_spawn(
            world.loop.ioc, exchange("busy" + std::to_string(i)), [](std::exception_ptr) {}
        );
    }
    asio::co_spawn(world.loop.ioc, write(), [](std::exception_ptr) {});
    world.loop.run_until([&] { return ended == 11; });
    CHECK(parse_json(busy.list("vpn"))->as_array().size() == 40);
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

TEST_CASE("sd directory: a clock that is wrong ends nothing that Redis keeps") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig writer(world, TestStore::redis(server));
    REQUIRE(writer.put(entry_of("a", "vpn"), false));
    for (const Duration step : {Duration(1h), Duration(-2h)}) {
        world.clock.step_wall(step);
        Rig reader(world, TestStore::redis(server));
        CHECK(reader.lists("a", "vpn"));
        // All of it is read again.
        world.clock.advance(31s);
        CHECK(writer.lists("a", "vpn"));
        CHECK(reader.lists("a", "vpn"));
    }
    CHECK(server.command("FLUSHALL") == "+OK\r\n");
    world.clock.advance(31s);
    CHECK_FALSE(writer.lists("a", "vpn"));
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
    // The connection is made again after a pause; that takes as long as it takes.
    const Counter& reconnects = world.loop.metrics.counter("store_redis_reconnects_total", "");
    world.clock.advance(10s);
    world.loop.run_until([&] { return reconnects.value() > 0; });
    CHECK(rig.list("vpn") == before);
    CHECK(rig.held[keys_of("a").public_key] == 1);
    REQUIRE(rig.put(entry_of("b", "vpn"), true));
    CHECK(rig.lists("b", "vpn"));
}

}  // namespace skywire::service_discovery
