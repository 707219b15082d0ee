#include "services/dmsg_discovery/feed.hpp"

#include "base/test.hpp"
#include "services/common/test_feed.hpp"
#include "services/common/test_throwing_store.hpp"
#include "services/dmsg_discovery/test_discovery.hpp"

#include <algorithm>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace skywire::discovery {
namespace {

using namespace std::chrono_literals;
using services::FeedLayout;
using services::Paths;
using services::TestFeed;

const crypto::KeyPair kAlice = crypto::deterministic_key_pair("alice");
const crypto::KeyPair kBob = crypto::deterministic_key_pair("bob");
const crypto::KeyPair kOne = crypto::deterministic_key_pair("server one");
const crypto::KeyPair kTwo = crypto::deterministic_key_pair("server two");

std::string clients_of(const crypto::KeyPair& server) {
    return "clients-by-server/" + server.public_key.to_text();
}
std::string server_at(const crypto::KeyPair& server) {
    return "clients-by-server/servers/" + server.public_key.to_text();
}
std::string old_leaf(
    const crypto::KeyPair& server, const crypto::KeyPair& client, const char* leaf = "entry"
) {
    return fmt::format("{}/{}/{}", clients_of(server), client.public_key, leaf);
}
Paths sorted(Paths paths) {
    std::sort(paths.begin(), paths.end());
    return paths;
}
std::string gone(const std::string& path) {
    return "-" + path;
}

/// A discovery with the content of its feed.
struct Rig : TestDiscovery {
    explicit Rig(StoreKind kind = StoreKind::memory, FeedLayout layout = FeedLayout::newest)
        : TestDiscovery(kind, testing_rules()),
          content(context, store.raw(), layout),
          feed(loop, content) {
        discovery.on_written([this](const std::string& key) { content.written(key); });
        content.on_change([this] { ++woken; });
    }

    void put(const dmsg::Entry& entry) { REQUIRE(post(entry).status == 200); }
    void client(
        const crypto::KeyPair& keys,
        std::uint64_t sequence,
        const std::vector<crypto::PublicKey>& servers
    ) {
        put(client_entry(keys, sequence, servers));
    }
    void server(const crypto::KeyPair& keys, std::uint64_t sequence, std::int64_t sessions = 10) {
        clock.advance(1s);
        put(server_entry(keys, sequence, clock.wall(), sessions));
    }
    /// The keys in a server's leaf, in its order.
    std::vector<std::string> keys_in(const crypto::KeyPair& server_keys) {
        std::vector<std::string> keys;
        const json::value parsed = parse_json(feed.leaves.at(clients_of(server_keys))).value();
        for (const json::value& entry : parsed.as_array())
            keys.emplace_back(entry.at("static").as_string());
        return keys;
    }

    int woken = 0;
    ClientsContent content;
    TestFeed feed;
};

}  // namespace

TEST_CASE("dmsgd feed: clients by server, as they are handed out, and the servers") {
    Rig rig;
    CHECK(rig.feed.update().empty());
    rig.server(kOne, 0);
    rig.server(kTwo, 0);
    rig.client(kAlice, 0, {kOne.public_key});
    rig.client(kBob, 0, {kOne.public_key, kTwo.public_key});
    CHECK(rig.woken == 1);
    Paths expected{clients_of(kOne), clients_of(kTwo), server_at(kOne), server_at(kTwo)};
    std::sort(expected.begin(), expected.end());
    CHECK(rig.feed.update() == expected);

    std::vector<std::string> keys{kAlice.public_key.to_text(), kBob.public_key.to_text()};
    std::sort(keys.begin(), keys.end());
    CHECK(rig.keys_in(kOne) == keys);
    CHECK(rig.keys_in(kTwo) == std::vector<std::string>{kBob.public_key.to_text()});
    CHECK(rig.feed.leaves.at(clients_of(kTwo)) == "[" + rig.get(path_of(kBob)).body + "]");
    CHECK(rig.feed.leaves.at(server_at(kOne)) == rig.get(path_of(kOne)).body);
}

