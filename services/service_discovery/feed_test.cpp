#include "services/service_discovery/feed.hpp"

#include "cxo/tree.hpp"
#include "services/common/test_feed.hpp"
#include "services/service_discovery/test_service_discovery.hpp"

#include <algorithm>
#include <new>
#include <optional>

namespace skywire::service_discovery {
namespace {

using services::FeedLayout;
using services::Paths;
using services::TestFeed;
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

std::string old_leaf(const std::string& type, const std::string& name, const char* leaf) {
    return fmt::format("services/{}/{}/{}", type, keys_of(name).public_key, leaf);
}

Paths sorted(Paths paths) {
    std::sort(paths.begin(), paths.end());
    return paths;
}

/// A clock whose calendar may end a call as where there is no memory.
class ThrowingClock final : public Clock {
 public:
    explicit ThrowingClock(Clock& inner) : inner_(inner) {}

    /// The look at the calendar behind the next `looks` ones throws, and no other.
    void throw_after(std::size_t looks) { left_ = looks; }

    SteadyTime now() const override { return inner_.now(); }
    WallTime wall() const override {
        if (left_ && (*left_)-- == 0) {
            left_.reset();
            throw std::bad_alloc();
        }
        return inner_.wall();
    }
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override {
        return inner_.set_alarm(at, std::move(on_time));
    }

 private:
    Clock& inner_;
    mutable std::optional<std::size_t> left_;
};

/// A directory with the content of its feed.
struct Rig {
    explicit Rig(
        TestWorld& world_in,
        services::StoreConfig config = TestStore::memory(),
        FeedLayout layout = FeedLayout::newest
    )
        : world(world_in),
          store(world, std::move(config)),
          directory(world.context, *store, {}, {}),
          content(world.context, directory, layout),
          feed(world.loop, content) {
        directory.on_change([this] { ++woken; });
        world.loop.run(directory.open()).value();
    }

    void put(Entry entry, bool held = true) {
        world.loop.run(directory.put(std::move(entry), held)).value();
    }
    void erase(const std::string& type, const std::string& name) {
        std::vector<crypto::PublicKey> keys(1, keys_of(name).public_key);
        world.loop.run(directory.erase(type, std::move(keys))).value();
    }
    /// As HTTP answers it.
    std::string list(const std::string& type) {
        std::string body = *world.loop.run(directory.list(type)).value()->body;
        body.pop_back();
        return body;
    }

