#include "cxo/publisher.hpp"

#include "base/test.hpp"
#include "cxo/test_tree.hpp"

#include <fmt/format.h>

using namespace skywire;
using namespace skywire::cxo;
using namespace skywire::cxo::test;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::int64_t kStart = 1'700'000'000'000'000'000;

struct Rig {
    ObjectIndex index;
    crypto::KeyPair keys = crypto::deterministic_key_pair("publisher test");
    Publisher publisher{keys, index, PublisherPace{}, kStart};
    SteadyTime now{seconds(1000)};
    std::int64_t wall = kStart + 5;

    void put(std::string_view path, std::string_view value) {
        REQUIRE(publisher.put(path, to_bytes(value), now));
    }
    AnnouncementPtr publish() { return publisher.on_time(now, wall); }
    void wait(Duration by) {
        now += by;
        wall += by.count();
    }
};

Root root_of(const AnnouncementPtr& version) {
    REQUIRE(version);
    const auto root = check(version->root);
    REQUIRE(root);
    const auto message = decode_message(version->message);
    REQUIRE(message);
    CHECK(std::get<SignedRoot>(*message) == version->root);
    CHECK(root->tree == version->tree.hash());
    return *root;
}

std::set<Hash> hashes_of(const std::vector<ObjectPtr>& objects) {
    std::set<Hash> hashes;
    for (const ObjectPtr& object : objects)
        hashes.insert(object->hash());
    return hashes;
}

}  // namespace

TEST_CASE("publisher: nothing before there is something, then a chain of Roots") {
    Rig rig;
    CHECK(rig.publisher.feed() == rig.keys.public_key);
    CHECK(rig.publisher.next_time() == SteadyTime::max());
    CHECK_FALSE(rig.publish());
    CHECK_FALSE(rig.publisher.last());

    rig.put("a", "1");
    CHECK(rig.publisher.next_time() == rig.now);
    const auto first = rig.publish();
    const Root one = root_of(first);
    CHECK(one.nonce == static_cast<std::uint64_t>(kStart));
    CHECK(one.seq == 0);
    CHECK(one.previous == kNil);
    CHECK(one.time == rig.wall);
    CHECK(first->made.size() == objects_of(first->tree).size());
    CHECK(rig.publisher.last() == first);
    CHECK_FALSE(rig.publish());

    rig.wait(seconds(1));
    rig.put("b", "2");
    const auto second = rig.publish();
    const Root two = root_of(second);
    CHECK(two.nonce == one.nonce);
    CHECK(two.seq == 1);
    CHECK(two.previous == hash_of(first->root));
    CHECK(supersedes(two, one));
    CHECK(second->made.size() == 3);
    std::size_t bytes = 0;
    for (const ObjectPtr& object : second->made)
        bytes += object->bytes().size();
    CHECK(second->made_bytes == bytes);
}

TEST_CASE("publisher: after quiet at once, otherwise gathered") {
    Rig rig;
    rig.put("a", "1");
    REQUIRE(rig.publish());
    const SteadyTime published = rig.now;
    rig.wait(milliseconds(10));
    rig.put("a", "2");
    CHECK(rig.publisher.next_time() == published + milliseconds(200));
    CHECK_FALSE(rig.publish());
    rig.wait(milliseconds(100));
    rig.put("b", "3");
    CHECK(rig.publisher.next_time() == published + milliseconds(200));
    CHECK(model_of(rig.publisher.tree()) == Model{{"a", "2"}, {"b", "3"}});
    rig.wait(milliseconds(90));
    const auto gathered = rig.publish();
    CHECK(root_of(gathered).seq == 1);
    // Only what is in the tree; not what was in between.
    CHECK(hashes_of(gathered->made).size() == 4);
    const Objects now = objects_of(gathered->tree);
    for (const ObjectPtr& object : gathered->made)
        CHECK(now.contains(object->hash()));
    CHECK(gathered->made.front() == gathered->tree.root());

    // Changes without a pause: five Roots a second.
    int versions = 0;
    for (int i = 0; i < 1000; ++i) {
        rig.wait(milliseconds(1));
        rig.put("c", std::to_string(i));
        if (rig.publish()) ++versions;
    }
    CHECK(versions == 5);

    rig.wait(milliseconds(200));
    rig.publish();
    rig.wait(milliseconds(200));
    rig.put("a", "x");
    CHECK(rig.publisher.next_time() == rig.now);
}

TEST_CASE("publisher: a quiet time that is longer than the interval") {
    ObjectIndex index;
    const PublisherPace pace{seconds(5), seconds(1), seconds(45)};
    Publisher publisher(crypto::deterministic_key_pair("x"), index, pace, kStart);
    SteadyTime now{seconds(100)};
    REQUIRE(publisher.put("a", to_bytes("1"), now));
    REQUIRE(publisher.on_time(now, kStart));
    now += seconds(3);
    REQUIRE(publisher.put("a", to_bytes("2"), now));
    CHECK(publisher.next_time() == now + seconds(1));
    now += seconds(1);
    REQUIRE(publisher.on_time(now, kStart));
    now += seconds(4);
    REQUIRE(publisher.put("a", to_bytes("3"), now));
    CHECK(publisher.next_time() == now);
}