TEST_CASE("dmsgd feed: a renewed entry that says nothing new publishes nothing") {
    Rig rig;
    rig.server(kOne, 0);
    rig.server(kTwo, 0);
    rig.client(kAlice, 0, {kOne.public_key});
    CHECK(rig.feed.update().size() == 3);
    rig.client(kAlice, 1, {kOne.public_key});
    rig.server(kOne, 1);
    CHECK(rig.feed.raw_changes() == 0);
    // How many sessions a server has left is news.
    rig.server(kOne, 2, /*sessions=*/9);
    CHECK(rig.feed.update() == Paths{server_at(kOne)});
    // And so is another server, with the entry as it is now.
    rig.client(kAlice, 2, {kTwo.public_key});
    Paths changed = rig.feed.update();
    std::sort(changed.begin(), changed.end());
    CHECK(changed == Paths{gone(clients_of(kOne)), clients_of(kTwo)});
    CHECK(rig.feed.leaves.at(clients_of(kTwo)) == "[" + rig.get(path_of(kAlice)).body + "]");
}

TEST_CASE("dmsgd feed: who leaves, or is thrown out, is gone") {
    Rig rig;
    rig.server(kOne, 0);
    rig.client(kAlice, 0, {kOne.public_key});
    rig.client(kBob, 0, {kOne.public_key});
    CHECK(rig.feed.update().size() == 2);
    const auto erased = rig.send(
        http::Method::delete_,
        "/dmsg-discovery/entry",
        dmsg::to_json(client_entry(kAlice, 1, {kOne.public_key}))
    );
    CHECK(erased.status == 200);
    CHECK(rig.feed.update() == Paths{clients_of(kOne)});
    CHECK(rig.keys_in(kOne) == std::vector<std::string>{kBob.public_key.to_text()});
    std::vector<std::string> keys(1, kBob.public_key.to_text());
    rig.loop.run(rig.discovery.deregister(std::move(keys))).value();
    CHECK(rig.feed.update() == Paths{gone(clients_of(kOne))});
}

TEST_CASE("dmsgd feed: what ends by its age is found within ten seconds") {
    Rig rig;
    rig.server(kOne, 0);
    CHECK(rig.feed.update() == Paths{server_at(kOne)});
    rig.clock.advance(kServerLifetime - 10s);
    CHECK(rig.feed.update().empty());
    rig.clock.advance(11s);
    CHECK(rig.feed.update() == Paths{gone(server_at(kOne))});
    rig.server(kTwo, 0);
    CHECK(rig.feed.update() == Paths{server_at(kTwo)});
    // And what a program wrote that tells nobody.
    store::Batch batch;
    const std::string key = kAlice.public_key.to_text();
    batch.changes.emplace_back(
        store::SetValue{key, dmsg::to_json(client_entry(kAlice, 0, {kTwo.public_key}))}
    );
    batch.changes.emplace_back(store::AddToSet{"clients", key});
    const bool batch_applied = rig.loop.run(rig.store.raw().apply(std::move(batch))).value();
    CHECK(batch_applied);
    CHECK(rig.feed.update().empty());
    rig.clock.advance(10s);
    CHECK(rig.feed.update() == Paths{clients_of(kTwo)});
}

TEST_CASE("dmsgd feed: an entry that names servers which are none, or too many, harms nobody") {
    Rig rig;
    const auto stored = [&](const crypto::KeyPair& keys, const std::string& text) {
        store::Batch batch;
        const std::string key = keys.public_key.to_text();
        batch.changes.emplace_back(store::SetValue{key, text});
        batch.changes.emplace_back(store::AddToSet{"clients", key});
        const bool batch_applied = rig.loop.run(rig.store.raw().apply(std::move(batch))).value();
        CHECK(batch_applied);
        rig.content.written(key);
    };
    stored(kAlice, "nonsense");
    CHECK(rig.feed.update().empty());
    stored(kAlice, R"({"client":{"delegated_servers":["a/b","",7,null]}})");
    CHECK(rig.feed.update().empty());
    const auto numbered = [](int i) { return crypto::deterministic_key_pair(std::to_string(i)); };
    for (int i = 0; i < 10; ++i)
        rig.server(numbered(i), 0);
    CHECK(rig.feed.update().size() == 10);
    std::string many = R"({"client":{"delegated_servers":[)";
    for (int i = 0; i < 200; ++i) {
        if (i > 0) many += ',';
        many += '"' + numbered(i % 10).public_key.to_text() + '"';
    }
    stored(kAlice, many + "]}}");
    // More than 8 KiB.
    CHECK(rig.feed.update().empty());
    stored(kAlice, many.substr(0, many.find(',', 1500)) + "]}}");
    CHECK(rig.feed.update().size() == 8);
    stored(kAlice, R"({"client":7,"server":[]})");
    CHECK(rig.feed.update().size() == 8);
    CHECK(rig.feed.leaves.size() == 10);
}

