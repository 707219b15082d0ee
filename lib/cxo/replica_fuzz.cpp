// A copy under a publisher that says anything: objects of any shape, Roots of any of them, answers
// in any order or none. Whatever it is told, the copy is a tree that somebody could have published,
// and a good Root afterwards is taken.

#include "base/assert.hpp"
#include "base/fuzz_script.hpp"
#include "cxo/replica.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

namespace {

using namespace skywire;
using namespace skywire::cxo;

const crypto::KeyPair& keys() {
    static const crypto::KeyPair made = crypto::deterministic_key_pair("feed");
    return made;
}

ReplicaLimits limits() {
    ReplicaLimits limits;
    limits.objects_max = 200;
    limits.bytes_max = 4000;
    limits.depth_max = 6;
    limits.staging_max = 2000;
    return limits;
}

class Player {
 public:
    void play(ByteSpan input) {
        FuzzScript script(input);
        while (!script.done() && steps_++ < 300)
            step(script);
        // From here on it behaves.
        for (const Hash& hash : under_way_)
            replica_.no_object(hash);
        under_way_.clear();
        ObjectIndex index;
        const ByteSpan value = as_bytes("good");
        const Tree good =
            Tree(index).apply({{"a/b", Bytes(value.begin(), value.end())}}).value().tree;
        learn(*good.root());
        now_ += std::chrono::hours(1);
        offer(good.hash());
        for (int i = 0; i < 1000 && replica_.filling(); ++i)
            answer_all();
        SKY_ASSERT(replica_.tree().hash() == good.hash());
    }

 private:
    void step(FuzzScript& script) {
        const unsigned what = script.byte();
        switch (what % 12) {
            case 0:
                return keep(read(script.take(script.byte())));
            case 1:
                return keep(write_node(pick(script)));
            case 2:
            case 3:
                return keep(list(script, /*is_branch=*/what % 12 == 3));
            case 4:
                return keep(write_entry(name(script), kNil, script.take(script.byte() % 40)));
            case 5:
                return keep(write_entry(name(script), pick(script), {}));
            case 6:
                return offer(pick(script));
            case 7:
                return answer(script);
            case 8:
                return answer_all();
            case 9:
                replica_.disconnected();
                under_way_.clear();
                return;
            case 10:
                return unasked(script);
            default:
                return skew(script);
        }
    }

    static Bytes read(ByteSpan bytes) { return {bytes.begin(), bytes.end()}; }
    static std::string name(FuzzScript& script) {
        return std::string(1 + script.byte() % 2, static_cast<char>('a' + script.byte() % 20));
    }

    /// One of those made so far, newest first.
    Hash pick(FuzzScript& script) {
        if (hashes_.empty()) return kNil;
        return hashes_[hashes_.size() - 1 - script.byte() % hashes_.size()];
    }

    /// The last so many, in order, as children.
    Bytes list(FuzzScript& script, bool is_branch) {
        const std::size_t count = std::min<std::size_t>(script.byte() % 20, hashes_.size());
        const unsigned shape = script.byte();
        const auto length = static_cast<std::uint32_t>(shape % 8 == 7 ? script.byte() * 77 : count);
        std::vector<std::uint32_t> head{length};
        if (!is_branch) head = {shape / 8 % 4, shape >= 128 ? 2U : kDegree, length};
        head.push_back(static_cast<std::uint32_t>(count));
        Bytes bytes;
        for (const std::uint32_t number : head) {
            for (int shift = 0; shift < 32; shift += 8)
                bytes.push_back(static_cast<std::byte>(number >> shift));
        }
        for (std::size_t i = hashes_.size() - count; i < hashes_.size(); ++i)
            bytes.insert(bytes.end(), hashes_[i].begin(), hashes_[i].end());
        return bytes;
    }

    void keep(Bytes bytes) {
        const Hash hash = crypto::sha256(bytes);
        hashes_.push_back(hash);
        objects_[hash] = std::move(bytes);
    }

    void learn(const Object& object) {
        objects_[object.hash()] = read(object.bytes());
        for (const ObjectPtr& child : object.children())
            learn(*child);
    }

    void offer(const Hash& tree) {
        root_.tree = tree == kNil ? crypto::sha256({}) : tree;
        root_.feed = keys().public_key;
        const SignedRoot signed_root = sign(root_, keys());
        root_.previous = hash_of(signed_root);
        ++root_.seq;
        ++root_.time;
        static_cast<void>(replica_.offer(signed_root, now_));
        look();
    }

    void ask() {
        for (const Hash& hash : replica_.requests(50)) {
            SKY_ASSERT(std::ranges::find(under_way_, hash) == under_way_.end());
            under_way_.push_back(hash);
        }
    }

    void tell(const Hash& hash, bool asked) {
        const auto found = objects_.find(hash);
        if (found != objects_.end())
            static_cast<void>(replica_.object(hash, found->second, asked));
        else if (asked)
            replica_.no_object(hash);
        look();
    }

    void answer(FuzzScript& script) {
        ask();
        if (under_way_.empty()) return;
        const auto at = static_cast<std::ptrdiff_t>(script.byte() % under_way_.size());
        const Hash hash = under_way_[static_cast<std::size_t>(at)];
        under_way_.erase(under_way_.begin() + at);
        tell(hash, true);
    }

    void answer_all() {
        ask();
        while (!under_way_.empty()) {
            const Hash hash = under_way_.front();
            under_way_.pop_front();
            tell(hash, true);
        }
    }

    void unasked(FuzzScript& script) {
        const std::size_t count = script.byte() % 20;
        for (std::size_t i = 0; i < count && i < hashes_.size(); ++i)
            tell(hashes_[hashes_.size() - 1 - i], false);
    }

    /// A chain that begins anew.
    void skew(FuzzScript& script) {
        now_ += std::chrono::seconds(1);
        root_.nonce = 1 + script.byte() % 2;
        root_.seq = 0;
        root_.previous = kNil;
    }

    /// Whatever came, this is a tree within the limits, and it can be walked.
    void look() {
        const auto changed = replica_.changed();
        if (!changed) return;
        SKY_ASSERT(changed->now.root()->leaves() <= limits().objects_max);
        std::size_t leaves = 0;
        changed->now.walk("", [&](std::string_view path, ByteSpan leaf) {
            SKY_ASSERT(!leaf.empty() && changed->now.get(path).has_value());
            ++leaves;
            return true;
        });
        SKY_ASSERT(leaves == changed->now.count());
        static_cast<void>(difference(changed->before, changed->now));
        SKY_ASSERT(index_.bytes() < 50'000);
    }

    int steps_ = 0;
    SteadyTime now_{};
    ObjectIndex index_;
    Replica replica_{keys().public_key, index_, limits()};
    std::map<Hash, Bytes> objects_;
    std::vector<Hash> hashes_;
    std::deque<Hash> under_way_;
    Root root_{kNil, {}, 1, 0, 1, kNil};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Player().play(std::as_bytes(std::span(data, size)));
    return 0;
}