    TestWorld& world;
    int woken = 0;
    TestStore store;
    Directory directory;
    ServicesContent content;
    TestFeed feed;
};

}  // namespace

TEST_CASE("sd feed: a leaf for each type, as HTTP lists it") {
    TestWorld world;
    Rig rig(world);
    CHECK(rig.feed.update().empty());
    rig.put(entry_of("a", "vpn"));
    rig.put(entry_of("b", "vpn"));
    rig.put(entry_of("a", "skysocks"));
    CHECK(rig.woken == 1);
    CHECK(rig.feed.update() == Paths{"services/skysocks/all", "services/vpn/all"});
    for (const char* type : {"vpn", "skysocks"})
        CHECK(rig.feed.leaves.at(fmt::format("services/{}/all", type)) == rig.list(type));
    rig.put(entry_of("c", "vpn"));
    CHECK(rig.woken == 2);
    CHECK(rig.feed.update() == Paths{"services/vpn/all"});
}

TEST_CASE("sd feed: after large leaves it rests longer") {
    TestWorld world;
    Rig rig(world);
    rig.put(entry_of("a", "visor"));
    CHECK(rig.feed.update().size() == 1);
    CHECK(rig.content.pause() == 200ms);
    for (int i = 0; i < 1000; ++i)
        rig.put(entry_of(std::to_string(i), "vpn"));
    CHECK(rig.feed.update().size() == 1);
    CHECK(rig.content.pause() > 300ms);
    CHECK(rig.feed.update().empty());
    CHECK(rig.content.pause() == 200ms);
}

TEST_CASE("sd feed: a registration that says nothing new publishes nothing") {
    TestWorld world;
    Rig rig(world);
    rig.put(entry_of("a", "vpn"), /*held=*/false);
    CHECK(rig.feed.update().size() == 1);
    world.clock.advance(1min);
    rig.put(entry_of("a", "vpn"), /*held=*/false);
    rig.put(entry_of("a", "vpn"), /*held=*/true);
    CHECK(rig.woken == 1);
    CHECK(rig.feed.raw_changes() == 0);
    rig.put(entry_of("a", "vpn", "v2"));
    CHECK(rig.feed.update() == Paths{"services/vpn/all"});
}

TEST_CASE("sd feed: what is removed, or ends by its age, is gone") {
    TestWorld world;
    Rig rig(world);
    rig.put(entry_of("a", "vpn"));
    rig.put(entry_of("b", "vpn"), /*held=*/false);
    rig.put(entry_of("b", "visor"), /*held=*/false);
    CHECK(rig.feed.update().size() == 2);
    // Nobody asks: the feed's own look finds it.
    world.clock.advance(5min + 1s);
    CHECK(rig.feed.update() == Paths{"-services/visor/all", "services/vpn/all"});
    CHECK(rig.feed.leaves.at("services/vpn/all") == rig.list("vpn"));
    rig.erase("vpn", "a");
    CHECK(rig.feed.update() == Paths{"-services/vpn/all"});
    CHECK(rig.feed.leaves.empty());
}

TEST_CASE("sd feed: a restart publishes what the store has") {
    TestWorld world;
    TestStore store(world, TestStore::snapshot());
    {
        Directory directory(world.context, *store, {}, {});
        world.loop.run(directory.open()).value();
        world.loop.run(directory.put(entry_of("a", "vpn"), true)).value();
    }
    Directory directory(world.context, *store, {}, {});
    directory.on_change([] {});
    ServicesContent content(world.context, directory);
    world.loop.run(directory.open()).value();
    TestFeed feed(world.loop, content);
    CHECK(feed.update() == Paths{"services/vpn/all"});
}

TEST_CASE("sd feed: a type that is no name in a feed is left out") {
    TestWorld world;
    Rig rig(world);
    rig.put(entry_of("a", "vpn"));
    rig.put(entry_of("b", "vpn/all"));
    rig.put(entry_of("b", "/"));
    rig.put(entry_of("b", "odd: type%"));
    CHECK(rig.feed.update() == Paths{"services/odd: type%/all", "services/vpn/all"});
}

TEST_CASE("sd feed: what another service writes to the same Redis is published too") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig first(world, TestStore::redis(server));
    Rig second(world, TestStore::redis(server));
    first.put(entry_of("a", "vpn"));
    CHECK(second.feed.update() == Paths{"services/vpn/all"});
    second.put(entry_of("b", "vpn"));
    CHECK(first.feed.update() == Paths{"services/vpn/all"});
    CHECK(second.feed.update() == Paths{"services/vpn/all"});
    CHECK(first.feed.leaves == second.feed.leaves);
    first.erase("vpn", "a");
    first.erase("vpn", "b");
    CHECK(second.feed.update() == Paths{"-services/vpn/all"});
}

TEST_CASE("sd feed: while the store does not answer nothing is lost") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig rig(world, TestStore::redis(server));
    rig.put(entry_of("a", "vpn"));
    const auto at = store::RedisUrl::parse(server.url()).value().address.to_string();
    world.faults.set("store", at);
    CHECK_FALSE(world.loop.run(rig.content.changes()).has_value());
    world.faults.clear("store", at);
    CHECK(rig.feed.update() == Paths{"services/vpn/all"});
}

