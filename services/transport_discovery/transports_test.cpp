#include "base/test.hpp"
#include "services/transport_discovery/detail/store_layout.hpp"
#include "services/transport_discovery/test_tpd.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using http::Method;
using transport::Entry;
using transport::SignedEntry;

http::Response post(
    TestTpd& tpd, const crypto::KeyPair& keys, const std::vector<SignedEntry>& entries
) {
    return tpd.send_as(keys, Method::post, "/transports/", body_of(entries));
}

http::Response post_v3(
    TestTpd& tpd, const crypto::KeyPair& keys, const std::vector<Entry>& entries
) {
    return tpd.send_as(keys, Method::post, "/v3/transports/", body_of(entries));
}

std::string path_of(const SignedEntry& entry) {
    return "/transports/id:" + entry.entry.id.to_text();
}

bool listed(TestTpd& tpd, const SignedEntry& entry) {
    return tpd.get("/all-transports").body.find(entry.entry.id.to_text()) != std::string::npos;
}

/// A still clock in steps, with a sign of life of a visor every five minutes.
void live_on(TestTpd& tpd, const crypto::KeyPair& keys, Duration time) {
    for (; time > Duration(0); time -= 5min) {
        tpd.world.pass(5min, 1min);
        REQUIRE(tpd.send_as(keys, Method::get, "/v4/update?version=v1.3.29").status == 200);
        tpd.world.loop.settle();
    }
}

}  // namespace

TEST_CASE("transports: who may register what") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const auto left_out = [&](const crypto::KeyPair& by, const SignedEntry& entry, LeftOut why) {
        INFO(reason(why));
        const std::uint64_t before = tpd.transports.left_out(why);
        const auto response = post(tpd, by, {entry});
        CHECK(response.status == 201);
        CHECK(response.body == "[]\n");
        CHECK_FALSE(listed(tpd, entry));
        CHECK(tpd.transports.left_out(why) == before + 1);
    };
    const auto taken = [&](const crypto::KeyPair& by, const SignedEntry& entry) {
        const auto response = post(tpd, by, {entry});
        CHECK(response.status == 201);
        CHECK(response.body == body_of({entry}) + "\n");
        CHECK(listed(tpd, entry));
    };

    SignedEntry wrong_id = signed_entry(visor(1), visor(2));
    wrong_id.entry.id.bytes[3] ^= std::byte{1};
    left_out(visor(1), wrong_id, LeftOut::wrong_id);
    SignedEntry swapped = signed_entry(visor(1), visor(2));
    std::swap(swapped.entry.edges[0], swapped.entry.edges[1]);
    left_out(visor(1), swapped, LeftOut::wrong_edges);
    SignedEntry forged = signed_entry(visor(1), visor(2));
    std::swap(forged.signatures[0], forged.signatures[1]);
    left_out(visor(1), forged, LeftOut::wrong_signature);
    left_out(visor(3), forged, LeftOut::wrong_signature);
    // Nobody's word but a stranger's.
    left_out(visor(3), signed_entry(visor(1), visor(2), "dmsg", false), LeftOut::not_an_edge);
    SignedEntry unsigned_entry = signed_entry(visor(1), visor(2), "sudph");
    unsigned_entry.signatures = {};
    left_out(visor(3), unsigned_entry, LeftOut::not_an_edge);
    SignedEntry labelled = signed_entry(visor(1), visor(2));
    labelled.entry.label = std::string(transport::kLabelSizeMax + 1, 'x');
    left_out(visor(1), labelled, LeftOut::too_long);

    taken(visor(1), unsigned_entry);
    taken(visor(2), signed_entry(visor(1), visor(2), "stcp", false));
    taken(visor(3), signed_entry(visor(1), visor(2)));
    taken(visor(1), signed_entry(visor(1), visor(1), "dmsg"));
    CHECK(tpd.transports.table().size() == 4);

    // One bad entry does not keep the others out.
    const SignedEntry good = signed_entry(visor(4), visor(5));
    CHECK(post(tpd, visor(4), {wrong_id, good, forged}).body == body_of({good}) + "\n");
    CHECK(post(tpd, visor(4), {good, good}).body == body_of({good, good}) + "\n");
    CHECK(tpd.transports.table().size() == 5);
    CHECK(tpd.send_as(visor(4), Method::post, "/transports/", "[null]").body == "[]\n");
}