TEST_CASE("dmsgd feed: who names a key that is no server has a leaf when it is one") {
    Rig rig;
    rig.client(kAlice, 0, {kOne.public_key});
    CHECK(rig.feed.update().empty());
    rig.server(kOne, 0);
    CHECK(rig.feed.update() == Paths{clients_of(kOne), server_at(kOne)});
    std::vector<std::string> keys(1, kOne.public_key.to_text());
    rig.loop.run(rig.discovery.deregister(std::move(keys))).value();
    CHECK(rig.feed.update() == Paths{gone(clients_of(kOne)), gone(server_at(kOne))});
    rig.client(kBob, 0, {kOne.public_key});
    CHECK(rig.feed.update().empty());
    rig.clock.advance(1min);
    rig.server(kOne, 0);
    CHECK(rig.feed.update() == Paths{clients_of(kOne), server_at(kOne)});
    CHECK(rig.keys_in(kOne).size() == 2);
}

TEST_CASE("dmsgd feed: a restart publishes what the store has") {
    Rig rig(StoreKind::snapshot);
    rig.server(kOne, 0);
    rig.client(kAlice, 0, {kOne.public_key});
    CHECK(rig.feed.update().size() == 2);
    ClientsContent again(rig.context, rig.store.raw());
    TestFeed feed(rig.loop, again);
    CHECK(feed.update().size() == 2);
    CHECK(feed.leaves == rig.feed.leaves);
}

TEST_CASE("dmsgd feed: what another discovery writes to the same Redis is published too") {
    if (!store::RedisServer::installed()) return;
    Rig rig(StoreKind::redis);
    // Another one on the same database.
    ClientsContent other(rig.context, rig.store.raw());
    TestFeed feed(rig.loop, other);
    CHECK(feed.update().empty());
    CHECK(rig.feed.update().empty());
    rig.server(kOne, 0);
    rig.client(kAlice, 0, {kOne.public_key});
    CHECK(rig.feed.update() == Paths{clients_of(kOne), server_at(kOne)});
    CHECK(feed.update() == Paths{clients_of(kOne), server_at(kOne)});
    CHECK(rig.feed.raw_changes() == 0);
    CHECK(feed.raw_changes() == 0);
    // A note whose writer is gone before it was written: everything is looked at.
    rig.loop.run(rig.store.raw().increment("dmsg-discovery:feed:changes")).value();
    store::Batch batch;
    batch.changes.emplace_back(store::Erase{kAlice.public_key.to_text()});
    const bool batch_applied = rig.loop.run(rig.store.raw().apply(std::move(batch))).value();
    CHECK(batch_applied);
    CHECK(feed.update().empty());
    rig.clock.advance(3s);
    // Found out in one call, looked at in the same.
    CHECK(feed.update() == Paths{gone(clients_of(kOne))});
}

TEST_CASE("dmsgd feed: while the store does not answer nothing is lost") {
    Rig rig;
    CHECK(rig.feed.update().empty());
    rig.server(kOne, 0);
    rig.client(kAlice, 0, {kOne.public_key});
    rig.faults.set("store", "memory");
    CHECK_FALSE(rig.loop.run(rig.content.changes()).has_value());
    rig.faults.clear("store", "memory");
    CHECK(rig.feed.update() == Paths{clients_of(kOne), server_at(kOne)});
}

