#pragma once

#include "net/task.hpp"

#include <cstdint>

#include <boost/asio/steady_timer.hpp>

namespace skywire::net {

/// Wakes coroutines that wait for something to happen on the same event loop: a condition variable
/// without a lock. Waiters check their condition again, `while (!ready) co_await event.wait();`. It
/// outlives its waiters.
class Event {
 public:
    explicit Event(Executor executor);
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    /// True when notified, false when the coroutine was cancelled first.
    Task<bool> wait();

    /// Wakes everybody who waits now; they run later, not inside this call.
    void notify();

 private:
    asio::steady_timer timer_;
    std::uint64_t generation_ = 0;
};

}  // namespace skywire::net
