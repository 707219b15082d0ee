#pragma once

#include "base/clock.hpp"
#include "base/random.hpp"

#include <algorithm>

namespace skywire::cxo {

/// The pause after so many failures in a row (from 1): doubling, up to a fifth less by chance.
inline Duration retry_delay(unsigned failures, Duration first, Duration most, Random& random) {
    Duration delay = std::min(first, most);
    for (unsigned i = 1; i < failures && delay < most; ++i)
        delay = std::min(2 * delay, most);
    const auto less = static_cast<std::uint64_t>(delay.count() / 5);
    return delay - Duration(static_cast<Duration::rep>(random.below(less + 1)));
}

}  // namespace skywire::cxo
