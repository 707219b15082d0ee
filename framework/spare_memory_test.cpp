#include "framework/spare_memory.hpp"

#include "base/test.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

namespace skywire::framework {
namespace {

constexpr std::size_t kMiB = 1U << 20U;

struct Pages final : FreePages {
    std::size_t bytes() override {
        ++asked;
        return free;
    }
    void release(std::size_t bytes) override {
        REQUIRE(bytes <= free);
        free -= bytes;
    }
    std::size_t free = 0;
    std::size_t asked = 0;
};

struct Rig {
    Rig() : spare(clock, loop.metrics, pages), scope(loop.ioc.get_executor()) {
        scope.spawn("spare memory", [this] { return spare.run(); });
        loop.run_until([this] { return clock.waiting() == 1; });
    }
    ~Rig() {
        scope.cancel();
        loop.run_until([this] { return scope.size() == 0; });
    }
    void second() {
        const std::size_t before = pages.asked;
        clock.advance(SpareMemory::kInterval);
        loop.run_until([&] { return pages.asked > before && clock.waiting() == 1; });
    }

    ManualClock clock;
    net::TestLoop loop{&clock};
    Pages pages;
    SpareMemory spare;
    net::Scope scope;
};

TEST_CASE("spare memory: what was free for a whole window goes, a step at a time") {
    Rig rig;
    rig.pages.free = 40 * kMiB;
    for (std::size_t i = 1; i < SpareMemory::kWindow; ++i)
        rig.second();
    CHECK(rig.pages.free == 40 * kMiB);
    rig.second();
    CHECK(rig.pages.free == 40 * kMiB - SpareMemory::kStepBytes);
    for (int i = 0; i < 5; ++i)
        rig.second();
    CHECK(rig.pages.free == SpareMemory::kKeptBytes);
    CHECK(rig.loop.metrics.counter("process_memory_released_bytes_total", "").value() == 38 * kMiB);
}

TEST_CASE("spare memory: what the load takes again in the window stays") {
    Rig rig;
    for (std::size_t i = 0; i < 5 * SpareMemory::kWindow; ++i) {
        rig.pages.free = i % (SpareMemory::kWindow / 2) == 0 ? 3 * kMiB : 100 * kMiB;
        const std::size_t before = rig.pages.free;
        rig.second();
        CHECK(before - rig.pages.free <= kMiB);
    }
}

TEST_CASE("spare memory: the allocator of this binary can be asked") {
    FreePages& pages = allocator_pages();
    const std::size_t before = pages.bytes();
    pages.release(before);
    CHECK(pages.bytes() <= before);
}

}  // namespace
}  // namespace skywire::framework