TEST_CASE("transports: bare entries of v3, and reading without a signature") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const Entry mine = signed_entry(visor(1), visor(2)).entry;
    const Entry others = signed_entry(visor(2), visor(3)).entry;
    const auto response = post_v3(tpd, visor(1), {mine, others});
    CHECK(response.status == 201);
    CHECK(response.body == body_of({mine}) + "\n");
    CHECK(response.fields.get("Content-Type") == "application/json");
    CHECK(post_v3(tpd, visor(1), {others}).body == "[]\n");
    CHECK(tpd.transports.left_out(LeftOut::not_an_edge) == 2);

    const std::string edge = "/v3/transports/edge:";
    CHECK(tpd.get(edge + visor(2).public_key.to_text()).body == body_of({mine}) + "\n");
    CHECK(tpd.get(edge + visor(3).public_key.to_text()).body == "[]\n");
    CHECK(tpd.get(edge + "zz").status == 400);
    CHECK(tpd.get("/v3/transports/nothing").status == 404);
    CHECK(tpd.get(edge + "02" + std::string(64, 'f')).status == 400);

    const std::string keys = R"([")" + visor(1).public_key.to_text() + R"(","zz",")" +
                             visor(2).public_key.to_text() + R"("])";
    CHECK(tpd.send(Method::post, "/transports/edges", keys).body == body_of({mine}) + "\n");
    CHECK(tpd.send(Method::post, "/transports/edges", "[]").body == "[]\n");
    const auto bad = tpd.send(Method::post, "/transports/edges", "{}");
    CHECK(bad.status == 400);
    CHECK(bad.body == "{\"error\":\"public key is invalid\"}\n");
}

TEST_CASE("transports: a batch of deletions counts what was the caller's") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const SignedEntry mine = signed_entry(visor(1), visor(2));
    const SignedEntry others = signed_entry(visor(2), visor(3));
    post(tpd, visor(1), {mine});
    post(tpd, visor(2), {others});
    const std::string ids =
        R"([")" + mine.entry.id.to_text() + R"(",")" + others.entry.id.to_text() + R"("])";
    const auto response = tpd.send_as(visor(1), Method::post, "/transports/delete-batch", ids);
    CHECK(response.status == 200);
    CHECK(response.body == "{\"deleted\":1,\"skipped\":1}\n");
    CHECK_FALSE(listed(tpd, mine));
    CHECK(listed(tpd, others));
    for (const std::string_view bad : {"{}", "[1]", R"(["xyz"])", ""}) {
        const auto refused =
            tpd.send_as(visor(1), Method::post, "/transports/delete-batch", std::string(bad));
        CHECK(refused.status == 500);
        CHECK(refused.body == "{\"error\":\"error bad input\"}\n");
    }
}

TEST_CASE("transports: a refreshing record ends entry_timeout after the last write, not before") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const SignedEntry entry = signed_entry(visor(1), visor(2));
    post_v3(tpd, visor(1), {entry.entry});
    world.pass(4min);
    post_v3(tpd, visor(1), {entry.entry});
    world.pass(4min + 58s, 1s);
    CHECK(listed(tpd, entry));
    world.pass(3s, 1s);
    CHECK_FALSE(listed(tpd, entry));
    CHECK(tpd.send_as(visor(1), Method::get, path_of(entry)).status == 404);
    CHECK(world.loop.run(store.raw().members(index_key())).value().empty());
    CHECK(world.loop.run(store.raw().members(edge_key(visor(1).public_key))).value().empty());
    // A signed registration with the visor's version is refreshed by it, too.
    http::Fields fields;
    fields.add("SW-Visor-Version", "v1.4.0");
    tpd.send_as(visor(1), Method::post, "/transports/", body_of({entry}), fields);
    CHECK_FALSE(tpd.transports.table().find(entry.entry.id)->held);
}

TEST_CASE("transports: a held record with signs of life is there after 30 days") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const SignedEntry entry = signed_entry(visor(1), visor(2));
    post(tpd, visor(1), {entry});
    tpd.peers.living = {visor(1).public_key, visor(2).public_key};
    live_on(tpd, visor(1), 30 * 24h);
    CHECK(listed(tpd, entry));
    // Killed: gone within nine minutes.
    tpd.peers.living.erase(visor(1).public_key);
    world.pass(9min, 1s);
    CHECK_FALSE(listed(tpd, entry));
}

TEST_CASE("transports: without a way to ask, held records stay until held_timeout") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd::Options options;
    options.lifetimes.held = 48h;
    TestTpd tpd(world, *store, options);
    const SignedEntry entry = signed_entry(visor(1), visor(2));
    post(tpd, visor(1), {entry});
    tpd.peers.connected = false;
    world.pass(47h, 1min);
    CHECK(listed(tpd, entry));
    world.pass(2h, 1min);
    CHECK_FALSE(listed(tpd, entry));
}

