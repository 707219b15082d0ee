#include "services/transport_discovery/visor_lists.hpp"

#include "base/test.hpp"
#include "cxo/leaf.hpp"
#include "services/transport_discovery/test_tpd.hpp"
#include "store/memory.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using Taken = services::FeedIntake::Taken;

struct Rig {
    Rig()
        : store(world, TestStore::memory()),
          tpd(world, *store),
          lists({world.context, tpd.transports, tpd.uptimes, tpd.answers}) {}

    /// Of visor 1.
    void take(const std::string& leaf, const std::string& path = "tp-list") {
        const ByteSpan bytes = as_bytes(leaf);
        std::vector<cxo::Change> changes;
        changes.push_back({path, Bytes(bytes.begin(), bytes.end())});
        const cxo::Tree tree = cxo::Tree(index).apply(std::move(changes)).value().tree;
        taken = world.loop.run(lists.take(visor(1).public_key, tree));
        again = taken == Taken::again;
    }
    bool lists_id(const transport::Entry& entry) {
        return tpd.transports.table().find(entry.id) != nullptr;
    }
    std::uint64_t count(std::string outcome) {
        return world.counted("transport_discovery_feed_lists_total", "outcome", std::move(outcome));
    }

    Taken taken = Taken::nothing;
    bool again = false;
    TestWorld world;
    TestStore store;
    TestTpd tpd;
    cxo::ObjectIndex index;
    VisorLists lists;
};

transport::Entry entry_of(int a, int b) {
    return transport::make_entry(
        visor(a).public_key, visor(b).public_key, transport::kStcpr, transport::kLabelUser
    );
}

std::string list_of(const std::vector<transport::Entry>& entries) {
    return R"({"version":"v1.3.40","entries":)" + body_of(entries) + "}";
}

}  // namespace

TEST_CASE("tpd visor lists: what is listed is registered, what is not any more is removed") {
    Rig rig;
    rig.take(list_of({entry_of(1, 2), entry_of(1, 3)}));
    CHECK(rig.lists_id(entry_of(1, 2)));
    CHECK(rig.lists_id(entry_of(1, 3)));
    // Registered by its other edge: not this feed's to remove.
    rig.tpd.transports.table().put(entry_of(1, 4), /*held=*/true, rig.world.clock.now());
    rig.take(list_of({entry_of(1, 3)}), "transports/list");
    CHECK_FALSE(rig.lists_id(entry_of(1, 2)));
    CHECK(rig.lists_id(entry_of(1, 3)));
    CHECK(rig.lists_id(entry_of(1, 4)));
    CHECK(rig.count("taken") == 2);
    const auto visors = rig.world.loop.run(rig.tpd.uptimes.visors().visors()).value();
    REQUIRE(visors->size() == 1);
    CHECK(visors->front().version == "v1.3.40");
    // It ends by its age when the feed does not renew it.
    rig.lists.forget(visor(1).public_key);
    rig.world.pass(5min + 5s);
    CHECK_FALSE(rig.lists_id(entry_of(1, 3)));
}

TEST_CASE("tpd visor lists: others' transports and what is no list change nothing") {
    Rig rig;
    rig.take(list_of({entry_of(1, 2)}));
    for (const char* leaf :
         {"nonsense", "[]", "{}", R"({"entries":7})", R"({"entries":[7]})", R"({"c":7})"})
        rig.take(leaf);
    CHECK(rig.count("unreadable") == 6);
    rig.take(R"({"version":"v1.3.50","c":[["x","stcpr"]]})");
    CHECK(rig.taken == Taken::nothing);
    CHECK(rig.count("compact") == 1);
    CHECK(rig.lists_id(entry_of(1, 2)));
    rig.take(list_of({entry_of(1, 2), entry_of(2, 3)}));
    CHECK_FALSE(rig.lists_id(entry_of(2, 3)));
    CHECK(rig.tpd.transports.left_out(LeftOut::not_an_edge) == 1);
    rig.take(list_of({}));
    CHECK_FALSE(rig.lists_id(entry_of(1, 2)));
    CHECK(rig.taken == Taken::done);
}

