#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <mutex>
#include <random>
#include <span>

namespace skywire {

/// Where random bytes come from. Safe to call from any thread.
class Random {
 public:
    virtual ~Random() = default;
    virtual void fill(std::span<std::byte> into) = 0;

    std::uint64_t next_u64();
    /// Uniform in [0, bound); bound > 0.
    std::uint64_t below(std::uint64_t bound);
    /// Uniform in [0, 1).
    double next_unit();
};

/// The kernel's generator (getrandom). Fit for keys and nonces.
class SystemRandom final : public Random {
 public:
    void fill(std::span<std::byte> into) override;
};

/// The same bytes for the same seed: tests only, never keys.
class SeededRandom final : public Random {
 public:
    explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
    void fill(std::span<std::byte> into) override;

 private:
    std::mutex mutex_;
    std::mt19937_64 engine_;
};

}  // namespace skywire
