#include "framework/loop_lag.hpp"

#include "net/timer.hpp"

#include <algorithm>
#include <string>

namespace skywire::framework {

namespace {

/// From what a timer misses anyway to what an operator notices.
constexpr std::array<double, 9> kLagBuckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1};

}  // namespace

LoopLag::LoopLag(Clock& clock, Metrics& metrics, std::size_t loop)
    : clock_(clock),
      lag_(metrics.histogram(
          "skywire_loop_lag_seconds",
          "How late an event loop ran what was due, in seconds",
          {{"loop", std::to_string(loop)}},
          kLagBuckets
      )),
      worst_(metrics.gauge(
          "skywire_loop_lag_max_seconds",
          "Largest lag of an event loop in the last one to two minutes, in seconds",
          {{"loop", std::to_string(loop)}}
      )) {}

Task<> LoopLag::run() {
    SteadyTime window_end = clock_.now() + kWindow;
    for (;;) {
        const SteadyTime due = clock_.now() + kInterval;
        if (!co_await net::sleep_until(clock_, due)) co_return;
        const SteadyTime now = clock_.now();
        const double late = std::chrono::duration<double>(now - due).count();
        lag_.observe(std::max(late, 0.0));
        if (now >= window_end) {
            previous_ = current_;
            current_ = 0;
            window_end = now + kWindow;
        }
        current_ = std::max(current_, late);
        worst_.set(std::max(current_, previous_));
    }
}

}  // namespace skywire::framework
