#include "framework/restart_tracker.hpp"

#include <algorithm>
#include <cmath>

namespace skywire::framework {

std::optional<Duration> RestartTracker::on_failure(
    SteadyTime now, Duration ready_for, Random& random
) {
    // A return that nobody asked for is a failure whatever its value, so on_failure covers it.
    if (policy_.mode == RestartMode::never) return std::nullopt;
    if (ready_for > policy_.reset_after) reset();
    failures_.push_back(now);
    while (!failures_.empty() && failures_.front() <= now - policy_.window)
        failures_.pop_front();
    if (failures_.size() >= policy_.max_in_window) return std::nullopt;

    const double grown = static_cast<double>(policy_.min.count()) *
                         std::pow(policy_.factor, static_cast<double>(in_a_row_));
    const double bounded = std::min(grown, static_cast<double>(policy_.max.count()));
    ++in_a_row_;
    const double spread = 1 + policy_.jitter * (2 * random.next_unit() - 1);
    return Duration(static_cast<Duration::rep>(bounded * spread));
}

void RestartTracker::reset() {
    failures_.clear();
    in_a_row_ = 0;
}

}  // namespace skywire::framework
