#pragma once

#include "base/clock.hpp"
#include "net/task.hpp"
#include "net/timer.hpp"

#include <cstdint>
#include <memory>
#include <set>

namespace skywire::framework {

/// "Something has changed, look again": wakes all who wait. Used on one event loop.
///
///     for (;;) {
///         const auto seen = signal.version();
///         if (condition()) break;
///         co_await signal.changed_since(seen);
///     }
class Signal {
 public:
    Signal(Executor loop, Clock& clock) : loop_(std::move(loop)), clock_(clock) {}

    std::uint64_t version() const noexcept { return version_; }

    void notify() {
        ++version_;
        for (net::Timer* waiter : *waiters_)
            waiter->cancel();
    }

    /// Returns once something has changed since, or at `deadline`; early when cancelled.
    Task<> changed_since(std::uint64_t seen, SteadyTime deadline = SteadyTime::max()) {
        if (version_ != seen || clock_.now() >= deadline) co_return;
        net::Timer timer(loop_, clock_);
        const Registration registration(waiters_, timer);
        co_await timer.wait_until(deadline);
    }

 private:
    using Waiters = std::set<net::Timer*>;

    /// Holds the set by a share of its own: a coroutine may be destroyed with its event loop after
    /// the Signal is gone.
    struct Registration {
        Registration(std::shared_ptr<Waiters> waiters_in, net::Timer& timer_in)
            : waiters(std::move(waiters_in)), timer(&timer_in) {
            waiters->insert(timer);
        }
        ~Registration() { waiters->erase(timer); }
        Registration(const Registration&) = delete;
        Registration& operator=(const Registration&) = delete;

        std::shared_ptr<Waiters> waiters;
        net::Timer* timer;
    };

    Executor loop_;
    Clock& clock_;
    std::uint64_t version_ = 0;
    std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();
};

}  // namespace skywire::framework
