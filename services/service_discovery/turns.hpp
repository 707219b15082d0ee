#pragma once

#include "base/result.hpp"
#include "net/event.hpp"

namespace skywire::service_discovery {

/// One coroutine at a time, on one event loop.
class Turns {
 public:
    explicit Turns(Executor executor) : ended_(std::move(executor)) {}

    /// A turn; ends with its owner.
    class Turn {
     public:
        explicit Turn(Turns& turns) : turns_(&turns) { turns_->taken_ = true; }
        Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)) {}
        Turn& operator=(Turn&&) = delete;
        ~Turn() {
            if (turns_ == nullptr) return;
            turns_->taken_ = false;
            turns_->ended_.notify();
        }

     private:
        Turns* turns_;
    };

    /// Waits for it. errc::cancelled.
    Task<Result<Turn>> take() {
        while (taken_) {
            const bool notified = co_await ended_.wait();
            if (!notified) co_return fail(errc::cancelled, {});
        }
        co_return Turn(*this);
    }

 private:
    bool taken_ = false;
    net::Event ended_;
};

}  // namespace skywire::service_discovery