TEST_CASE("tpd visor lists: an empty list, or one of others', keeps no place for its visor") {
    Rig rig;
    rig.take(list_of({}));
    CHECK(rig.taken == Taken::nothing);
    rig.take(list_of({entry_of(2, 3)}));
    CHECK(rig.taken == Taken::nothing);
    rig.take(list_of({entry_of(1, 3)}));
    CHECK(rig.taken == Taken::done);
    // Nor are its transports remembered when the feed does not hold them any more.
    rig.take("nonsense");
    CHECK(rig.taken == Taken::nothing);
    rig.take(list_of({}));
    CHECK(rig.taken == Taken::nothing);
    CHECK(rig.lists_id(entry_of(1, 3)));
    rig.world.pass(5min + 5s);
    CHECK_FALSE(rig.lists_id(entry_of(1, 3)));
}

TEST_CASE("tpd visor lists: a store that is full is not asked again and again") {
    Rig rig;
    const auto full = store::make_memory_store(rig.world.context, {.entries_max = 5});
    Transports transports(rig.world.context, *full, {});
    VisorLists lists({rig.world.context, transports, rig.tpd.uptimes, rig.tpd.answers});
    const auto take = [&](const std::vector<transport::Entry>& entries) {
        const std::string leaf = list_of(entries);
        const ByteSpan bytes = as_bytes(leaf);
        std::vector<cxo::Change> changes;
        changes.push_back({"tp-list", Bytes(bytes.begin(), bytes.end())});
        const cxo::Tree tree = cxo::Tree(rig.index).apply(std::move(changes)).value().tree;
        return rig.world.loop.run(lists.take(visor(1).public_key, tree));
    };
    CHECK(take({entry_of(1, 2)}) == Taken::done);
    CHECK(take({entry_of(1, 2), entry_of(1, 3)}) == Taken::nothing);
    CHECK(rig.count("limit") == 1);
    // What is listed no more is removed all the same, and there is room.
    CHECK(take({entry_of(1, 3)}) == Taken::nothing);
    CHECK(transports.table().find(entry_of(1, 2).id) == nullptr);
    CHECK(take({entry_of(1, 3)}) == Taken::done);
}

TEST_CASE("tpd visor lists: so many transports, each once, and others have their turn meanwhile") {
    std::size_t turns = 0;
    std::function<void()> turn;
    Rig rig;
    turn = [&] {
        ++turns;
        asio::post(rig.world.context.loop, turn);
    };
    std::vector<transport::Entry> entries;
    entries.reserve(VisorLists::kEntriesMax + 1);
    for (std::size_t i = 0; i < VisorLists::kEntriesMax; ++i)
        entries.push_back(transport::make_entry(
            visor(1).public_key, visor(2).public_key, "t" + std::to_string(i), "user"
        ));
    asio::post(rig.world.context.loop, turn);
    rig.take(list_of(entries));
    // In reading and in storing.
    CHECK(turns > 2 * VisorLists::kEntriesMax / 100);
    CHECK(rig.tpd.transports.table().size() == VisorLists::kEntriesMax);
    entries.push_back(entry_of(1, 3));
    rig.take(list_of(entries));
    CHECK(rig.count("unreadable") == 1);
    // Of one that is listed again and again the first counts.
    auto other = entry_of(1, 3);
    other.label = "other";
    rig.take(list_of({entry_of(1, 3), other}));
    CHECK(rig.tpd.transports.table().find(other.id)->entry.label == transport::kLabelUser);
}

TEST_CASE("tpd visor lists: what the store does not take is asked for again") {
    Rig rig;
    rig.take(list_of({entry_of(1, 2)}));
    CHECK_FALSE(rig.again);
    rig.world.faults.set("store", "memory");
    rig.take(list_of({entry_of(1, 3)}));
    CHECK(rig.again);
    // The store is away for the removal alone.
    rig.take(list_of({}));
    CHECK(rig.again);
    CHECK(rig.lists_id(entry_of(1, 2)));
    rig.world.faults.clear("store", "memory");
    rig.take(list_of({}));
    CHECK_FALSE(rig.again);
    CHECK_FALSE(rig.lists_id(entry_of(1, 2)));
}

}  // namespace skywire::tpd
