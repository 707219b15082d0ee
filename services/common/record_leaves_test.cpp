#include "services/common/record_leaves.hpp"

#include "base/test.hpp"
#include "services/common/test_store.hpp"

#include <fmt/format.h>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;

/// The leaves, and what has become of them in a tree.
struct Rig {
    explicit Rig(RecordLeaves::Options options) : leaves(world.context, std::move(options)) {}
    Rig() : Rig(RecordLeaves::Options("sd-services")) {}

    void put(const std::string& path, std::string_view text) { leaves.put(path, text, changes); }
    void remove(const std::string& path) { leaves.remove(path, changes); }

    /// Objects that the changes since the last call come to.
    std::size_t publish() {
        auto applied = tree.apply(std::exchange(changes, {})).value();
        tree = applied.tree;
        return applied.made.size();
    }
    std::string at(const std::string& path) {
        const auto leaf = tree.get(path);
        return leaf ? std::string(as_text(*leaf)) : "nothing";
    }
    std::uint64_t left_out(std::string reason) {
        const Labels labels{{"feed", "sd-services"}, {"reason", std::move(reason)}};
        return world.loop.metrics.counter("feed_records_left_out_total", "", labels).value();
    }

    TestWorld world;
    RecordLeaves leaves;
    RecordLeaves::Changes changes;
    cxo::ObjectIndex index;
    cxo::Tree tree{index};
};

RecordLeaves::Options small() {
    RecordLeaves::Options options("sd-services");
    options.records_max = 4;
    options.bytes_max = 20;
    options.entry_max = 8;
    options.tombstones_max = 4;
    return options;
}

}  // namespace

TEST_CASE("record leaves: an entry while a record is there, a tombstone where it has gone") {
    Rig rig;
    rig.put("a/1", "{}");
    rig.publish();
    CHECK(rig.at("a/1/entry") == "{}");
    rig.put("a/1", "{}");
    CHECK(rig.changes.empty());
    rig.put("a/1", "[]");
    CHECK(rig.changes.size() == 1);
    rig.world.clock.advance(1500ms);
    rig.remove("a/1");
    rig.publish();
    CHECK(rig.at("a/1/entry") == "nothing");
    CHECK(rig.at("a/1/tombstone") == R"({"deleted_at":"2023-11-14T22:13:21.5Z"})");
    rig.remove("a/1");
    CHECK(rig.changes.empty());
    rig.put("a/1", "[]");
    rig.publish();
    CHECK(rig.at("a/1/entry") == "[]");
    CHECK(rig.at("a/1/tombstone") == "nothing");
    CHECK(rig.leaves.tombstones() == 0);
}

TEST_CASE("record leaves: what nobody was told of goes without a word") {
    Rig rig;
    rig.remove("a/1");
    CHECK(rig.changes.empty());
    CHECK(rig.leaves.tombstones() == 0);
}

TEST_CASE("record leaves: a tombstone stands for an hour, and those of a minute go together") {
    Rig rig;
    for (int i = 0; i < 3; ++i) {
        rig.put(fmt::format("a/{}", i), "{}");
        rig.remove(fmt::format("a/{}", i));
        rig.world.clock.advance(10s);
    }
    rig.publish();
    rig.leaves.tidy(rig.changes);
    CHECK(rig.changes.empty());
    rig.world.clock.advance(1h - 20s);
    // The first two are over.
    rig.leaves.tidy(rig.changes);
    CHECK(rig.changes.size() == 2);
    rig.publish();
    CHECK(rig.tree.count() == 1);
    rig.world.clock.advance(59s);
    rig.leaves.tidy(rig.changes);
    CHECK(rig.changes.empty());
    rig.world.clock.advance(1s);
    rig.leaves.tidy(rig.changes);
    rig.publish();
    CHECK(rig.tree.empty());
    CHECK(rig.leaves.tombstones() == 0);
}

TEST_CASE("record leaves: above their bound the oldest tombstones go") {
    Rig rig(small());
    for (int i = 0; i < 100; ++i) {
        rig.put(fmt::format("a/{}", i), "{}");
        rig.remove(fmt::format("a/{}", i));
        rig.publish();
        CHECK(rig.leaves.tombstones() <= 4);
        CHECK(rig.tree.count() == rig.leaves.tombstones());
        CHECK(rig.at(fmt::format("a/{}/tombstone", i)) != "nothing");
    }
    RecordLeaves::Options none = small();
    none.tombstones_max = 0;
    Rig without(none);
    without.put("a/1", "{}");
    without.remove("a/1");
    without.publish();
    CHECK(without.tree.empty());
}

TEST_CASE("record leaves: records have bounds, and come when there is room") {
    Rig rig(small());
    // Too large, whether new or not; nothing may say what was, nor that it has gone.
    rig.put("a/0", "123456789");
    rig.put("a/0", "");
    CHECK(rig.changes.empty());
    rig.put("a/0", "{}");
    rig.put("a/0", "123456789");
    rig.publish();
    CHECK(rig.tree.empty());
    CHECK(rig.left_out("too_large") == 3);
    for (int i = 0; i < 5; ++i)
        rig.put(fmt::format("a/{}", i), "{}");
    CHECK(rig.leaves.records() == 4);
    CHECK(rig.left_out("records_max") == 1);
    CHECK_FALSE(rig.leaves.has_room_again());
    rig.world.clock.advance(1min);
    CHECK_FALSE(rig.leaves.has_room_again());
    rig.remove("a/0");
    CHECK(rig.leaves.has_room_again());
    CHECK_FALSE(rig.leaves.has_room_again());
    rig.put("a/4", "{}");
    CHECK(rig.leaves.records() == 4);
    // 20 bytes of all.
    rig.put("a/1", "12345678");
    rig.put("a/2", "12345678");
    CHECK(rig.left_out("bytes_max") == 0);
    rig.put("a/3", "123");
    CHECK(rig.left_out("bytes_max") == 1);
    rig.publish();
    CHECK(rig.at("a/3/entry") == "nothing");
    CHECK(rig.tree.leaf_bytes() == 18 + rig.at("a/0/tombstone").size());
}

TEST_CASE("record leaves: a change among ten thousand costs its path, a removal too") {
    Rig rig;
    const auto path = [](int i) { return fmt::format("services/vpn/{:066}", i); };
    for (int i = 0; i < 10'000; ++i)
        rig.put(path(i), "{}");
    CHECK(rig.publish() > 10'000);
    // The root, two directories above, four levels of the list, and the record's own.
    constexpr std::size_t kPath = 20;
    rig.put(path(5000), "[]");
    CHECK(rig.publish() < kPath);
    rig.remove(path(5000));
    CHECK(rig.publish() < kPath);
    rig.put(path(5000), "{}");
    CHECK(rig.publish() < kPath);
}

}  // namespace skywire::services
