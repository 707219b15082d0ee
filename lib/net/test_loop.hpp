#pragma once

#include "base/assert.hpp"
#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/metrics.hpp"
#include "base/random.hpp"
#include "net/context.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

/// An event loop inside a test, run by the test's own thread, with a Context of test twins.
namespace skywire::net {

/// Everything a Context refers to, with the machine's clock and network: tests that need a still
/// clock construct theirs with a ManualClock.
class TestLoop {
 public:
    TestLoop() : TestLoop(nullptr) {}
    explicit TestLoop(ManualClock* manual)
        : workers(1, 1000),
          context(
              ioc.get_executor(),
              manual != nullptr ? static_cast<Clock&>(*manual) : system_clock,
              random,
              network,
              workers,
              metrics,
              faults,
              log::Logger()
          ) {}

    /// Runs the loop until the task has ended; its result, or its exception. Throws where nothing
    /// at all happens for a minute: the task waits for something that can never come.
    template <class T>
    T run(Task<T> task) {
        const auto value = std::make_shared<std::optional<T>>();
        run(keep(std::move(task), value));
        std::optional<T> taken = std::move(*value);
        SKY_ASSERT(taken);
        return std::move(*taken);
    }

    void run(Task<> task) {
        struct End {
            std::exception_ptr error;
            bool reached = false;
        };
        const auto end = std::make_shared<End>();
        asio::co_spawn(ioc, std::move(task), [end](std::exception_ptr error) {
            end->error = std::move(error);
            end->reached = true;
        });
        run_until([&] { return end->reached; });
        if (end->error) std::rethrow_exception(end->error);
    }

    /// Runs handlers until `done()`.
    template <class Done>
    void run_until(Done done) {
        ioc.restart();
        while (!done()) {
            if (ioc.run_one_for(std::chrono::minutes(1)) == 0) {
                throw std::runtime_error("the loop has nothing left to run");
            }
        }
    }

    /// Runs what is ready now, and what that makes ready, without waiting.
    void settle() {
        ioc.restart();
        while (ioc.poll() > 0) {
        }
    }

    asio::io_context ioc{1};
    /// Held for life: where the last work of a loop ends on a worker's thread, the loop may take
    /// the end for its own after it was restarted (Asio counts down and stops in two steps).
    asio::executor_work_guard<asio::io_context::executor_type> busy{ioc.get_executor()};
    SystemClock system_clock;
    SeededRandom random{1};
    SystemNetwork network;
    WorkerPool workers;
    MetricRegistry metrics;
    Faults faults;
    Context context;

 private:
    template <class T>
    static Task<> keep(Task<T> task, std::shared_ptr<std::optional<T>> into) {
        into->emplace(co_await std::move(task));
    }
};

}  // namespace skywire::net