TEST_CASE("transports: a record is held or refreshing as its last write was") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    tpd.peers.connected = false;
    const SignedEntry entry = signed_entry(visor(1), visor(2));
    post(tpd, visor(1), {entry});
    // The same visor restarted registers again, and does not refresh: still held.
    world.pass(1h, 1min);
    post(tpd, visor(1), {entry});
    world.pass(10min, 1min);
    CHECK(listed(tpd, entry));
    post_v3(tpd, visor(1), {entry.entry});
    world.pass(4min + 55s, 5s);
    CHECK(listed(tpd, entry));
    world.pass(10s, 1s);
    CHECK_FALSE(listed(tpd, entry));
    post_v3(tpd, visor(1), {entry.entry});
    post(tpd, visor(1), {entry});
    world.pass(10min, 1min);
    CHECK(listed(tpd, entry));
}

TEST_CASE("transports: a restart from the snapshot loses nothing that is valid") {
    TestWorld world;
    const SignedEntry held = signed_entry(visor(1), visor(2));
    const SignedEntry refreshed = signed_entry(visor(2), visor(3));
    {
        TestStore store(world, TestStore::snapshot());
        TestTpd tpd(world, *store);
        post(tpd, visor(1), {held});
        post_v3(tpd, visor(2), {refreshed.entry});
        world.pass(1min);
    }
    world.clock.advance(2min);
    {
        TestStore store(world, TestStore::snapshot());
        TestTpd tpd(world, *store);
        CHECK(tpd.transports.table().size() == 2);
        CHECK(tpd.transports.table().find(held.entry.id)->held);
        // What ends by calendar time ends when it would have.
        world.pass(2min - 2s, 1s);
        CHECK(listed(tpd, refreshed));
        world.pass(4s, 1s);
        CHECK_FALSE(listed(tpd, refreshed));
    }
    // The time that the service is down does not count against its held records.
    world.clock.advance(72h);
    {
        TestStore store(world, TestStore::snapshot());
        TestTpd tpd(world, *store);
        tpd.peers.connected = false;
        world.pass(10min, 1min);
        CHECK(listed(tpd, held));
    }
}

TEST_CASE("transports: two discoveries on one Redis show each other's writes in the next read") {
    TestWorld world;
    store::RedisServer redis;
    TestStore first_store(world, TestStore::redis(redis));
    TestStore second_store(world, TestStore::redis(redis));
    TestTpd::Options options;
    options.shared = true;
    TestTpd first(world, *first_store, options);
    TestTpd second(world, *second_store, options);
    for (int i = 0; i < 20; ++i) {
        TestTpd& one = i % 2 == 0 ? first : second;
        TestTpd& other = i % 2 == 0 ? second : first;
        const SignedEntry entry = signed_entry(visor(i), visor(i + 1));
        CHECK(
            one.send_as(visor(i), Method::post, "/v3/transports/", body_of({entry.entry})).status ==
            201
        );
        CHECK(listed(other, entry));
        CHECK(listed(one, entry));
        const auto by_edge = other.get("/v3/transports/edge:" + visor(i).public_key.to_text()).body;
        CHECK(by_edge.find(entry.entry.id.to_text()) != std::string::npos);
    }
    // A changed label, and a removal.
    SignedEntry entry = signed_entry(visor(0), visor(1));
    entry.entry.label = "automatic";
    post(first, visor(0), {entry});
    CHECK(second.get("/all-transports").body.find("automatic") != std::string::npos);
    const std::string ids = R"([")" + entry.entry.id.to_text() + R"("])";
    CHECK(second.send_as(visor(0), Method::post, "/transports/delete-batch", ids).status == 200);
    CHECK_FALSE(listed(first, entry));
    CHECK(first.transports.table().size() == 19);
    CHECK(first.store_failures + second.store_failures == 0);
}

TEST_CASE("transports: what others write into Redis without telling is found, and expiry is shared"
) {
    TestWorld world;
    store::RedisServer redis;
    TestStore store(world, TestStore::redis(redis));
    TestTpd::Options options;
    options.shared = true;
    TestTpd tpd(world, *store, options);
    const Entry entry = signed_entry(visor(1), visor(2)).entry;
    store::Batch batch;
    batch.changes.emplace_back(
        store::SetValue{transport_key(entry.id), to_text({entry, world.clock.wall(), false}), 5min}
    );
    batch.changes.emplace_back(store::AddToSet{index_key(), entry.id.to_text()});
    batch.changes.emplace_back(store::AddToSet{index_key(), "no id"});
    world.loop.run(store.raw().apply(std::move(batch))).value();
    world.clock.advance(31s);
    world.loop.run_until([&] { return tpd.transports.table().size() == 1; });

    // Erased by its writer: Redis, not our clock, says what has ended.
    store::Batch erase;
    erase.changes.emplace_back(store::Erase{transport_key(entry.id)});
    world.loop.run(store.raw().apply(std::move(erase))).value();
    world.clock.advance(5min);
    world.loop.run_until([&] { return tpd.transports.table().size() == 0; });
}

