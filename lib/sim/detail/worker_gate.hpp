#pragma once

#include "net/worker_pool.hpp"

#include <memory>
#include <semaphore>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace skywire::sim::detail {

/// A WorkerPool whose jobs run at moments that are the same in every run: its one thread is held
/// inside a job of our own, and let go only by `run_jobs`, which waits until all others have run.
class WorkerGate {
 public:
    explicit WorkerGate(std::size_t queue_max) : pool_(1, queue_max + 2), latch_(hold()) {
        latch_->held.acquire();
    }
    ~WorkerGate() { latch_->open.release(); }
    WorkerGate(const WorkerGate&) = delete;
    WorkerGate& operator=(const WorkerGate&) = delete;

    net::WorkerPool& pool() noexcept { return pool_; }

    /// Runs what has been submitted; what it completes is posted to its loops when this returns.
    void run_jobs() {
        if (pool_.queued() <= 1) return;
        const auto before = std::exchange(latch_, hold());
        before->open.release();
        latch_->held.acquire();
        side_.restart();
        side_.poll();
    }

 private:
    struct Latch {
        std::binary_semaphore held{0};
        std::binary_semaphore open{0};
    };

    /// Puts a job behind those that wait, which then occupies the thread.
    std::shared_ptr<Latch> hold() {
        auto latch = std::make_shared<Latch>();
        asio::co_spawn(side_, occupy(pool_, latch), [](std::exception_ptr) {});
        side_.restart();
        side_.poll();
        return latch;
    }

    static Task<> occupy(net::WorkerPool& pool, std::shared_ptr<Latch> latch) {
        co_await pool.run([latch]() -> Result<> {
            latch->held.release();
            latch->open.acquire();
            return {};
        });
    }

    asio::io_context side_{1};
    net::WorkerPool pool_;
    std::shared_ptr<Latch> latch_;
};

}  // namespace skywire::sim::detail
