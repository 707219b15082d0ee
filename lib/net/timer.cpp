#include "net/timer.hpp"

#include <cstdint>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::net {

struct Timer::State {
    State(Executor executor, Clock& clock_in) : clock(clock_in), timer(std::move(executor)) {}

    Clock& clock;
    asio::steady_timer timer;
    /// Counts waits: an alarm of an earlier wait may still be on its way to the loop.
    std::uint64_t wait = 0;
    bool rung = false;
};

Timer::Timer(Executor executor, Clock& clock)
    : state_(std::make_shared<State>(std::move(executor), clock)) {}

Timer::~Timer() = default;

void Timer::cancel() {
    state_->timer.cancel();
}

Task<bool> Timer::wait_until(SteadyTime at) {
    // The coroutine may outlive this object only until its wait has ended; the state stays.
    const std::shared_ptr<State> state = state_;
    state->rung = false;
    ++state->wait;
    std::unique_ptr<Clock::Alarm> alarm;
    if (at != SteadyTime::max()) {
        alarm = state->clock.set_alarm(
            at,
            [weak = std::weak_ptr<State>(state),
             wait = state->wait,
             executor = state->timer.get_executor()] {
                asio::post(executor, [weak, wait] {
                    const auto waiting = weak.lock();
                    if (!waiting || waiting->wait != wait) return;
                    waiting->rung = true;
                    waiting->timer.cancel();
                });
            }
        );
    }
    state->timer.expires_at(alarm ? SteadyTime::max() : at);
    const auto [ec] = co_await state->timer.async_wait(use_tuple);
    // From here on a late alarm finds another number.
    ++state->wait;
    co_return !ec || state->rung;
}

Task<bool> Timer::wait_for(Duration duration) {
    return wait_until(state_->clock.now() + duration);
}

Task<bool> sleep_until(Clock& clock, SteadyTime at) {
    const Executor executor = co_await asio::this_coro::executor;
    Timer timer(executor, clock);
    co_return co_await timer.wait_until(at);
}

Task<bool> sleep_for(Clock& clock, Duration duration) {
    return sleep_until(clock, clock.now() + duration);
}

}  // namespace skywire::net
