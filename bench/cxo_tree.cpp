// What a feed costs its publisher: one changed value among 100,000 until the version is signed and
// encoded, an insertion in front of them, all of them at once, the memory of each, and the
// difference of two versions. One figure a line: name, value, unit. CPU time of the thread.

#include "cxo/publisher.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>

#include <fmt/format.h>
#include <malloc.h>

using namespace skywire;
using namespace skywire::cxo;

namespace {

constexpr unsigned kLeaves = 100'000;
constexpr int kRounds = 10;
constexpr int kChanges = 500;
constexpr std::int64_t kStart = 1'700'000'000'000'000'000;

double thread_seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// What the heap has handed out.
double heap_bytes() {
    const struct mallinfo2 heap = mallinfo2();
    return static_cast<double>(heap.uordblks + heap.hblkhd);
}

void print(const char* name, double value, const char* unit) {
    std::printf("%s %.5g %s\n", name, value, unit);
}

std::string flat_path(unsigned i) {
    return fmt::format("k{:06}", i);
}
std::string shard_path(unsigned i) {
    return fmt::format("{:02x}/k{:06}", i % 256, i);
}

/// 49 bytes.
Bytes value_of(std::uint64_t number) {
    const std::string text = fmt::format("{:049}", number);
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

template <class T>
T must(Result<T> result) {
    if (!result) std::abort();
    return std::move(*result);
}

void must(const Result<>& result) {
    if (!result) std::abort();
}

std::vector<Change> all_leaves(std::string (*path)(unsigned)) {
    std::vector<Change> changes;
    changes.reserve(kLeaves);
    for (unsigned i = 0; i < kLeaves; ++i)
        changes.push_back({path(i), value_of(i)});
    return changes;
}

/// The least of several rounds, so that a busy machine does not show: us each.
template <class Work>
double best_us(const Work& work) {
    double best = 1e9;
    for (int round = 0; round < kRounds; ++round) {
        const double began = thread_seconds();
        for (int i = 0; i < kChanges; ++i)
            work();
        best = std::min(best, (thread_seconds() - began) / kChanges * 1e6);
    }
    return best;
}

/// Publishes one change of a random leaf after the other, from the change to the signed version.
void change_values(Publisher& publisher, std::string (*path)(unsigned), const std::string& name) {
    std::mt19937_64 random(1);
    SteadyTime now{std::chrono::hours(1)};
    std::vector<Change> changes;
    changes.reserve(kRounds * kChanges);
    for (int i = 0; i < kRounds * kChanges; ++i)
        changes.push_back({path(static_cast<unsigned>(random() % kLeaves)), value_of(random())});
    auto change = changes.begin();
    std::size_t objects = 0;
    const double spent = best_us([&] {
        now += std::chrono::seconds(1);
        must(publisher.put(change->path, std::move(*change->value), now));
        ++change;
        const std::int64_t wall = kStart + now.time_since_epoch().count();
        const AnnouncementPtr version = publisher.on_time(now, wall);
        if (!version) std::abort();
        objects += version->made.size();
    });
    print((name + "_us").c_str(), spent, "us");
    const double each = static_cast<double>(objects) / (kRounds * kChanges);
    print((name + "_objects").c_str(), each, "objects");
}

/// Of it what is not the tree.
void sign_roots(const crypto::KeyPair& keys, const Hash& tree) {
    Root root;
    root.tree = tree;
    root.feed = keys.public_key;
    root.nonce = kStart;
    root.time = kStart;
    print(
        "sign_us",
        best_us([&] {
            ++root.seq;
            root.previous = hash_of(sign(root, keys));
        }),
        "us"
    );
}

void compare(const Tree& tree) {
    const Tree changed = must(tree.apply({{flat_path(kLeaves / 2), value_of(7)}})).tree;
    std::size_t found = 0;
    print("difference_us", best_us([&] { found += difference(tree, changed).size(); }), "us");
    if (found != kRounds * kChanges) std::abort();

    double began = thread_seconds();
    const auto applied = must(tree.apply({{"a", value_of(1)}}));
    print("insert_front_ms", (thread_seconds() - began) * 1e3, "ms");
    print("insert_front_objects", static_cast<double>(applied.made.size()), "objects");

    began = thread_seconds();
    std::size_t bytes = 0;
    tree.walk({}, [&](std::string_view path, ByteSpan leaf) {
        bytes += path.size() + leaf.size();
        return true;
    });
    if (bytes != kLeaves * (7 + 49)) std::abort();
    print("walk_ms", (thread_seconds() - began) * 1e3, "ms");
}

}  // namespace

int main() {
    const auto keys = crypto::deterministic_key_pair("bench");
    ObjectIndex index;
    const PublisherPace pace{};
    {
        const double before = heap_bytes();
        auto changes = all_leaves(flat_path);
        const double began = thread_seconds();
        Publisher publisher(keys, index, pace, kStart);
        must(publisher.batch(std::move(changes), SteadyTime{}));
        print("build_ms", (thread_seconds() - began) * 1e3, "ms");
        if (!publisher.on_time(SteadyTime{}, kStart)) std::abort();
        print("leaf_heap_bytes", (heap_bytes() - before) / kLeaves, "bytes");
        print("leaf_object_bytes", static_cast<double>(index.bytes()) / kLeaves, "bytes");
        change_values(publisher, flat_path, "change");
        sign_roots(keys, publisher.tree().hash());
        compare(publisher.tree());
    }
    Publisher sharded(keys, index, pace, kStart);
    must(sharded.batch(all_leaves(shard_path), SteadyTime{}));
    if (!sharded.on_time(SteadyTime{}, kStart)) std::abort();
    change_values(sharded, shard_path, "change_sharded");
}
