#include "framework/spare_memory.hpp"

#include "net/timer.hpp"

#include <algorithm>

#ifndef SKYWIRE_NO_GPERFTOOLS
#include <gperftools/malloc_extension.h>
#endif

namespace skywire::framework {

namespace {

#ifndef SKYWIRE_NO_GPERFTOOLS

/// What threads keep for themselves beside the pages that all share. The allocator's own bound, 32
/// MiB, is reached over hours, one rare size after another; with this one the caches are as large
/// as they ever get within the first minute of a load.
constexpr std::size_t kThreadCachesBytes = 2U << 20U;

class TcmallocPages final : public FreePages {
 public:
    TcmallocPages() {
        MallocExtension::instance()->SetNumericProperty(
            "tcmalloc.max_total_thread_cache_bytes", kThreadCachesBytes
        );
    }

    std::size_t bytes() override {
        std::size_t free = 0;
        const bool known =
            MallocExtension::instance()->GetNumericProperty("tcmalloc.pageheap_free_bytes", &free);
        return known ? free : 0;
    }

    void release(std::size_t bytes) override {
        MallocExtension::instance()->ReleaseToSystem(bytes);
    }
};

#else

class TcmallocPages final : public FreePages {
 public:
    std::size_t bytes() override { return 0; }
    void release(std::size_t) override {}
};

#endif

}  // namespace

FreePages& allocator_pages() {
    static TcmallocPages pages;
    return pages;
}

SpareMemory::SpareMemory(Clock& clock, Metrics& metrics, FreePages& pages)
    : clock_(clock),
      pages_(pages),
      released_(metrics.counter(
          "process_memory_released_bytes_total",
          "Memory that a peak had left behind and that was given back to the system."
      )) {}

Task<> SpareMemory::run() {
    for (std::size_t second = 0;; ++second) {
        if (!co_await net::sleep_for(clock_, kInterval)) co_return;
        free_[second % kWindow] = pages_.bytes();
        const std::size_t spare = *std::min_element(free_.begin(), free_.end());
        if (spare <= kKeptBytes) continue;
        const std::size_t step = std::min(spare - kKeptBytes, kStepBytes);
        const std::size_t before = pages_.bytes();
        pages_.release(step);
        released_.add(before - std::min(before, pages_.bytes()));
        // What is gone was free in all of them.
        for (std::size_t& free : free_)
            free -= std::min(free, step);
    }
}

}  // namespace skywire::framework