TEST_CASE("transports: a write that is under way while everything is read is not missed") {
    TestWorld world;
    store::RedisServer redis;
    TestStore store(world, TestStore::redis(redis));
    TestTpd::Options options;
    options.shared = true;
    for (int round = 0; round < 2; ++round) {
        const Entry entry = signed_entry(visor(round), visor(round + 1)).entry;
        const std::string id = entry.id.to_text();
        // Everything is read at the start, and then now and again.
        std::optional<TestTpd> tpd;
        if (round == 1) tpd.emplace(world, *store, options);
        const auto number = world.loop.run(store.raw().increment(detail::changes_key())).value();
        if (round == 0) tpd.emplace(world, *store, options);
        if (round == 1) world.clock.advance(31s);
        CHECK(tpd->get("/all-transports").body.find(id) == std::string::npos);
        store::Batch batch;
        batch.changes.emplace_back(store::SetValue{
            transport_key(entry.id), to_text({entry, world.clock.wall(), false}), 5min
        });
        batch.changes.emplace_back(store::AddToSet{index_key(), id});
        batch.changes.emplace_back(store::SetValue{detail::change_key(number), id, 10min});
        world.loop.run(store.raw().apply(std::move(batch))).value();
        CHECK(tpd->get("/all-transports").body.find(id) != std::string::npos);
    }
}

TEST_CASE("transports: signs of life renew what Redis keeps of held records") {
    TestWorld world;
    store::RedisServer redis;
    TestStore store(world, TestStore::redis(redis));
    TestTpd::Options options;
    options.shared = true;
    TestTpd tpd(world, *store, options);
    const SignedEntry entry = signed_entry(visor(1), visor(2));
    post(tpd, visor(1), {entry});
    const auto stored = [&] {
        const auto text = world.loop.run(store.raw().get(transport_key(entry.entry.id))).value();
        REQUIRE(text);
        return stored_transport(*text).value();
    };
    CHECK(stored().held);
    const WallTime before = stored().last_update;
    world.clock.advance(2min);
    CHECK(tpd.send_as(visor(2), Method::get, "/v4/update").status == 200);
    world.loop.run_until([&] {
        return tpd.transports.table().find(entry.entry.id)->last_sign == world.clock.now();
    });
    CHECK(stored().held);
    CHECK(stored().last_update == before + 2min);
}

TEST_CASE("transports: a sign of life does not bring back what another discovery has changed") {
    TestWorld world;
    store::RedisServer redis;
    TestStore first_store(world, TestStore::redis(redis));
    TestStore second_store(world, TestStore::redis(redis));
    TestTpd::Options options;
    options.shared = true;
    TestTpd first(world, *first_store, options);
    TestTpd second(world, *second_store, options);
    const SignedEntry removed = signed_entry(visor(1), visor(2));
    const SignedEntry kept = signed_entry(visor(1), visor(3));
    post(first, visor(1), {removed, kept});
    REQUIRE(listed(second, removed));

    const std::string id = removed.entry.id.to_text();
    CHECK(second.send_as(visor(1), Method::delete_, "/transports/id:" + id).status == 200);
    // The first has not looked since.
    REQUIRE(first.transports.table().find(removed.entry.id) != nullptr);
    world.clock.advance(2min);
    CHECK(world.loop.run(first.transports.renew(visor(1).public_key)));
    CHECK(first.transports.table().find(removed.entry.id) == nullptr);
    CHECK(first.transports.table().find(kept.entry.id)->last_sign == world.clock.now());
    CHECK_FALSE(world.loop.run(first_store.raw().get(transport_key(removed.entry.id))).value());
}

TEST_CASE("transports: a store that does not answer is told, and nothing has changed") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const SignedEntry entry = signed_entry(visor(1), visor(2));
    world.faults.set("store", "memory", 1000);
    CHECK(post(tpd, visor(1), {entry}).status == 500);
    world.faults.clear("store", "memory");
    CHECK(tpd.transports.table().size() == 0);
    CHECK(post(tpd, visor(1), {entry}).status == 201);
    CHECK(listed(tpd, entry));
}

}  // namespace skywire::tpd
