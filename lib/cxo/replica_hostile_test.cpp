// A copy of a feed: what it does not swallow.

#include "cxo/replica_rig.hpp"

namespace skywire::cxo::test {

TEST_CASE("cxo replica: shapes that cannot be") {
    Copy copy;
    Forge& forge = copy.forge;
    const Hash a = forge.leaf("a", "1");
    const Hash b = forge.leaf("b", "2");
    SECTION("bytes that are no directory") {
        copy.check_bad(forge.put(bytes_of("junk")), errc::malformed);
    }
    SECTION("names out of order") {
        copy.check_bad(forge.directory({b, a}), errc::malformed);
    }
    SECTION("a name twice") {
        copy.check_bad(forge.directory({a, a}), errc::malformed);
    }
    SECTION("a leaf and a directory of one name") {
        const Hash inside = forge.entry("a", forge.directory({b}));
        copy.check_bad(forge.directory({a, inside}), errc::malformed);
    }
    SECTION("a length that lies") {
        copy.check_bad(forge.node(forge.list(0, 3, {a, b})), errc::malformed);
    }
    SECTION("a branch whose length lies") {
        std::vector<Hash> branches;
        for (std::uint32_t i = 0; i < 2; ++i) {
            std::vector<Hash> entries;
            entries.reserve(16);
            for (std::uint32_t j = 0; j < 16; ++j)
                entries.push_back(forge.leaf(fmt::format("{}{:02}", i, j), "x"));
            branches.push_back(forge.branch(i == 0 ? 16 : 15, entries));
        }
        copy.check_bad(forge.node(forge.list(1, 32, branches)), errc::malformed);
    }
    SECTION("a list of more entries than anybody takes") {
        const std::vector<Hash> branches(16, a);
        copy.check_bad(forge.node(forge.list(6, 16U << 24, branches)), errc::limit_reached);
    }
    SECTION("an empty directory inside another") {
        copy.check_bad(forge.directory({forge.entry("a", forge.node(kNil))}), errc::malformed);
    }
    SECTION("one object as two things") {
        // A branch with branches below, and one with entries.
        std::vector<Hash> entries;
        entries.reserve(16);
        for (std::uint32_t i = 0; i < 16; ++i)
            entries.push_back(forge.leaf(fmt::format("{:02}", i), "x"));
        const Hash branch = forge.branch(16, entries);
        const Hash flat = forge.node(forge.list(1, 17, {branch, forge.branch(1, {a})}));
        const Hash same = forge.node(branch);
        copy.check_bad(
            forge.directory({forge.entry("x", flat), forge.entry("y", same)}), errc::malformed
        );
    }
    SECTION("a registry in place of a directory") {
        Bytes bytes(registry().begin(), registry().end());
        copy.check_bad(forge.put(std::move(bytes)), errc::malformed);
    }
}

TEST_CASE("cxo replica: a tree that is too much") {
    ReplicaLimits limits;
    limits.objects_max = 1000;
    limits.bytes_max = 100'000;
    limits.depth_max = 10;
    Copy copy(limits);
    SECTION("more objects") {
        copy.check_bad(copy.publish(many(1000)).hash(), errc::limit_reached);
    }
    SECTION("more bytes") {
        Leaves leaves;
        for (int i = 0; i < 11; ++i)
            leaves.emplace(std::to_string(i), std::string(10'000, static_cast<char>('a' + i)));
        copy.check_bad(copy.publish(leaves).hash(), errc::limit_reached);
    }
    SECTION("deeper") {
        std::string path = "d";
        for (int i = 0; i < 10; ++i)
            path += "/d";
        copy.check_bad(copy.publish({{path, "1"}}).hash(), errc::limit_reached);
    }
    SECTION("a few objects that say very many leaves") {
        Hash below = copy.forge.directory({copy.forge.leaf("x", "1")});
        for (int i = 0; i < 9; ++i) {
            std::vector<Hash> entries;
            for (char name = 'a'; name < 'q'; ++name)
                entries.push_back(copy.forge.entry(std::string(1, name), below));
            below = copy.forge.directory(entries);
        }
        copy.check_bad(below, errc::limit_reached);
    }
    SECTION("long names inside each other, in front of many leaves") {
        std::string path;
        for (int i = 0; i < 8; ++i)
            path += std::string(1000, 'x') + '/';
        Leaves leaves;
        for (int i = 0; i < 20; ++i)
            leaves.emplace(path + std::to_string(i), "1");
        const Tree tree = copy.publish(leaves);
        REQUIRE(copy.publisher_index.bytes() < 20'000);
        copy.check_bad(tree.hash(), errc::limit_reached);
    }
    SECTION("the same many bytes in many places") {
        const Hash large = copy.forge.directory({copy.forge.leaf("x", std::string(10'000, 'x'))});
        std::vector<Hash> entries;
        for (char name = 'a'; name < 'q'; ++name)
            entries.push_back(copy.forge.entry(std::string(1, name), large));
        copy.check_bad(copy.forge.directory(entries), errc::limit_reached);
    }
    SECTION("what grows in steps") {
        Leaves leaves = many(500);
        copy.offer(copy.publish(leaves).hash());
        REQUIRE(copy.fill());
        REQUIRE(copy.replica.changed());
        leaves = many(1001);
        copy.check_bad(copy.publish(leaves).hash(), errc::limit_reached);
    }
    SECTION("directories with next to nothing inside, a few with each Root") {
        Leaves leaves;
        const auto grow = [&](std::size_t count) {
            for (std::size_t i = leaves.size(); i < count; ++i)
                leaves.emplace(fmt::format("a/b{}/c/d", i), std::to_string(i));
            return copy.publish(leaves).hash();
        };
        for (std::size_t count = 20; count <= 120; count += 20) {
            copy.offer(grow(count));
            REQUIRE(copy.fill());
            REQUIRE(copy.replica.changed());
        }
        // What is weighed is what is held.
        CHECK(copy.replica.memory() >= copy.index.size() * kBesideObject);
        copy.check_bad(grow(160), errc::limit_reached);
    }
}

TEST_CASE("cxo replica: a feed that is too much is not fetched anew with each of its Roots") {
    ReplicaLimits limits;
    limits.objects_max = 100;
    Copy copy(limits);
    std::size_t tried = 0;
    for (std::size_t i = 0; i < 300; ++i) {
        copy.now += 200ms;
        const Tree tree = copy.publish(many(100, std::to_string(i)));
        if (copy.offer(tree.hash()) != Replica::Verdict::taken) {
            REQUIRE(copy.refusal == errc::limit_reached);
            continue;
        }
        ++tried;
        REQUIRE_FALSE(copy.fill());
    }
    // At 0 s, 0.2 s, then after 2, 4, 8, 16 s.
    REQUIRE(tried == 6);
    copy.now += 5min;
    REQUIRE(copy.offer(copy.publish(many(50)).hash()) == Replica::Verdict::taken);
    REQUIRE(copy.fill());
    REQUIRE(copy.replica.tree().count() == 50);
}

}  // namespace skywire::cxo::test