TEST_CASE("dmsgd feed: in the old layout a leaf for each client of a server") {
    Rig rig(StoreKind::memory, FeedLayout::old);
    rig.server(kOne, 0);
    rig.server(kTwo, 0);
    CHECK(rig.feed.update().empty());
    rig.client(kAlice, 0, {kOne.public_key});
    rig.client(kBob, 0, {kOne.public_key, kTwo.public_key});
    CHECK(
        sorted(rig.feed.update()) ==
        sorted({old_leaf(kOne, kAlice), old_leaf(kOne, kBob), old_leaf(kTwo, kBob)})
    );
    CHECK(rig.feed.leaves.at(old_leaf(kTwo, kBob)) == rig.get(path_of(kBob)).body);
    // Renewed, and with nothing new.
    rig.client(kAlice, 1, {kOne.public_key});
    rig.server(kOne, 1);
    CHECK(rig.feed.raw_changes() == 0);
    // To another server.
    rig.client(kAlice, 2, {kTwo.public_key});
    CHECK(
        sorted(rig.feed.update()) == sorted(
                                         {gone(old_leaf(kOne, kAlice)),
                                          old_leaf(kOne, kAlice, "tombstone"),
                                          old_leaf(kTwo, kAlice)}
                                     )
    );
    CHECK(
        rig.feed.leaves.at(old_leaf(kOne, kAlice, "tombstone")) ==
        fmt::format(R"({{"deleted_at":"{}"}})", format_rfc3339(rig.clock.wall()))
    );
    // And back.
    rig.client(kAlice, 3, {kOne.public_key});
    CHECK(
        sorted(rig.feed.update()) == sorted(
                                         {gone(old_leaf(kOne, kAlice, "tombstone")),
                                          old_leaf(kOne, kAlice),
                                          gone(old_leaf(kTwo, kAlice)),
                                          old_leaf(kTwo, kAlice, "tombstone")}
                                     )
    );
    std::vector<std::string> keys(1, kBob.public_key.to_text());
    rig.loop.run(rig.discovery.deregister(std::move(keys))).value();
    CHECK(rig.feed.update().size() == 4);
    // Bob's twice, and Alice's: an hour.
    CHECK(rig.feed.leaves.size() == 4);
    rig.clock.advance(1h);
    CHECK(rig.feed.update().size() >= 3);
    for (const auto& [path, leaf] : rig.feed.leaves)
        CHECK((path == old_leaf(kOne, kAlice) || path == old_leaf(kOne, kAlice, "tombstone")));
}

TEST_CASE("dmsgd feed: in the old layout clients come and go with their server") {
    Rig rig(StoreKind::memory, FeedLayout::old);
    rig.client(kAlice, 0, {kOne.public_key});
    rig.client(kBob, 0, {kOne.public_key, kTwo.public_key});
    CHECK(rig.feed.update().empty());
    rig.server(kOne, 0);
    CHECK(sorted(rig.feed.update()) == sorted({old_leaf(kOne, kAlice), old_leaf(kOne, kBob)}));
    std::vector<std::string> keys(1, kOne.public_key.to_text());
    rig.loop.run(rig.discovery.deregister(std::move(keys))).value();
    CHECK(rig.feed.update().size() == 4);
    CHECK(rig.feed.leaves.size() == 2);
    CHECK(rig.feed.leaves.contains(old_leaf(kOne, kBob, "tombstone")));
}