TEST_CASE("sd feed: in the old layout a leaf for each entry, as it stands in the list") {
    TestWorld world;
    Rig rig(world, TestStore::memory(), FeedLayout::old);
    rig.put(entry_of("a", "vpn"));
    rig.put(entry_of("a", "visor"));
    rig.put(entry_of("b", "vpn"), /*held=*/false);
    CHECK(
        sorted(rig.feed.update()) == sorted(
                                         {old_leaf("vpn", "a", "entry"),
                                          old_leaf("visor", "a", "entry"),
                                          old_leaf("vpn", "b", "entry")}
                                     )
    );
    CHECK("[" + rig.feed.leaves.at(old_leaf("visor", "a", "entry")) + "]" == rig.list("visor"));
    // Addresses of the visor's own network as HTTP lists them: not.
    Entry inside = entry_of("a", "vpn");
    inside.local_ips = {"192.168.1.7"};
    rig.put(inside);
    CHECK(rig.feed.raw_changes() == 0);
    rig.put(entry_of("a", "vpn"));
    CHECK(rig.feed.raw_changes() == 0);
    rig.put(entry_of("a", "vpn", "v2"));
    CHECK(rig.feed.update() == Paths{old_leaf("vpn", "a", "entry")});
    // One goes, one ends by its age: nobody asks.
    rig.erase("vpn", "a");
    world.clock.advance(5min + 1s);
    CHECK(
        sorted(rig.feed.update()) == sorted(
                                         {old_leaf("vpn", "a", "tombstone"),
                                          "-" + old_leaf("vpn", "a", "entry"),
                                          old_leaf("vpn", "b", "tombstone"),
                                          "-" + old_leaf("vpn", "b", "entry")}
                                     )
    );
    CHECK(rig.feed.leaves.at(old_leaf("vpn", "a", "tombstone"))
              .starts_with(R"({"deleted_at":"2023-11-14T22:18:21)"));
    rig.put(entry_of("a", "vpn"));
    CHECK(
        rig.feed.update() ==
        Paths{old_leaf("vpn", "a", "entry"), "-" + old_leaf("vpn", "a", "tombstone")}
    );
    world.clock.advance(1h);
    CHECK(rig.feed.update() == Paths{"-" + old_leaf("vpn", "b", "tombstone")});
    CHECK(rig.feed.leaves.size() == 2);
}

TEST_CASE("sd feed: an entry that came and went between two looks was never there") {
    TestWorld world;
    Rig rig(world, TestStore::memory(), FeedLayout::old);
    rig.put(entry_of("a", "vpn"));
    rig.erase("vpn", "a");
    CHECK(rig.feed.raw_changes() == 0);
    rig.put(entry_of("a", "vpn"));
    CHECK(rig.feed.update().size() == 1);
    // And one that went and came never went.
    rig.erase("vpn", "a");
    rig.put(entry_of("a", "vpn"));
    CHECK(rig.feed.raw_changes() == 0);
}

TEST_CASE("sd feed: both layouts stand in one feed") {
    TestWorld world;
    Rig rig(world, TestStore::memory(), FeedLayout::both);
    cxo::ObjectIndex index;
    cxo::Tree tree(index);
    const auto publish = [&] {
        auto changes = world.loop.run(rig.content.changes()).value();
        tree = tree.apply(std::move(changes)).value().tree;
    };
    rig.put(entry_of("a", "vpn"));
    rig.put(entry_of("b", "vpn"));
    publish();
    CHECK(tree.count() == 3);
    CHECK(tree.get("services/vpn/all"));
    CHECK(tree.get(old_leaf("vpn", "b", "entry")));
    rig.erase("vpn", "a");
    publish();
    CHECK(tree.get(old_leaf("vpn", "a", "tombstone")));
    rig.erase("vpn", "b");
    publish();
    CHECK_FALSE(tree.get("services/vpn/all"));
    CHECK(tree.count() == 2);
}

TEST_CASE("sd feed: a service publishes in the layout of its block") {
    TestWorld world;
    Config config = TestService::testing_config();
    config.dmsg.emplace(keys_of("sd"));
    config.feed.emplace();
    config.feed->tcp = net::Address::tcp("127.0.0.1", 0);
    config.feed->layout = FeedLayout::both;
    TestService service(world, TestStore::memory(), config);
    CHECK(service.post_held(keys_of("visor1")).status == 200);
    world.pass(1s, 100ms);
    const cxo::Tree& tree = service.work.feed()->feed().tree();
    CHECK(tree.count() == 2);
    const auto entry = tree.get(old_leaf("vpn", "visor1", "entry"));
    REQUIRE(entry);
    CHECK(service.list("vpn") == fmt::format("[{}]\n", as_text(*entry)));
}

TEST_CASE("sd feed: no name of a type harms the old layout") {
    TestWorld world;
    Rig rig(world, TestStore::memory(), FeedLayout::both);
    const std::vector<std::string> names{"vpn/all", "/", "", "all", "entry", "..", "a%2Fb", "\n"};
    for (const std::string& name : names)
        rig.put(entry_of("a", name));
    cxo::ObjectIndex index;
    auto changes = world.loop.run(rig.content.changes()).value();
    const cxo::Tree tree = cxo::Tree(index).apply(std::move(changes)).value().tree;
    // All but those with a '/' and the one without a name.
    CHECK(tree.count() == 2 * (names.size() - 3));
    CHECK(tree.get(old_leaf("all", "a", "entry")));
    CHECK(tree.get("services/all/all"));
}

TEST_CASE("sd feed: services on one Redis may have different layouts") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig first(world, TestStore::redis(server));
    Rig second(world, TestStore::redis(server), FeedLayout::old);
    first.put(entry_of("a", "vpn"));
    CHECK(second.feed.update() == Paths{old_leaf("vpn", "a", "entry")});
    second.put(entry_of("b", "vpn"));
    CHECK(first.feed.update() == Paths{"services/vpn/all"});
    CHECK(second.feed.update() == Paths{old_leaf("vpn", "b", "entry")});
    first.erase("vpn", "b");
    CHECK(first.feed.update() == Paths{"services/vpn/all"});
    CHECK(
        second.feed.update() ==
        Paths{old_leaf("vpn", "b", "tombstone"), "-" + old_leaf("vpn", "b", "entry")}
    );
    // A new one on the same store says what is there, and nothing of what was.
    Rig third(world, TestStore::redis(server), FeedLayout::both);
    CHECK(third.feed.update() == Paths{"services/vpn/all", old_leaf("vpn", "a", "entry")});
}

