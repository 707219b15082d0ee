#pragma once

#include "base/clock.hpp"
#include "net/task.hpp"

#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::net {

/// Owns coroutines: none outlives it. The last member of its owner, used on one event loop only.
///
/// `close` refuses new work, asks what runs to end, waits, and names what was late. An owner awaits
/// it before it dies; a Scope destroyed with work inside is a bug and ends the process.
class Scope {
 public:
    /// How a coroutine is asked to end.
    enum class Ending {
        /// Its operations are cancelled at once (asio's terminal cancellation).
        cancel,
        /// First `total` cancellation, which it may use to finish what it is doing; `terminal`
        /// after the grace of `close`. Asio's coroutines ignore `total` until they ask for it:
        /// `reset_cancellation_state(asio::enable_total_cancellation())` and
        /// `throw_if_cancelled(false)` (both of asio::this_coro) at the start of the work; once
        /// `(co_await asio::this_coro::cancellation_state).cancelled()` tells, reset the state to
        /// `asio::enable_terminal_cancellation()`, so that the second signal is noticed, too.
        /// Asio 1.81's `||` and `&&` pass only the first signal on: not in such work.
        finish,
    };

    /// Told of a coroutine that ended with an exception; without it such an end aborts.
    using OnError = std::function<void(std::string_view name, std::exception_ptr error)>;

    explicit Scope(Executor executor, OnError on_error = {});
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    const Executor& executor() const noexcept { return executor_; }

    /// Starts the coroutine; false, and nothing is started, once the scope is closing. The callable
    /// (a lambda with captures, too) is kept alive as long as its coroutine, which runs to its
    /// first wait inside this call when called on the loop; its end is always noticed later.
    bool spawn(std::string name, std::function<Task<>()> work, Ending ending = Ending::cancel);

    /// Asks everything to end without waiting for it; new work is refused from now on.
    void cancel();

    /// Ends everything: `finish` work gets until `grace`, all of it until `deadline`. Returns the
    /// names of what still ran then; empty is success. Idempotent. Is itself not to be cancelled;
    /// a coroutine that has been cancelled resets its cancellation state before it awaits this.
    Task<std::vector<std::string>> close(Clock& clock, SteadyTime grace, SteadyTime deadline);
    /// Cancels everything and waits until it has ended, however long that takes: for work that uses
    /// what the closing coroutine holds.
    Task<> close(Clock& clock);

    std::size_t size() const noexcept { return running_.size(); }
    /// What runs in all scopes of the process; any thread may ask. A figure that only rises is a
    /// leak.
    static std::size_t process_size() noexcept;
    bool closing() const noexcept { return closing_; }

    /// Waits until nothing runs any more, without ending anything. Cancelled: returns early.
    Task<> wait_empty();

 private:
    struct Entry;
    struct Waiter;
    using Entries = std::list<std::shared_ptr<Entry>>;

    static Task<> run(Task<> work);
    void ended(Entries::iterator place, std::exception_ptr error);
    void signal(bool including_finishers);
    Task<> wait_empty_until(Clock& clock, SteadyTime at);

    Executor executor_;
    OnError on_error_;
    Entries running_;
    std::vector<std::shared_ptr<Waiter>> waiters_;
    bool closing_ = false;
};

}  // namespace skywire::net
