#include "services/dmsg_discovery/registrations.hpp"

#include "base/test.hpp"
#include "services/dmsg_discovery/test_discovery.hpp"
#include "store/memory.hpp"

namespace skywire::discovery {
namespace {

const crypto::KeyPair kVisor = crypto::deterministic_key_pair("visor");
const crypto::KeyPair kOther = crypto::deterministic_key_pair("other");

using Taken = services::FeedIntake::Taken;

/// A feed with this entry; with nothing where there is none.
cxo::Tree tree_of(cxo::ObjectIndex& index, const std::string& leaf) {
    cxo::Tree tree(index);
    if (leaf.empty()) return tree;
    const ByteSpan bytes = as_bytes(leaf);
    std::vector<cxo::Change> changes;
    changes.push_back({"entry", Bytes(bytes.begin(), bytes.end())});
    return tree.apply(std::move(changes)).value().tree;
}

struct Rig : TestDiscovery {
    Rig() : registrations(loop.metrics, discovery, [this](const Error&) { ++store_failures; }) {}

    /// What came of a feed with this entry.
    std::uint64_t take(const std::string& leaf, const std::string& outcome) {
        const std::uint64_t before = count(outcome);
        taken = loop.run(registrations.take(kVisor.public_key, tree_of(index, leaf)));
        return count(outcome) - before;
    }
    std::uint64_t count(const std::string& outcome) {
        return counted("dmsg_discovery_feed_entries_total", outcome);
    }

    Taken taken = Taken::nothing;
    cxo::ObjectIndex index;
    Registrations registrations;
};

std::string text_of(const dmsg::Entry& entry) {
    return dmsg::to_json(entry);
}

}  // namespace

TEST_CASE("dmsgd registrations: an entry in a visor's feed is as good as one that is posted") {
    Rig rig;
    CHECK(rig.take(text_of(client_entry(kVisor, 0, {kOther.public_key})), "first") == 1);
    CHECK(rig.taken == Taken::done);
    CHECK(rig.get(path_of(kVisor)).status == 200);
    CHECK(rig.take(text_of(client_entry(kVisor, 1, {kOther.public_key})), "again") == 1);
    // The same again, and an older one.
    CHECK(rig.take(text_of(client_entry(kVisor, 1, {kOther.public_key})), "wrong_sequence") == 1);
    CHECK(rig.taken == Taken::done);
    CHECK(rig.take(text_of(client_entry(kVisor, 0, {})), "wrong_sequence") == 1);
    CHECK(rig.taken == Taken::done);
    dmsg::Entry older = client_entry(kVisor, 2);
    older.timestamp -= 1'000'000'000;
    dmsg::sign_entry(older, kVisor.secret_key);
    CHECK(rig.take(text_of(older), "older_timestamp") == 1);
    CHECK(rig.taken == Taken::done);
    const std::string stored = rig.get(path_of(kVisor)).body;
    CHECK(stored == text_of(client_entry(kVisor, 1, {kOther.public_key})));
    CHECK(rig.store_failures == 0);
}

TEST_CASE("dmsgd registrations: what is not the publisher's own entry is left out") {
    Rig rig;
    dmsg::Entry forged = client_entry(kVisor, 0);
    forged.sequence = 7;
    dmsg::Entry unversioned = client_entry(kVisor, 0);
    unversioned.version.clear();
    const std::vector<std::pair<std::string, std::string>> leaves{
        {"", "absent"},
        {"nonsense", "unexpected"},
        {text_of(client_entry(kOther, 0)), "foreign"},
        {text_of(server_entry(kVisor, 0, kRecordingTime)), "foreign"},
        {text_of(unversioned), "no_version"},
        {text_of(forged), "invalid_signature"}
    };
    for (const auto& [leaf, outcome] : leaves) {
        INFO(outcome);
        CHECK(rig.take(leaf, outcome) == 1);
        // It keeps no place from others.
        CHECK(rig.taken == Taken::nothing);
    }
    CHECK(rig.get("/dmsg-discovery/entries").body == "[]");
    CHECK(rig.store_failures == 0);
}

TEST_CASE("dmsgd registrations: while the store does not answer an entry is tried again soon") {
    Rig rig;
    rig.faults.set("store", "memory");
    CHECK(rig.take(text_of(client_entry(kVisor, 0)), "store_unavailable") == 1);
    CHECK(rig.taken == Taken::again);
    CHECK(rig.store_failures == 1);
    rig.faults.clear("store", "memory");
    CHECK(rig.take(text_of(client_entry(kVisor, 0)), "first") == 1);
}

TEST_CASE("dmsgd registrations: a store that is full is not asked again and again") {
    services::TestWorld world;
    // An entry and its place in a list.
    const auto store = store::make_memory_store(world.context, {.entries_max = 2});
    Discovery discovery(world.context, *store, TestDiscovery::testing_rules());
    Registrations registrations(world.loop.metrics, discovery, [](const Error&) {
        FAIL("it answers");
    });
    cxo::ObjectIndex index;
    const auto take = [&](const crypto::KeyPair& keys, std::uint64_t sequence) {
        const std::string leaf = text_of(client_entry(keys, sequence));
        return world.loop.run(registrations.take(keys.public_key, tree_of(index, leaf)));
    };
    CHECK(take(kOther, 0) == Taken::done);
    CHECK(take(kVisor, 0) == Taken::full);
    CHECK(world.counted("dmsg_discovery_feed_entries_total", "outcome", "store_limit") == 1);
    // What there is goes on.
    CHECK(take(kOther, 1) == Taken::done);
}

}  // namespace skywire::discovery
