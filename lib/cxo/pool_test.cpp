// Where the nodes of a fill lie.

#include "cxo/detail/pool.hpp"

#include "base/test.hpp"

#include <cstdint>
#include <map>
#include <set>

namespace skywire::cxo::detail {

TEST_CASE("cxo pool: a map in it is a map") {
    Pool pool;
    std::pmr::map<std::uint64_t, std::uint64_t> map(&pool);
    constexpr std::uint64_t kCount = 20'000;
    for (int round = 0; round < 3; ++round) {
        for (std::uint64_t i = 0; i < kCount; ++i)
            map.emplace(i * 7919 % kCount, i);
        REQUIRE(map.size() == kCount);
        for (std::uint64_t i = 0; i < kCount; ++i)
            REQUIRE(map.at(i * 7919 % kCount) == i);
        // Every third stays among those that come.
        std::erase_if(map, [](const auto& each) { return each.first % 3 != 0; });
        for (const auto& [key, value] : map)
            REQUIRE(value * 7919 % kCount == key);
        map.clear();
    }
}

TEST_CASE("cxo pool: what is given back is given out again") {
    constexpr std::size_t kSize = 136;
    Pool pool;
    std::set<void*> first;
    for (int i = 0; i < 5000; ++i) {
        void* const place = pool.allocate(kSize, alignof(void*));
        REQUIRE(reinterpret_cast<std::uintptr_t>(place) % alignof(void*) == 0);
        REQUIRE(first.insert(place).second);
    }
    for (void* const place : first)
        pool.deallocate(place, kSize, alignof(void*));
    std::set<void*> second;
    for (int i = 0; i < 5000; ++i)
        second.insert(pool.allocate(kSize, alignof(void*)));
    REQUIRE(second.size() == first.size());
    REQUIRE((Pool::kHeapOnly || second == first));
    for (void* const place : second)
        pool.deallocate(place, kSize, alignof(void*));
}

TEST_CASE("cxo pool: other sizes are the heap's") {
    Pool pool;
    void* const node = pool.allocate(64, 8);
    void* const table = pool.allocate(4096, 8);
    void* const aligned = pool.allocate(64, 64);
    REQUIRE(reinterpret_cast<std::uintptr_t>(aligned) % 64 == 0);
    pool.deallocate(table, 4096, 8);
    pool.deallocate(aligned, 64, 64);
    pool.deallocate(node, 64, 8);
}

}  // namespace skywire::cxo::detail
