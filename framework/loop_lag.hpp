#pragma once

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "net/task.hpp"

#include <cstddef>

namespace skywire::framework {

/// Measures how late an event loop is: it waits a quarter of a second and looks how long after its
/// time it runs. What holds the loop up (a handler that computes or blocks) shows as
/// skywire_loop_lag_seconds{loop} and, the worst of the last minute or two, as
/// skywire_loop_lag_max_seconds{loop}.
class LoopLag {
 public:
    /// `loop` is the label. Clock and metrics outlive it.
    LoopLag(Clock& clock, Metrics& metrics, std::size_t loop);

    /// Measures the loop it is spawned on until it is cancelled.
    Task<> run();

    static constexpr Duration kInterval = std::chrono::milliseconds(250);
    /// The maximum is that of the present window and the one before.
    static constexpr Duration kWindow = std::chrono::minutes(1);

 private:
    Clock& clock_;
    Histogram& lag_;
    Gauge& worst_;
    double current_ = 0;
    double previous_ = 0;
};

}  // namespace skywire::framework