TEST_CASE("sd feed: while the store does not answer the old layout loses nothing") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig rig(world, TestStore::redis(server), FeedLayout::old);
    rig.put(entry_of("a", "vpn"));
    const auto at = store::RedisUrl::parse(server.url()).value().address.to_string();
    world.faults.set("store", at);
    CHECK_FALSE(world.loop.run(rig.content.changes()).has_value());
    world.faults.clear("store", at);
    CHECK(rig.feed.update() == Paths{old_leaf("vpn", "a", "entry")});
}

TEST_CASE("sd feed: an exception half-way loses nothing of the old layout") {
    TestWorld world;
    Rig rig(world, TestStore::memory(), FeedLayout::old);
    ThrowingClock clock(world.clock);
    const net::Context context(
        world.context.loop,
        clock,
        world.loop.random,
        world.loop.network,
        world.loop.workers,
        world.loop.metrics,
        world.faults,
        log::Logger()
    );
    ServicesContent content(context, rig.directory, FeedLayout::old);
    TestFeed feed(world.loop, content);
    rig.put(entry_of("a", "vpn"));
    rig.put(entry_of("b", "vpn"));
    CHECK(feed.update().size() == 2);
    rig.erase("vpn", "a");
    rig.erase("vpn", "b");
    // At the time of the second tombstone.
    clock.throw_after(1);
    CHECK_THROWS_AS(feed.update(), std::bad_alloc);
    CHECK(feed.update().size() == 4);
    CHECK(feed.leaves.size() == 2);
    for (const char* name : {"a", "b"})
        CHECK(feed.leaves.contains(old_leaf("vpn", name, "tombstone")));
}

}  // namespace skywire::service_discovery
