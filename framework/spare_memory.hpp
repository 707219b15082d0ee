#pragma once

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "net/task.hpp"

#include <array>
#include <cstddef>

namespace skywire::framework {

/// The allocator's free pages, as far as this binary can ask for them.
class FreePages {
 public:
    virtual ~FreePages() = default;
    /// Bytes that nobody uses and that are still the process's.
    virtual std::size_t bytes() = 0;
    /// Gives about that many back to the system.
    virtual void release(std::size_t bytes) = 0;
};

/// Those of tcmalloc, whose caches of single threads are bounded from the first call on; none in
/// sanitizer builds, which have another allocator.
FreePages& allocator_pages();

/// Gives memory back that a peak of load has left behind. What the allocator kept free through a
/// whole window is spare; of that some is released every second, so that the loop it runs on is
/// held up for a millisecond or two. Memory that the load keeps taking and freeing stays.
///
/// Counts process_memory_released_bytes_total.
class SpareMemory {
 public:
    /// All outlive it.
    SpareMemory(Clock& clock, Metrics& metrics, FreePages& pages);

    /// Until it is cancelled.
    Task<> run();

    static constexpr Duration kInterval = std::chrono::seconds(1);
    static constexpr std::size_t kWindow = 10;
    /// Less than this is not worth the page faults.
    static constexpr std::size_t kKeptBytes = 2U << 20U;
    static constexpr std::size_t kStepBytes = 16U << 20U;

 private:
    Clock& clock_;
    FreePages& pages_;
    Counter& released_;
    /// Free bytes in the seconds of the window.
    std::array<std::size_t, kWindow> free_{};
};

}  // namespace skywire::framework