TEST_CASE("dmsgd feed: in the old layout too an odd entry harms nobody") {
    Rig rig(StoreKind::memory, FeedLayout::old);
    const auto numbered = [](int i) { return crypto::deterministic_key_pair(std::to_string(i)); };
    for (int i = 0; i < 10; ++i)
        rig.server(numbered(i), 0);
    const auto stored = [&](const std::string& key, const std::string& text) {
        store::Batch batch;
        batch.changes.emplace_back(store::SetValue{key, text});
        batch.changes.emplace_back(store::AddToSet{"clients", key});
        const bool batch_applied = rig.loop.run(rig.store.raw().apply(std::move(batch))).value();
        CHECK(batch_applied);
        rig.content.written(key);
    };
    const std::string alice = kAlice.public_key.to_text();
    std::string names;
    for (int i = 0; i < 10; ++i)
        names += '"' + numbered(i).public_key.to_text() + R"(",)";
    stored("../" + alice, R"({"client":{"delegated_servers":[)" + names + "7]}}");
    stored(alice, R"({"client":{"delegated_servers":["a/b","","servers",null]}})");
    CHECK(rig.feed.update().empty());
    stored(alice, R"({"client":{"delegated_servers":[)" + names + "7]}}");
    CHECK(rig.feed.update().size() == 8);
    // More than 8 KiB: it is not there, for this feed.
    stored(
        alice,
        R"({"client":{"delegated_servers":[)" + names + '"' + std::string(9000, 'x') + "\"]}}"
    );
    CHECK(rig.feed.update().size() == 16);
    stored(alice, "nonsense");
    CHECK(rig.feed.update().empty());
    CHECK(rig.feed.leaves.size() == 8);
    // A server and its own client.
    stored(alice, R"({"server":{},"client":{"delegated_servers":[")" + alice + "\"]}}");
    CHECK(rig.feed.update() == Paths{old_leaf(kAlice, kAlice)});
}

TEST_CASE("dmsgd feed: discoveries on one Redis may have different layouts") {
    if (!store::RedisServer::installed()) return;
    Rig rig(StoreKind::redis);
    ClientsContent other(rig.context, rig.store.raw(), FeedLayout::old);
    TestFeed feed(rig.loop, other);
    CHECK(feed.update().empty());
    CHECK(rig.feed.update().empty());
    rig.server(kOne, 0);
    rig.client(kAlice, 0, {kOne.public_key});
    CHECK(rig.feed.update() == Paths{clients_of(kOne), server_at(kOne)});
    CHECK(feed.update() == Paths{old_leaf(kOne, kAlice)});
    std::vector<std::string> keys(1, kAlice.public_key.to_text());
    rig.loop.run(rig.discovery.deregister(std::move(keys))).value();
    CHECK(rig.feed.update() == Paths{gone(clients_of(kOne))});
    CHECK(
        feed.update() == Paths{old_leaf(kOne, kAlice, "tombstone"), gone(old_leaf(kOne, kAlice))}
    );
    CHECK(feed.raw_changes() == 0);
}

TEST_CASE("dmsgd feed: while the store does not answer the old layout loses nothing") {
    Rig rig(StoreKind::memory, FeedLayout::old);
    rig.server(kOne, 0);
    CHECK(rig.feed.update().empty());
    rig.client(kAlice, 0, {kOne.public_key});
    rig.faults.set("store", "memory");
    CHECK_FALSE(rig.loop.run(rig.content.changes()).has_value());
    rig.faults.clear("store", "memory");
    CHECK(rig.feed.update() == Paths{old_leaf(kOne, kAlice)});
}

TEST_CASE("dmsgd feed: an exception on the way loses nothing, whichever call it comes from") {
    for (const FeedLayout layout : {FeedLayout::newest, FeedLayout::old}) {
        bool threw = true;
        for (std::size_t calls = 0; threw; ++calls) {
            Rig rig;
            services::ThrowingStore store(rig.store.raw());
            ClientsContent content(rig.context, store, layout);
            TestFeed feed(rig.loop, content);
            CHECK(feed.update().empty());
            rig.discovery.on_written([&](const std::string& key) { content.written(key); });
            rig.server(kOne, 0);
            rig.client(kAlice, 0, {kOne.public_key});
            rig.client(kBob, 0, {kOne.public_key});
            store.throw_after(calls);
            threw = false;
            Paths told;
            try {
                told = feed.update();
            } catch (const std::bad_alloc&) {
                threw = true;
                // What was looked at is known to be so; what was not is found by the next look.
                rig.clock.advance(10s);
                told = feed.update();
            }
            CHECK(
                sorted(told) == (layout == FeedLayout::old
                                     ? sorted({old_leaf(kOne, kAlice), old_leaf(kOne, kBob)})
                                     : sorted({clients_of(kOne), server_at(kOne)}))
            );
        }
    }
}

}  // namespace skywire::discovery
