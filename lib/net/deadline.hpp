#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "net/task.hpp"
#include "net/timer.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

namespace skywire::net {

namespace detail {

// Not asio's `task || timer`: in 1.81 a task that throws leaves `||` waiting for the timer, only
// the first of several cancellations reaches the task, and a result that is ready at the same
// moment as the timer is thrown away.
template <class T>
struct DeadlineState {
    DeadlineState(Executor executor, Clock& clock) : timer(std::move(executor), clock) {}

    static Task<> run(std::shared_ptr<DeadlineState> state, Task<Result<T>> task) {
        state->result.emplace(co_await std::move(task));
    }

    asio::cancellation_signal signal;
    Timer timer;
    std::optional<Result<T>> result;
    std::exception_ptr error;
    bool ended = false;
};

/// True for the exception with which asio ends a cancelled coroutine.
bool is_cancellation(const std::exception_ptr& error) noexcept;

}  // namespace detail

/// Awaits `task` until `deadline`; then cancels it, waits for its end, and answers errc::timed_out.
/// Where the caller is cancelled meanwhile, so is `task`, and the answer is errc::cancelled. A task
/// that succeeds all the same keeps its value: nothing read is lost. Exceptions of `task` pass
/// through. What the operation leaves behind when cancelled is said where it is declared.
template <class T>
Task<Result<T>> with_deadline(Clock& clock, SteadyTime deadline, Task<Result<T>> task) {
    const Executor executor = co_await asio::this_coro::executor;
    const auto state = std::make_shared<detail::DeadlineState<T>>(executor, clock);
    // The task must have ended before what it refers to dies with the caller: nothing throws here
    // while it runs.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto caller = co_await asio::this_coro::cancellation_state;
    const auto cancelled_before = caller.cancelled();
    asio::co_spawn(
        executor,
        detail::DeadlineState<T>::run(state, std::move(task)),
        asio::bind_cancellation_slot(
            state->signal.slot(),
            [state](std::exception_ptr error) {
                state->error = std::move(error);
                state->ended = true;
                state->timer.cancel();
            }
        )
    );
    bool reached = false;
    // The task has run to its first wait by now, and may have cancelled its own caller.
    if (caller.cancelled() == cancelled_before) {
        reached = co_await state->timer.wait_until(deadline);
    }
    const bool interrupted = !state->ended;
    if (interrupted) state->signal.emit(asio::cancellation_type::terminal);
    while (!state->ended)
        co_await state->timer.wait_until(SteadyTime::max());
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (state->error && !(interrupted && detail::is_cancellation(state->error))) {
        std::rethrow_exception(state->error);
    }
    std::optional<Result<T>> result = std::move(state->result);
    if (result && (!interrupted || result->has_value())) co_return std::move(*result);
    co_return fail(reached ? errc::timed_out : errc::cancelled, {});
}

}  // namespace skywire::net
