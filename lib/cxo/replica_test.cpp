// A copy of a feed: which Roots it takes, what it asks for.

#include "base/random.hpp"
#include "cxo/replica_rig.hpp"

namespace skywire::cxo::test {

TEST_CASE("cxo replica: a feed is fetched level by level, then only what is new") {
    Copy copy;
    const Tree first = copy.publish({{"a/b/c", "1"}, {"a/d", "2"}, {"e", "3"}});
    REQUIRE_FALSE(copy.replica.filling());
    copy.now += 5s;
    REQUIRE(copy.offer(first.hash()) == Replica::Verdict::taken);
    REQUIRE(copy.replica.filling());
    REQUIRE(copy.fill());
    REQUIRE_FALSE(copy.replica.filling());
    auto changed = copy.replica.changed();
    REQUIRE(changed);
    REQUIRE(changed->first);
    REQUIRE(changed->before.empty());
    REQUIRE(changed->offered == copy.now);
    REQUIRE(leaves_of(changed->now) == leaves_of(first));
    REQUIRE_FALSE(copy.replica.changed());
    // Node, list and entry of three directories.
    REQUIRE(copy.replica.counts().rounds == 9);

    copy.requests = 0;
    const Tree second = copy.publish({{"a/b/c", "1"}, {"a/d", "22"}, {"e", "3"}});
    REQUIRE(copy.offer(second.hash()) == Replica::Verdict::taken);
    REQUIRE(copy.fill());
    REQUIRE(copy.requests == 6);
    REQUIRE(copy.replica.counts().rounds == 6);
    changed = copy.replica.changed();
    REQUIRE(changed);
    REQUIRE_FALSE(changed->first);
    REQUIRE(changed->before.hash() == first.hash());
    REQUIRE(copy.replica.root()->seq == 1);
    REQUIRE(copy.replica.signed_root()->seq == 1);
}

TEST_CASE("cxo replica: 10,000 leaves in one directory are six rounds") {
    Copy copy;
    const Tree tree = copy.publish(many(10'000));
    REQUIRE(copy.offer(tree.hash()) == Replica::Verdict::taken);
    std::size_t rounds = 0;
    for (;; ++rounds) {
        const auto hashes = copy.replica.requests(SIZE_MAX);
        if (hashes.empty()) break;
        copy.requests += hashes.size();
        for (const Hash& hash : hashes)
            REQUIRE(copy.replica.object(hash, copy.forge.objects.at(hash), true));
    }
    REQUIRE(rounds == 6);
    REQUIRE(copy.replica.counts().rounds == 6);
    REQUIRE(copy.requests == 10'670);
    REQUIRE(copy.replica.tree().count() == 10'000);
}

TEST_CASE("cxo replica: objects that came ahead of a Root need no request") {
    Copy copy;
    const Tree first = copy.publish(many(1000));
    copy.offer(first.hash());
    REQUIRE(copy.fill());
    auto applied = first.apply({{"n000500", bytes_of("new")}});
    REQUIRE(applied);
    for (const ObjectPtr& object : applied->made)
        REQUIRE(copy.replica.object(object->hash(), object->bytes(), /*asked=*/false));
    REQUIRE_FALSE(copy.replica.filling());
    REQUIRE(copy.offer(applied->tree.hash()) == Replica::Verdict::taken);
    REQUIRE_FALSE(copy.replica.filling());
    REQUIRE(copy.replica.requests(10).empty());
    REQUIRE(copy.replica.tree().hash() == applied->tree.hash());
    REQUIRE(copy.replica.counts().rounds == 0);
    REQUIRE(copy.replica.counts().unasked_used == applied->made.size());
}

TEST_CASE("cxo replica: unasked objects are kept up to a size, and not beyond the next Root") {
    ReplicaLimits limits;
    limits.staging_max = 10'000;
    Copy copy(limits);
    for (int i = 0; i < 1000; ++i) {
        const Bytes junk = bytes_of(std::to_string(i));
        REQUIRE(copy.replica.object(crypto::sha256(junk), junk, false));
    }
    const auto dropped = copy.replica.counts().unasked_dropped;
    REQUIRE(dropped > 900);
    const Tree tree = copy.publish({{"a", "1"}});
    copy.offer(tree.hash());
    REQUIRE(copy.fill());
    const Bytes junk = bytes_of("fits again");
    REQUIRE(copy.replica.object(crypto::sha256(junk), junk, false));
    REQUIRE(copy.replica.counts().unasked_dropped == dropped);
    REQUIRE(copy.index.size() < 10);
}

TEST_CASE("cxo replica: which Root is newer") {
    Copy copy;
    const Hash tree = copy.publish({{"a", "1"}}).hash();
    const auto root = [&](std::uint64_t nonce, std::uint64_t seq, std::int64_t time) {
        Root made;
        made.tree = tree;
        made.feed = copy.keys.public_key;
        made.nonce = nonce;
        made.seq = seq;
        made.time = time;
        if (seq > 0) made.previous = crypto::sha256(as_bytes("previous"));
        return sign(made, copy.keys);
    };
    const auto is_taken = [&](std::uint64_t nonce, std::uint64_t seq, std::int64_t time) {
        const auto verdict = copy.offer(root(nonce, seq, time));
        REQUIRE(copy.fill());
        REQUIRE((verdict == Replica::Verdict::taken || verdict == Replica::Verdict::old));
        return verdict == Replica::Verdict::taken;
    };
    REQUIRE(is_taken(7, 5, 1000));
    REQUIRE_FALSE(is_taken(7, 5, 1000));
    REQUIRE_FALSE(is_taken(7, 4, 900));
    // A number of the same chain, whatever its time: clocks are set back.
    REQUIRE(is_taken(7, 9, 500));
    REQUIRE_FALSE(is_taken(7, 5, 1000));
    // Another chain by its time, later than that of every Root there was: the last one's time would
    // let in what was over before it.
    REQUIRE_FALSE(is_taken(8, 0, 501));
    REQUIRE_FALSE(is_taken(8, 0, 1000));
    REQUIRE(is_taken(8, 0, 1001));
    REQUIRE(is_taken(1, 50, 2000));
    SECTION("a publisher without memory begins the same chain again") {
        REQUIRE_FALSE(is_taken(1, 0, 2000));
        REQUIRE(is_taken(1, 0, 3000));
        REQUIRE(copy.replica.root()->seq == 0);
        // What it said before it lost its memory is over, though its number is higher.
        REQUIRE_FALSE(is_taken(1, 50, 2000));
        REQUIRE_FALSE(is_taken(1, 51, 2500));
        REQUIRE(is_taken(1, 1, 3001));
        REQUIRE(is_taken(1, 50, 3050));
    }
    SECTION("a chain that is over, after times that fall") {
        REQUIRE(is_taken(9, 1, 3000));
        REQUIRE(is_taken(9, 2, 100));
        REQUIRE_FALSE(is_taken(1, 51, 2500));
        REQUIRE_FALSE(is_taken(1, 51, 3000));
        REQUIRE(copy.replica.root()->nonce == 9);
    }
    SECTION("the same number again, later") {
        REQUIRE(is_taken(1, 50, 2001));
        REQUIRE_FALSE(is_taken(1, 50, 2000));
    }
}

TEST_CASE("cxo replica: Roots that are wrong are refused, and nothing is asked for them") {
    Copy copy;
    const Hash tree = copy.publish({{"a", "1"}}).hash();
    const auto refused = [&](const SignedRoot& root) {
        const bool is = copy.offer(root) == Replica::Verdict::refused;
        REQUIRE_FALSE(copy.replica.filling());
        return is;
    };
    SignedRoot forged = copy.chain.next(tree);
    forged.signature = sign(copy.chain.root(), keys_of("somebody else")).signature;
    REQUIRE(refused(forged));

    // Filed under this feed, of another one.
    Chain others(keys_of("other"), 7);
    SignedRoot filed = others.next(tree);
    REQUIRE(refused(filed));
    filed.feed = copy.keys.public_key;
    REQUIRE(refused(filed));
    REQUIRE(copy.refusal == errc::forbidden);

    SignedRoot renumbered = copy.chain.next(tree);
    ++renumbered.seq;
    REQUIRE(refused(renumbered));
    SignedRoot cut = copy.chain.next(tree);
    cut.value.pop_back();
    REQUIRE(refused(cut));
    REQUIRE(copy.replica.counts().refused == 5);
    REQUIRE(copy.replica.counts().roots == 0);
    REQUIRE(copy.offer(tree) == Replica::Verdict::taken);
}

TEST_CASE("cxo replica: every byte of a Root changed is refused or old") {
    Copy copy;
    const Tree tree = copy.publish({{"a", "1"}});
    const SignedRoot root = copy.chain.next(tree.hash());
    for (std::size_t at = 0; at < root.value.size(); ++at) {
        SignedRoot changed = root;
        changed.value[at] ^= std::byte{1};
        REQUIRE(copy.offer(changed) == Replica::Verdict::refused);
    }
    REQUIRE(copy.offer(root) == Replica::Verdict::taken);
}

TEST_CASE("cxo replica: while one Root is fetched only the newest waits") {
    Copy copy;
    const Tree first = copy.publish({{"a", "1"}});
    const Tree second = copy.publish({{"a", "2"}});
    const Tree third = copy.publish({{"a", "3"}});
    const SignedRoot oldest = copy.chain.next(first.hash());
    REQUIRE(copy.offer(oldest) == Replica::Verdict::taken);
    const auto asked = copy.replica.requests(10);
    REQUIRE(asked.size() == 1);
    // Again and again, as some publishers do: it is under way.
    REQUIRE(copy.offer(oldest) == Replica::Verdict::old);
    REQUIRE(copy.offer(second.hash()) == Replica::Verdict::waits);
    const SignedRoot newest = copy.chain.next(third.hash());
    REQUIRE(copy.offer(newest) == Replica::Verdict::waits);
    REQUIRE(copy.offer(newest) == Replica::Verdict::old);
    REQUIRE(copy.replica.counts().superseded == 1);
    REQUIRE(copy.replica.object(asked[0], copy.forge.objects.at(asked[0]), true));
    REQUIRE(copy.fill());
    REQUIRE(leaves_of(copy.replica.tree()) == Leaves{{"a", "3"}});
    const auto changed = copy.replica.changed();
    REQUIRE(changed);
    REQUIRE(changed->first);
    REQUIRE(changed->root.seq == 2);
}

TEST_CASE("cxo replica: a heartbeat is complete at once") {
    Copy copy;
    const Tree tree = copy.publish({{"a", "1"}});
    copy.offer(tree.hash());
    REQUIRE(copy.fill());
    REQUIRE(copy.replica.changed());
    REQUIRE(copy.offer(tree.hash()) == Replica::Verdict::taken);
    REQUIRE_FALSE(copy.replica.filling());
    const auto changed = copy.replica.changed();
    REQUIRE(changed);
    REQUIRE(changed->before.hash() == changed->now.hash());
    REQUIRE(changed->root.seq == 1);
}

TEST_CASE("cxo replica: what the publisher has no more gives the Root up, and what came is used") {
    Copy copy;
    Leaves leaves = many(1000);
    const Tree first = copy.publish(leaves);
    leaves["n000999"] = "new";
    const Tree second = copy.publish(leaves);
    const Hash gone = second.root()->children()[0]->hash();
    REQUIRE(copy.offer(first.hash()) == Replica::Verdict::taken);
    // All but one of the last level.
    std::vector<Hash> last;
    for (;;) {
        const auto hashes = copy.replica.requests(SIZE_MAX);
        last = hashes;
        if (copy.requests + hashes.size() >= 1000) break;
        copy.requests += hashes.size();
        for (const Hash& hash : hashes)
            REQUIRE(copy.replica.object(hash, copy.forge.objects.at(hash), true));
    }
    REQUIRE(last.size() == 1000);
    for (std::size_t i = 0; i < 900; ++i)
        REQUIRE(copy.replica.object(last[i], copy.forge.objects.at(last[i]), true));
    copy.replica.no_object(last[900]);
    REQUIRE_FALSE(copy.replica.filling());
    REQUIRE(copy.replica.counts().given_up == 1);
    // Those that are still on their way are not asked for twice.
    REQUIRE(copy.offer(second.hash()) == Replica::Verdict::taken);
    copy.requests = 0;
    REQUIRE(copy.fill());
    REQUIRE(copy.replica.filling());
    REQUIRE(copy.requests == 6);
    for (std::size_t i = 901; i < 1000; ++i)
        REQUIRE(copy.replica.object(last[i], copy.forge.objects.at(last[i]), true));
    REQUIRE_FALSE(copy.replica.filling());
    REQUIRE(copy.replica.tree().hash() == second.hash());
    REQUIRE(copy.index.find(gone));
}

TEST_CASE("cxo replica: the same Root again after it was given up is fetched anew") {
    Copy copy;
    const Tree tree = copy.publish({{"a", "1"}});
    const SignedRoot root = copy.chain.next(tree.hash());
    REQUIRE(copy.offer(root) == Replica::Verdict::taken);
    copy.replica.no_object(copy.replica.requests(1).at(0));
    REQUIRE_FALSE(copy.replica.filling());
    REQUIRE(copy.offer(root) == Replica::Verdict::taken);
    REQUIRE(copy.fill());
    REQUIRE(copy.replica.tree().hash() == tree.hash());
}

TEST_CASE("cxo replica: what was under way is asked for again after a lost connection") {
    Copy copy;
    const Tree tree = copy.publish(many(100));
    const SignedRoot root = copy.chain.next(tree.hash());
    REQUIRE(copy.offer(root) == Replica::Verdict::taken);
    for (int level = 0; level < 3; ++level) {
        const auto hashes = copy.replica.requests(SIZE_MAX);
        REQUIRE_FALSE(hashes.empty());
        copy.replica.disconnected();
        // Whoever is there now has not said yet that it has this Root.
        REQUIRE(copy.replica.requests(SIZE_MAX).empty());
        REQUIRE(copy.offer(root) == Replica::Verdict::old);
        REQUIRE(copy.replica.requests(SIZE_MAX) == hashes);
        for (const Hash& hash : hashes)
            REQUIRE(copy.replica.object(hash, copy.forge.objects.at(hash), true));
    }
    REQUIRE(copy.replica.filling());
    REQUIRE(copy.fill());
    REQUIRE(copy.replica.tree().hash() == tree.hash());
}

TEST_CASE("cxo replica: of a publisher that has begun anew nothing is asked that it had before") {
    Copy copy;
    const Tree tree = copy.publish(many(100));
    const SignedRoot root = copy.chain.next(tree.hash());
    REQUIRE(copy.offer(root) == Replica::Verdict::taken);
    REQUIRE_FALSE(copy.replica.requests(10).empty());
    copy.replica.disconnected();
    REQUIRE(copy.replica.requests(10).empty());
    // A newer Root does not wait for what nobody brings.
    copy.forge.objects.clear();
    const Tree next = copy.publish(many(99));
    REQUIRE(copy.offer(next.hash()) == Replica::Verdict::taken);
    REQUIRE(copy.fill());
    REQUIRE(copy.replica.tree().hash() == next.hash());
}

TEST_CASE("cxo replica: behind a lost connection it goes on with the Root that its publisher has") {
    Copy copy;
    const Tree one = copy.publish(many(100));
    REQUIRE(copy.offer(one.hash()) == Replica::Verdict::taken);
    REQUIRE_FALSE(copy.replica.requests(10).empty());
    const Tree two = copy.publish(many(101));
    const SignedRoot newest = copy.chain.next(two.hash());
    REQUIRE(copy.offer(newest) == Replica::Verdict::waits);
    copy.replica.disconnected();
    REQUIRE(copy.replica.requests(10).empty());
    REQUIRE(copy.offer(newest) == Replica::Verdict::old);
    copy.forge.objects.clear();
    copy.forge.take(two.root());
    REQUIRE(copy.fill());
    REQUIRE(copy.replica.tree().hash() == two.hash());
}

TEST_CASE("cxo replica: behind a lost connection it follows a publisher that has gone back") {
    Copy copy;
    const Tree one = copy.publish(many(100));
    const SignedRoot first = copy.chain.next(one.hash());
    REQUIRE(copy.offer(first) == Replica::Verdict::taken);
    REQUIRE(copy.fill());
    const Tree two = copy.publish(many(101));
    const SignedRoot second = copy.chain.next(two.hash());
    REQUIRE(copy.offer(copy.chain.next(copy.publish(many(102)).hash())) == Replica::Verdict::taken);
    REQUIRE_FALSE(copy.replica.requests(10).empty());
    REQUIRE(copy.offer(copy.chain.next(copy.publish(many(103)).hash())) == Replica::Verdict::waits);
    copy.replica.disconnected();
    const auto given_up = copy.replica.counts().given_up;
    SECTION("to what there is") {
        REQUIRE(copy.offer(first) == Replica::Verdict::old);
        REQUIRE_FALSE(copy.replica.filling());
        REQUIRE(copy.replica.requests(10).empty());
        REQUIRE(copy.replica.tree().hash() == one.hash());
        REQUIRE(copy.offer(second) == Replica::Verdict::taken);
    }
    SECTION("to what is newer than that") {
        REQUIRE(copy.offer(second) == Replica::Verdict::taken);
    }
    SECTION("to what there is, under a newer Root") {
        REQUIRE(copy.offer(copy.chain.next(one.hash())) == Replica::Verdict::taken);
        REQUIRE_FALSE(copy.replica.filling());
        REQUIRE(copy.offer(copy.chain.next(two.hash())) == Replica::Verdict::taken);
    }
    // Nobody has failed: the feed is not asked for anew.
    REQUIRE(copy.replica.counts().given_up == given_up);
    copy.forge.objects.clear();
    copy.forge.take(two.root());
    REQUIRE(copy.fill());
    REQUIRE(copy.replica.tree().hash() == two.hash());
    // Not before what is complete.
    REQUIRE(copy.offer(first) == Replica::Verdict::old);
}

TEST_CASE("cxo replica: two copies share what is equal, and each ends alone") {
    ObjectIndex index;
    Forge forge;
    ObjectIndex publisher_index;
    const Tree tree = tree_of(publisher_index, many(100));
    forge.take(tree.root());
    auto first = std::make_unique<Replica>(keys_of("first").public_key, index);
    Replica second(keys_of("second").public_key, index);
    Chain one(keys_of("first"), 1);
    Chain two(keys_of("second"), 1);
    first->offer(one.next(tree.hash()), {});
    for (auto hashes = first->requests(99); !hashes.empty(); hashes = first->requests(99)) {
        for (const Hash& hash : hashes)
            REQUIRE(first->object(hash, forge.objects.at(hash), true));
    }
    const std::size_t objects = index.size();
    second.offer(two.next(tree.hash()), {});
    REQUIRE_FALSE(second.filling());
    REQUIRE(index.size() == objects);
    first.reset();
    REQUIRE(leaves_of(second.tree()).size() == 100);
    REQUIRE(index.size() == objects);
}

TEST_CASE("cxo replica: whatever order answers come in, whatever is lost, it ends equal") {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        INFO("seed " << seed);
        SeededRandom random(seed);
        Copy copy;
        Leaves leaves;
        Tree tree(copy.publisher_index);
        std::vector<Hash> under_way;
        std::vector<Tree> kept;
        for (int step = 0; step < 400; ++step) {
            const bool settle = step >= 390;
            const auto dice = settle ? 99 : random.below(100);
            if (dice < 6) {
                std::vector<Change> changes;
                for (auto n = random.below(30) + 1; n > 0; --n) {
                    const std::string path =
                        fmt::format("d{}/x{}", random.below(4), random.below(60));
                    if (random.below(4) == 0)
                        changes.push_back({path, std::nullopt});
                    else
                        changes.push_back({path, bytes_of(std::to_string(random.below(1000)))});
                }
                auto applied = tree.apply(std::move(changes));
                REQUIRE(applied);
                tree = applied->tree;
                kept.push_back(tree);
                if (kept.size() > 2) kept.erase(kept.begin());
                copy.forge.objects.clear();
                for (const Tree& each : kept)
                    copy.forge.take(each.root());
                if (random.below(3) == 0) {
                    for (const ObjectPtr& object : applied->made)
                        REQUIRE(copy.replica.object(object->hash(), object->bytes(), false));
                }
                copy.offer(tree.hash());
            } else if (dice < 8) {
                copy.replica.disconnected();
                under_way.clear();
            } else {
                for (const Hash& hash : copy.replica.requests(random.below(20)))
                    under_way.push_back(hash);
            }
            for (auto n = random.below(20); n > 0 && !under_way.empty(); --n) {
                const auto at = static_cast<std::ptrdiff_t>(random.below(under_way.size()));
                const Hash hash = under_way[static_cast<std::size_t>(at)];
                under_way.erase(under_way.begin() + at);
                const auto found = copy.forge.objects.find(hash);
                if (found == copy.forge.objects.end())
                    copy.replica.no_object(hash);
                else
                    REQUIRE(copy.replica.object(hash, found->second, true));
            }
        }
        for (const Hash& hash : under_way)
            copy.replica.no_object(hash);
        copy.offer(tree.hash());
        REQUIRE(copy.fill());
        REQUIRE(copy.replica.tree().hash() == tree.hash());
        REQUIRE(leaves_of(copy.replica.tree()) == leaves_of(tree));
    }
}

TEST_CASE("cxo replica: what it holds is counted, of what comes and of what was given up too") {
    ReplicaLimits limits;
    limits.staging_max = 10'000;
    Copy copy(limits);
    const std::size_t empty = copy.replica.memory();
    const Tree small = copy.publish({{"a", "1"}, {"b", "2"}});
    copy.offer(small.hash());
    REQUIRE(copy.fill());
    const std::size_t whole = copy.replica.memory();
    CHECK(whole > empty);
    CHECK(whole < 5'000);

    const std::string long_text(5'000, 'x');
    Leaves leaves;
    for (int i = 0; i < 20; ++i)
        leaves.emplace(fmt::format("leaf{}", i), long_text + std::to_string(i));
    const Tree large = copy.publish(leaves);
    copy.offer(large.hash());
    // One of the leaves never comes.
    Hash missing = kNil;
    for (auto hashes = copy.replica.requests(SIZE_MAX); !hashes.empty();
         hashes = copy.replica.requests(SIZE_MAX)) {
        for (const Hash& hash : hashes) {
            const Bytes& bytes = copy.forge.objects.at(hash);
            if (bytes.size() > 5'000 && missing == kNil)
                missing = hash;
            else
                REQUIRE(copy.replica.object(hash, bytes, true));
        }
    }
    CHECK(copy.replica.memory() > whole + 19 * long_text.size());
    copy.replica.no_object(missing);
    CHECK_FALSE(copy.replica.filling());
    CHECK(copy.replica.memory() > whole + 19 * long_text.size());
    // Unasked ones, as far as they are kept.
    for (int i = 0; i < 20; ++i)
        REQUIRE(copy.replica.object(
            crypto::sha256(bytes_of(long_text + std::to_string(i))),
            bytes_of(long_text + std::to_string(i)),
            false
        ));
    CHECK(copy.replica.memory() < whole + 20 * (long_text.size() + 2'000) + limits.staging_max);
    copy.offer(copy.publish({{"a", "1"}, {"b", "3"}}).hash());
    REQUIRE(copy.fill());
    CHECK(copy.replica.memory() < 5'000);
}

}  // namespace skywire::cxo::test
