#pragma once

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/metrics.hpp"
#include "base/random.hpp"
#include "net/network.hpp"
#include "net/task.hpp"
#include "net/worker_pool.hpp"

namespace skywire::net {

/// All that a shell may reach of the world, handed to it by its owner: a test hands in others. The
/// references outlive whoever holds the Context. Cheap to copy.
struct Context {
    Context(
        Executor loop_in,
        Clock& clock_in,
        Random& random_in,
        Network& network_in,
        WorkerPool& workers_in,
        Metrics& metrics_in,
        Faults& faults_in,
        log::Logger logger_in
    )
        : loop(std::move(loop_in)),
          clock(clock_in),
          random(random_in),
          network(network_in),
          workers(workers_in),
          metrics(metrics_in),
          faults(faults_in),
          logger(std::move(logger_in)) {}

    /// The event loop that owns the holder.
    Executor loop;
    Clock& clock;
    Random& random;
    Network& network;
    WorkerPool& workers;
    Metrics& metrics;
    Faults& faults;
    log::Logger logger;
};

}  // namespace skywire::net
