#include "net/scope.hpp"

#include "base/assert.hpp"
#include "net/deadline.hpp"
#include "net/event.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <atomic>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>

namespace skywire::net {
namespace {

std::atomic<std::size_t> running_in_process{0};

}  // namespace

std::size_t Scope::process_size() noexcept {
    return running_in_process.load(std::memory_order_relaxed);
}

struct Scope::Entry {
    Entry() { running_in_process.fetch_add(1, std::memory_order_relaxed); }
    ~Entry() { running_in_process.fetch_sub(1, std::memory_order_relaxed); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    std::string name;
    std::function<Task<>()> work;
    Ending ending;
    asio::cancellation_signal signal;
};

struct Scope::Waiter {
    std::function<void()> wake;
    /// Set once the scope no longer knows the waiter, which then leaves the scope alone: its owner
    /// may have destroyed it before the waiter runs.
    bool released = false;
};

Scope::Scope(Executor executor, OnError on_error)
    : executor_(std::move(executor)), on_error_(std::move(on_error)) {}

Scope::~Scope() {
    SKY_ASSERT(running_.empty());
}

bool Scope::spawn(std::string name, std::function<Task<>()> work, Ending ending) {
    if (closing_) return false;
    auto entry = std::make_shared<Entry>();
    entry->name = std::move(name);
    entry->work = std::move(work);
    entry->ending = ending;
    Task<> task = run(entry->work());
    running_.push_back(entry);
    const auto place = std::prev(running_.end());
    try {
        asio::co_spawn(
            executor_,
            std::move(task),
            asio::bind_cancellation_slot(
                entry->signal.slot(),
                [this, place](std::exception_ptr error) { ended(place, std::move(error)); }
            )
        );
    } catch (...) {
        // Nobody would ever tell of its end, and `close` would wait for it.
        running_.erase(place);
        throw;
    }
    return true;
}

/// Asio 1.81 ends the process where a coroutine that never waited has been cancelled meanwhile (it
/// has cancelled its own scope, say): its last step then throws where nobody catches.
Task<> Scope::run(Task<> work) {
    std::exception_ptr error;
    try {
        co_await std::move(work);
    } catch (...) {
        error = std::current_exception();
    }
    co_await asio::this_coro::throw_if_cancelled(false);
    if (error) std::rethrow_exception(error);
}

void Scope::ended(Entries::iterator place, std::exception_ptr error) {
    const std::shared_ptr<Entry> entry = std::move(*place);
    running_.erase(place);
    const bool closing = closing_;
    const OnError on_error = error ? on_error_ : OnError();
    if (running_.empty()) {
        for (const auto& waiter : std::exchange(waiters_, {})) {
            waiter->released = true;
            waiter->wake();
        }
    }
    // A cancelled coroutine may end with the exception of the operation it waited for.
    if (!error || (closing && detail::is_cancellation(error))) return;
    if (!on_error) std::rethrow_exception(error);
    on_error(entry->name, error);
}

void Scope::signal(bool including_finishers) {
    // A copy: emitting may run code that erases entries, and from another thread than the loop's
    // the dispatch is a post, which must find the signals alive.
    asio::dispatch(executor_, [entries = running_, including_finishers] {
        for (const auto& entry : entries) {
            const bool finishing = entry->ending == Ending::finish && !including_finishers;
            entry->signal.emit(
                finishing ? asio::cancellation_type::total : asio::cancellation_type::terminal
            );
        }
    });
}

void Scope::cancel() {
    closing_ = true;
    signal(/*including_finishers=*/true);
}

Task<> Scope::wait_empty() {
    if (running_.empty()) co_return;
    const auto event = std::make_shared<Event>(executor_);
    const auto waiter = std::make_shared<Waiter>(Waiter{[event] { event->notify(); }});
    waiters_.push_back(waiter);
    co_await event->wait();
    if (!waiter->released) std::erase(waiters_, waiter);
}

Task<> Scope::wait_empty_until(Clock& clock, SteadyTime at) {
    if (running_.empty()) co_return;
    const auto timer = std::make_shared<Timer>(executor_, clock);
    const auto waiter = std::make_shared<Waiter>(Waiter{[timer] { timer->cancel(); }});
    waiters_.push_back(waiter);
    while (!waiter->released && clock.now() < at)
        co_await timer->wait_until(at);
    if (!waiter->released) std::erase(waiters_, waiter);
}

/// Of several callers one may destroy the scope as soon as it is empty: whoever wakes after it
/// touches nothing of it any more.
Task<std::vector<std::string>> Scope::close(Clock& clock, SteadyTime grace, SteadyTime deadline) {
    std::vector<std::string> late;
    closing_ = true;
    if (running_.empty()) co_return late;
    // Not to be interrupted: an owner that goes away half-way would leave coroutines behind.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto witness = std::make_shared<Waiter>(Waiter{[] {}});
    waiters_.push_back(witness);
    const bool finishers = std::any_of(running_.begin(), running_.end(), [](const auto& entry) {
        return entry->ending == Ending::finish;
    });
    if (finishers && clock.now() < grace) {
        signal(/*including_finishers=*/false);
        co_await wait_empty_until(clock, std::min(grace, deadline));
    }
    if (!witness->released) {
        signal(/*including_finishers=*/true);
        co_await wait_empty_until(clock, deadline);
    }
    if (!witness->released) {
        std::erase(waiters_, witness);
        for (const auto& entry : running_)
            late.push_back(entry->name);
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return late;
}

Task<> Scope::close(Clock& clock) {
    co_await close(clock, clock.now(), SteadyTime::max());
}

}  // namespace skywire::net
