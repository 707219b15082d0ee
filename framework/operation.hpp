#pragma once

#include "base/assert.hpp"
#include "net/task.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

namespace skywire::framework {

/// What was thrown, as a sentence; also what is no exception of the standard library.
inline std::string exception_text(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& thrown) {
        return thrown.what();
    } catch (...) {
        return "threw what is no std::exception";
    }
}

/// A coroutine started on one event loop and observed from another, its home. Unlike `co_await`
/// it can be given up on: a service that ignores its cancellation does not hang who started it.
template <class T>
class Operation {
 public:
    /// Runs `work` on `loop`; `on_done` is called at home when it has ended. What `work` refers to
    /// must live until then, also where the Operation itself is given up.
    Operation(
        Executor home, Executor loop, std::function<Task<T>()> work, std::function<void()> on_done
    )
        : loop_(loop), state_(std::make_shared<State>()) {
        state_->work = std::move(work);
        state_->on_done = std::move(on_done);
        asio::post(loop, [home, loop, state = state_] {
            asio::co_spawn(
                loop,
                state->work(),
                asio::bind_cancellation_slot(
                    state->cancel.slot(),
                    [home, state](std::exception_ptr error, T result) {
                        asio::post(home, [state, error, result = std::move(result)]() mutable {
                            if (error) {
                                state->error = error;
                            } else {
                                state->result.emplace(std::move(result));
                            }
                            state->done = true;
                            state->on_done();
                        });
                    }
                )
            );
        });
    }

    /// Asks the coroutine to end (terminal cancellation, on its own loop).
    void cancel() {
        asio::post(loop_, [state = state_] {
            state->cancel.emit(asio::cancellation_type::terminal);
        });
    }

    bool done() const noexcept { return state_->done; }

    /// What an operation that is done has thrown, as a sentence; nothing where it has a result.
    std::optional<std::string> thrown() const {
        if (!state_->error) return std::nullopt;
        return exception_text(state_->error);
    }

    /// The result of an operation that is done and has not thrown.
    T take() {
        std::optional<T> result = std::move(state_->result);
        SKY_ASSERT(result);
        return std::move(*result);
    }

 private:
    struct State {
        std::function<Task<T>()> work;
        std::function<void()> on_done;
        asio::cancellation_signal cancel;
        std::exception_ptr error;
        std::optional<T> result;
        bool done = false;
    };

    Executor loop_;
    std::shared_ptr<State> state_;
};

}  // namespace skywire::framework
