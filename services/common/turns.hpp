#pragma once

#include "base/result.hpp"
#include "net/event.hpp"

#include <iterator>
#include <list>
#include <utility>

namespace skywire::services {

/// One coroutine at a time, on one event loop, in the order in which they asked: who takes one turn
/// after another lets those by who wait. A turn's end wakes only whoever is next. As many wait as
/// there are coroutines that ask; all of them, and their turns, end before it does.
class Turns {
 public:
    explicit Turns(Executor executor) : executor_(std::move(executor)) {}
    Turns(const Turns&) = delete;
    Turns& operator=(const Turns&) = delete;

    /// A turn; ends with its owner.
    class Turn {
     public:
        explicit Turn(Turns& turns) : turns_(&turns) { turns_->taken_ = true; }
        Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)) {}
        Turn& operator=(Turn&&) = delete;
        ~Turn() {
            if (turns_ == nullptr) return;
            turns_->taken_ = false;
            turns_->wake_first();
        }

     private:
        Turns* turns_;
    };

    /// Waits for it. errc::cancelled.
    Task<Result<Turn>> take() {
        if (!taken_ && waiting_.empty()) co_return Turn(*this);
        Place place(*this);
        while (taken_ || !place.is_first()) {
            const bool notified = co_await place.woken().wait();
            if (!notified) co_return fail(errc::cancelled, {});
        }
        co_return Turn(*this);
    }

 private:
    /// Among those who wait; left with a turn, or without one.
    class Place {
     public:
        explicit Place(Turns& turns) : turns_(turns) {
            turns_.waiting_.emplace_back(turns_.executor_);
            at_ = std::prev(turns_.waiting_.end());
        }
        ~Place() {
            turns_.waiting_.erase(at_);
            // Who goes without a turn may have been woken for it.
            turns_.wake_first();
        }
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;

        bool is_first() const noexcept { return at_ == turns_.waiting_.begin(); }
        net::Event& woken() noexcept { return *at_; }

     private:
        Turns& turns_;
        std::list<net::Event>::iterator at_;
    };

    void wake_first() {
        if (!taken_ && !waiting_.empty()) waiting_.front().notify();
    }

    Executor executor_;
    bool taken_ = false;
    std::list<net::Event> waiting_;
};

}  // namespace skywire::services
