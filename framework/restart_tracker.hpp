#pragma once

#include "base/clock.hpp"
#include "base/random.hpp"
#include "framework/deployment_config.hpp"

#include <deque>
#include <optional>

namespace skywire::framework {

/// What a restart policy says about the failures of one service. No clock and no timer of its own.
///
/// The delay grows from min by factor to max and is spread by +-jitter. A run that was ready for
/// longer than reset_after clears the count. The max_in_window-th failure within the window ends
/// it: so many starts in a row were tried.
class RestartTracker {
 public:
    explicit RestartTracker(const RestartPolicy& policy) : policy_(policy) {}

    /// `ready_for`: how long the service had been ready when it failed; zero where it never was.
    /// Returns the delay before the next start, or nothing to give up.
    std::optional<Duration> on_failure(SteadyTime now, Duration ready_for, Random& random);

    /// An operator's start or restart begins anew.
    void reset();

    /// Failures inside the window that ends at the last one.
    std::size_t failures() const noexcept { return failures_.size(); }

 private:
    RestartPolicy policy_;
    std::deque<SteadyTime> failures_;
    std::size_t in_a_row_ = 0;
};

}  // namespace skywire::framework
