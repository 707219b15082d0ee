#pragma once

#include "base/assert.hpp"
#include "base/result.hpp"
#include "net/task.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace skywire::net {

/// Runs what blocks (disk, SQLite) away from the event loops. The queue has a bound. Dies before
/// the loops that use it; its destructor waits for all work.
class WorkerPool {
 public:
    WorkerPool(std::size_t threads, std::size_t queue_max)
        : pool_(threads), queue_max_(queue_max) {}
    ~WorkerPool() { pool_.join(); }
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    /// Runs `work` (which returns a Result<T> and does not throw) on a worker and resumes on the
    /// caller's loop. Errors: errc::limit_reached when the queue is full; work's own. Once started,
    /// the work runs to its end whether or not the coroutine is cancelled.
    template <class Work>
    auto run(Work work) -> Task<std::invoke_result_t<Work>> {
        Place place(queued_);
        if (place.before() >= queue_max_)
            co_return fail(errc::limit_reached, "the worker queue is full");
        using Outcome = std::optional<std::invoke_result_t<Work>>;
        const Executor caller = co_await asio::this_coro::executor;
        Outcome result =
            co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Outcome)>(
                [this, caller](auto handler, Work job, Place taken) {
                    // The guard keeps the caller's loop from running dry while it waits for us.
                    asio::post(
                        pool_,
                        [taken = std::move(taken),
                         guard = asio::make_work_guard(caller),
                         handler = std::move(handler),
                         job = std::move(job)]() mutable {
                            Outcome outcome(job());
                            asio::post(
                                guard.get_executor(),
                                [taken = std::move(taken),
                                 handler = std::move(handler),
                                 outcome = std::move(outcome)]() mutable {
                                    taken.give_back();
                                    std::move(handler)(std::move(outcome));
                                }
                            );
                        }
                    );
                },
                asio::use_awaitable,
                std::move(work),
                std::move(place)
            );
        // The handler is called once, with the outcome.
        SKY_ASSERT(result.has_value());
        co_return std::move(*result);
    }

    /// Work that waits or runs, or whose caller has not been resumed.
    std::size_t queued() const noexcept { return queued_->load(); }

 private:
    using Counter = std::atomic<std::size_t>;

    /// Of the queue. Loops may be destroyed with outcomes nobody took, when the pool is gone.
    class Place {
     public:
        explicit Place(std::shared_ptr<Counter> queued)
            : queued_(std::move(queued)), before_(queued_->fetch_add(1)) {}
        ~Place() { give_back(); }
        Place(Place&&) = default;
        Place& operator=(Place&&) = delete;

        void give_back() noexcept {
            if (const auto queued = std::move(queued_)) queued->fetch_sub(1);
        }
        /// How many others were taken when it was.
        std::size_t before() const noexcept { return before_; }

     private:
        std::shared_ptr<Counter> queued_;
        std::size_t before_;
    };

    asio::thread_pool pool_;
    std::size_t queue_max_;
    std::shared_ptr<Counter> queued_ = std::make_shared<Counter>(0);
};

}  // namespace skywire::net
