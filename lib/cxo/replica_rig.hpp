#pragma once

#include "cxo/link_rig.hpp"

#include <algorithm>

/// A copy on the test bench, and a publisher that may say anything.
namespace skywire::cxo::test {

using Leaves = std::map<std::string, std::string>;

/// Objects of any shape, made by hand.
class Forge {
 public:
    Hash put(Bytes bytes) {
        const Hash hash = crypto::sha256(bytes);
        objects[hash] = std::move(bytes);
        return hash;
    }
    Hash node(const Hash& list) { return put(write_node(list)); }
    Hash leaf(std::string_view name, std::string_view value) {
        return put(write_entry(name, kNil, as_bytes(value)));
    }
    Hash entry(std::string_view name, const Hash& directory) {
        return put(write_entry(name, directory, {}));
    }
    Hash list(std::uint32_t depth, std::uint32_t length, const std::vector<Hash>& children) {
        return put(numbers({depth, kDegree, length}, children));
    }
    Hash branch(std::uint32_t length, const std::vector<Hash>& children) {
        return put(numbers({length}, children));
    }
    /// A directory whose list is of depth 0.
    Hash directory(const std::vector<Hash>& entries) {
        return node(list(0, static_cast<std::uint32_t>(entries.size()), entries));
    }
    /// All objects of a tree.
    void take(const ObjectPtr& object) {
        objects[object->hash()] = Bytes(object->bytes().begin(), object->bytes().end());
        for (const ObjectPtr& child : object->children())
            take(child);
    }

    std::map<Hash, Bytes> objects;

 private:
    static Bytes numbers(std::vector<std::uint32_t> head, const std::vector<Hash>& hashes) {
        head.push_back(static_cast<std::uint32_t>(hashes.size()));
        Bytes bytes;
        for (const std::uint32_t number : head) {
            for (int shift = 0; shift < 32; shift += 8)
                bytes.push_back(static_cast<std::byte>(number >> shift));
        }
        for (const Hash& hash : hashes)
            bytes.insert(bytes.end(), hash.begin(), hash.end());
        return bytes;
    }
};

struct Copy {
    explicit Copy(const ReplicaLimits& limits = {}) : replica(keys.public_key, index, limits) {}

    Replica::Verdict offer(const Hash& tree) { return offer(chain.next(tree)); }
    Replica::Verdict offer(const SignedRoot& root) {
        const auto offered = replica.offer(root, now);
        refusal = offered.error;
        return offered.verdict;
    }

    /// Answers all that it asks for, `room` at a time; the first error.
    Result<> fill(std::size_t room = SIZE_MAX) {
        Result<> first;
        for (;;) {
            const auto hashes = replica.requests(room);
            if (hashes.empty()) return first;
            for (const Hash& hash : hashes) {
                ++requests;
                const auto found = forge.objects.find(hash);
                if (found == forge.objects.end()) {
                    replica.no_object(hash);
                    continue;
                }
                auto done = replica.object(hash, found->second, /*asked=*/true);
                if (!done && first) first = done;
            }
        }
    }
    /// A tree that is published.
    Tree publish(const Leaves& leaves) {
        const Tree tree = tree_of(publisher_index, leaves);
        forge.take(tree.root());
        return tree;
    }
    /// Refused, or given up with this error, and the copy is what it was.
    void check_bad(const Hash& tree, errc code) {
        const Hash before = replica.tree().hash();
        REQUIRE(offer(tree) == Replica::Verdict::taken);
        const auto done = fill();
        REQUIRE_FALSE(done);
        REQUIRE(done.error() == code);
        REQUIRE_FALSE(replica.filling());
        REQUIRE(replica.tree().hash() == before);
        REQUIRE_FALSE(replica.changed());
        // What is wrong stays wrong.
        REQUIRE(offer(tree) == Replica::Verdict::refused);
        // The feed is still good.
        const Tree good = publish({{"good", std::to_string(chain.root().seq)}});
        REQUIRE(offer(good.hash()) == Replica::Verdict::taken);
        REQUIRE(fill());
        REQUIRE(replica.tree().hash() == good.hash());
        REQUIRE(replica.changed());
    }

    SteadyTime now{};
    crypto::KeyPair keys = keys_of("publisher");
    Chain chain{keys, 7};
    ObjectIndex publisher_index;
    ObjectIndex index;
    Forge forge;
    Replica replica;
    Error refusal;
    std::size_t requests = 0;
};

inline Leaves many(std::size_t count, std::string_view value = "v") {
    Leaves leaves;
    for (std::size_t i = 0; i < count; ++i)
        leaves.emplace(fmt::format("n{:06}", i), value);
    return leaves;
}

}  // namespace skywire::cxo::test
