#pragma once

#include "base/clock.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

namespace skywire::tpd {

/// A token bucket for each caller: spec/services-http.md section 1.8. Off with a rate of 0.
class RateLimit {
 public:
    struct Options {
        /// Requests a minute, and how many of them at once.
        std::size_t per_minute = 0;
        std::size_t burst = 10;
    };
    /// Beyond it the idle ones are dropped, and where none is idle, all.
    static constexpr std::size_t kBucketsMax = 50'000;
    static constexpr std::chrono::hours kIdle{2};

    explicit RateLimit(Options options) : options_(options) {}

    /// Takes one request of this caller; false where there is none left.
    bool take(std::string_view caller, SteadyTime now);

    std::size_t per_minute() const noexcept { return options_.per_minute; }
    std::size_t buckets() const noexcept { return buckets_.size(); }

 private:
    struct Bucket {
        double tokens = 0;
        SteadyTime filled{};
    };

    void make_room(SteadyTime now);

    Options options_;
    std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace skywire::tpd
