// What it costs to hand work around inside the process: a coroutine that posts to its own loop and
// goes on, and a message that goes to another loop (another thread) and back. One line of JSON,
// nanoseconds each.

#include "net/event_loops.hpp"

#include <cstdio>
#include <ctime>
#include <future>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

using namespace skywire;

namespace {

constexpr int kRounds = 200'000;

double seconds_of(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct Cost {
    double wall_ns = 0;
    double cpu_ns = 0;
};

/// A coroutine always resumes on its own loop: posting to another one is a round trip.
Task<> hop(Executor there) {
    for (int i = 0; i < kRounds; ++i)
        co_await asio::post(there, asio::use_awaitable);
}

Cost measure(const Executor& start, const Executor& there) {
    std::promise<void> ended;
    const double wall = seconds_of(CLOCK_MONOTONIC);
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    asio::co_spawn(start, hop(there), [&](std::exception_ptr) { ended.set_value(); });
    ended.get_future().wait();
    return {
        (seconds_of(CLOCK_MONOTONIC) - wall) / kRounds * 1e9,
        (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / kRounds * 1e9
    };
}

}  // namespace

int main() {
    net::EventLoops loops(2);
    loops.start();
    measure(loops.at(0), loops.at(1));
    const Cost same = measure(loops.at(0), loops.at(0));
    const Cost other = measure(loops.at(0), loops.at(1));
    std::printf(
        "{\"post_ns\": %.0f, \"post_cpu_ns\": %.0f, \"wake_round_trip_ns\": %.0f, "
        "\"wake_round_trip_cpu_ns\": %.0f}\n",
        same.wall_ns,
        same.cpu_ns,
        other.wall_ns,
        other.cpu_ns
    );
    loops.stop();
    loops.join();
}
