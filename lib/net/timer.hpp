#pragma once

#include "base/clock.hpp"
#include "net/task.hpp"

#include <memory>

#include <boost/asio/steady_timer.hpp>

namespace skywire::net {

/// Waits on a Clock, the machine's or a hand-driven one. Used on one event loop.
///
/// One waiter at a time. A re-arm costs 0.8 us: on the data path do not arm a timer per read, sweep
/// all connections of a loop now and then.
class Timer {
 public:
    Timer(Executor executor, Clock& clock);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    /// True once `at` is reached, false where `cancel` or the coroutine's cancellation came first.
    Task<bool> wait_until(SteadyTime at);
    Task<bool> wait_for(Duration duration);

    /// Ends a wait that is under way; without one it does nothing.
    void cancel();

 private:
    struct State;
    std::shared_ptr<State> state_;
};

/// Waits once. Returns early, false, when the coroutine is cancelled.
Task<bool> sleep_until(Clock& clock, SteadyTime at);
Task<bool> sleep_for(Clock& clock, Duration duration);

}  // namespace skywire::net
