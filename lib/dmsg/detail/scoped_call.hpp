#pragma once

#include "base/assert.hpp"
#include "base/result.hpp"
#include "net/deadline.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/task.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::dmsg::detail {

/// Work of an owner that somebody else waits for; held by both.
template <class T>
class ScopedCall {
 public:
    ScopedCall(const Executor& executor, Task<Result<T>> work)
        : executor_(executor), changed_(executor), work_(std::move(work)) {}

    /// In the owner's scope.
    static Task<> drive(std::shared_ptr<ScopedCall> call) {
        co_await asio::this_coro::throw_if_cancelled(false);
        std::optional<Task<Result<T>>>& work = call->work_;
        SKY_ASSERT(work);
        asio::co_spawn(
            call->executor_,
            run(call, std::move(*work)),
            asio::bind_cancellation_slot(
                call->signal_.slot(),
                [call](std::exception_ptr error) {
                    call->error_ = std::move(error);
                    call->ended_ = true;
                    call->changed_.notify();
                }
            )
        );
        const auto state = co_await asio::this_coro::cancellation_state;
        while (!call->ended_) {
            if (state.cancelled() != asio::cancellation_type::none) call->cancel();
            if (!call->ended_) co_await call->changed_.wait();
        }
    }

    void cancel() {
        if (!ended_) signal_.emit(asio::cancellation_type::terminal);
    }

    bool ended() const noexcept { return ended_; }
    net::Event& changed() noexcept { return changed_; }

    Result<T> take() {
        if (result_) return std::move(*result_);
        if (error_ && !net::detail::is_cancellation(error_)) std::rethrow_exception(error_);
        return fail(skywire::errc::closed, "ended by its owner");
    }

 private:
    static Task<> run(std::shared_ptr<ScopedCall> call, Task<Result<T>> work) {
        call->result_.emplace(co_await std::move(work));
    }

    Executor executor_;
    net::Event changed_;
    asio::cancellation_signal signal_;
    std::optional<Task<Result<T>>> work_;
    std::optional<Result<T>> result_;
    std::exception_ptr error_;
    bool ended_ = false;
};

/// Runs `work` in the scope of its owner and awaits its result. So the owner can end and await what
/// it does for others, and whoever waits may be cancelled or die at any time: then the work is
/// cancelled, too. skywire::errc::closed where the scope is closing or closes meanwhile,
/// skywire::errc::cancelled where the caller is cancelled.
template <class T>
Task<Result<T>> call_in(net::Scope& scope, std::string name, Task<Result<T>> work) {
    struct Leave {
        std::shared_ptr<ScopedCall<T>> call;
        ~Leave() { call->cancel(); }
    };
    const Leave leave{std::make_shared<ScopedCall<T>>(scope.executor(), std::move(work))};
    const auto& call = leave.call;
    if (!scope.spawn(std::move(name), [call] { return ScopedCall<T>::drive(call); })) {
        co_return fail(skywire::errc::closed, "the owner has stopped");
    }
    while (!call->ended()) {
        const bool notified = co_await call->changed().wait();
        if (!notified && !call->ended()) co_return fail(skywire::errc::cancelled, {});
    }
    co_return call->take();
}

}  // namespace skywire::dmsg::detail
