#include "base/random.hpp"

#include "base/assert.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include <sys/random.h>

namespace skywire {

std::uint64_t Random::next_u64() {
    std::uint64_t value = 0;
    fill(std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

std::uint64_t Random::below(std::uint64_t bound) {
    SKY_ASSERT(bound > 0);
    // Values past the last full multiple would favour the small remainders.
    const std::uint64_t limit = std::numeric_limits<std::uint64_t>::max() / bound * bound;
    for (;;) {
        const std::uint64_t value = next_u64();
        if (value < limit) return value % bound;
    }
}

double Random::next_unit() {
    return static_cast<double>(next_u64() >> 11) * 0x1.0p-53;
}

void SystemRandom::fill(std::span<std::byte> into) {
    while (!into.empty()) {
        const ssize_t got = getrandom(into.data(), into.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        SKY_ASSERT(got > 0);
        into = into.subspan(static_cast<std::size_t>(got));
    }
}

void SeededRandom::fill(std::span<std::byte> into) {
    const std::scoped_lock lock(mutex_);
    while (!into.empty()) {
        const std::uint64_t value = engine_();
        const std::size_t size = std::min(into.size(), sizeof value);
        std::memcpy(into.data(), &value, size);
        into = into.subspan(size);
    }
}

}  // namespace skywire
