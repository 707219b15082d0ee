#pragma once

#include "net/task.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

namespace skywire::net {

/// The event loops of a process: one thread each, started by `start`, or none and loop 0 run by the
/// caller (tests).
class EventLoops {
 public:
    explicit EventLoops(std::size_t count);
    ~EventLoops();
    EventLoops(const EventLoops&) = delete;
    EventLoops& operator=(const EventLoops&) = delete;

    std::size_t size() const noexcept { return loops_.size(); }
    Executor at(std::size_t index) const;
    /// The loops in turn: where the next long-lived object goes.
    Executor next();

    /// Starts a thread for each loop.
    void start();
    /// Lets the loops end once they have nothing left to do, and joins the threads.
    void join();
    /// Ends the loops at once; what waits in them is dropped.
    void stop();

    asio::io_context& context(std::size_t index) { return *loops_[index]; }

 private:
    std::vector<std::unique_ptr<asio::io_context>> loops_;
    std::vector<asio::executor_work_guard<asio::io_context::executor_type>> guards_;
    std::vector<std::thread> threads_;
    std::atomic<std::size_t> next_{0};
};

}  // namespace skywire::net