TEST_CASE("publisher: what leaves the tree as it was publishes nothing") {
    Rig rig;
    rig.put("a", "1");
    const auto first = rig.publish();
    const SteadyTime heartbeat = rig.now + seconds(45);
    rig.wait(seconds(1));
    rig.put("a", "1");
    REQUIRE(rig.publisher.remove("b", rig.now));
    REQUIRE(rig.publisher.remove_below("c", rig.now));
    REQUIRE(rig.publisher.batch({}, rig.now));
    CHECK(rig.publisher.next_time() == heartbeat);
    // There and back before anybody was told.
    rig.put("a", "2");
    CHECK(rig.publisher.next_time() == rig.now);
    rig.put("a", "1");
    CHECK(rig.publisher.next_time() == heartbeat);
    CHECK_FALSE(rig.publish());
    CHECK(rig.publisher.tree().root() == first->tree.root());
    // Nor do refused changes.
    CHECK(rig.publisher.put("", to_bytes("x"), rig.now).error().code() == errc::malformed);
    CHECK(rig.publisher.put("a/b", to_bytes("x"), rig.now).error().code() == errc::wrong_state);
    CHECK(rig.publisher.remove("/", rig.now).error().code() == errc::malformed);
    CHECK(rig.publisher.next_time() == heartbeat);
}

TEST_CASE("publisher: a heartbeat is the same tree under a new Root") {
    Rig rig;
    rig.put("a", "1");
    const auto first = rig.publish();
    rig.wait(seconds(45) - milliseconds(1));
    CHECK_FALSE(rig.publish());
    rig.wait(milliseconds(1));
    const auto beat = rig.publish();
    const Root root = root_of(beat);
    CHECK(root.seq == 1);
    CHECK(root.previous == hash_of(first->root));
    CHECK(root.tree == first->tree.hash());
    CHECK(root.time > root_of(first).time);
    CHECK(beat->made.empty());
    CHECK(beat->made_bytes == 0);
    CHECK(rig.publisher.next_time() == rig.now + seconds(45));
}

TEST_CASE("publisher: an empty feed is published when it is known to be empty") {
    Rig rig;
    rig.put("a", "1");
    REQUIRE(rig.publisher.remove("a", rig.now));
    CHECK(rig.publisher.next_time() == SteadyTime::max());
    rig.publisher.publish_even_if_empty(rig.now);
    CHECK(rig.publisher.next_time() == rig.now);
    const auto empty = rig.publish();
    CHECK(root_of(empty).seq == 0);
    CHECK(empty->tree.empty());
    rig.publisher.publish_even_if_empty(rig.now);
    CHECK_FALSE(rig.publish());

    Rig other;
    other.publisher.publish_even_if_empty(other.now);
    other.put("a", "1");
    REQUIRE(other.publisher.remove_below("", other.now));
    CHECK(other.publisher.next_time() == other.now);
    CHECK(root_of(other.publish()).seq == 0);
}

TEST_CASE("publisher: times of a chain go forward, whatever the clock does") {
    Rig rig;
    rig.put("a", "1");
    std::int64_t last = root_of(rig.publisher.on_time(rig.now, kStart - 1'000)).time;
    CHECK(last == kStart);
    for (const std::int64_t wall : {kStart - 7, std::int64_t{-5}, kStart + 100, kStart + 100}) {
        rig.wait(seconds(1));
        rig.put("a", std::to_string(wall) + std::to_string(last));
        const Root root = root_of(rig.publisher.on_time(rig.now, wall));
        CHECK(root.time > last);
        last = root.time;
    }
    CHECK(last == kStart + 101);
}

TEST_CASE("publisher: much that is new is not kept to be sent ahead") {
    Rig rig;
    std::vector<Change> changes;
    changes.reserve(40);
    for (int i = 0; i < 40; ++i)
        changes.push_back(put(fmt::format("{}", i), std::string(32'768, static_cast<char>('0' + i)))
        );
    const auto changed = rig.publisher.batch(std::move(changes), rig.now);
    REQUIRE(changed);
    const auto version = rig.publish();
    REQUIRE(version);
    CHECK(version->made.empty());
    CHECK(version->made_bytes > kMadeMax);
}

TEST_CASE("publisher: changes that nobody publishes do not pile up") {
    Rig rig;
    for (int i = 0; i < 20'000; ++i)
        rig.put("a/b", std::to_string(i));
    CHECK(rig.index.size() < 4'000);
    const auto version = rig.publish();
    CHECK(hashes_of(version->made) == hashes_of([&] {
              std::vector<ObjectPtr> all;
              for (const auto& [hash, object] : objects_of(version->tree))
                  all.push_back(object);
              return all;
          }()));
    CHECK(rig.index.size() == version->made.size());
}
