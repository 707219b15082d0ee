#pragma once

#include "base/clock.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <cmath>

namespace skywire::dmsg::detail {

/// How long to wait before something is tried again.
struct Backoff {
    Duration first;
    double factor;
    Duration max;

    /// After `failures` (from 1) in a row, a fifth more or less by chance: many who failed together
    /// do not come back together.
    Duration delay(unsigned failures, Random& random) const {
        const double wanted = std::pow(factor, failures > 0 ? failures - 1 : 0) *
                              std::chrono::duration<double>(first).count();
        const double bounded = std::min(wanted, std::chrono::duration<double>(max).count());
        const double jitter = 0.8 + 0.4 * random.next_unit();
        return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(bounded * jitter)
        );
    }
};

}  // namespace skywire::dmsg::detail
