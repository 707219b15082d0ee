#pragma once

#include "base/result.hpp"
#include "crypto/keys.hpp"
#include "framework/block.hpp"
#include "framework/block_facts.hpp"
#include "net/context.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::framework {

/// One thing a service looks at when asked for its health.
struct Check {
    enum class Status { pass, warn, fail };

    /// "redis", "http", "dmsg": short and constant.
    std::string name;
    Status status = Status::pass;
    /// What is wrong, for a person: "redis://127.0.0.1:6379/0: connection refused".
    std::string detail;
};

/// What a running service says of itself. It is alive when it answers at all.
struct HealthReport {
    std::vector<Check> checks;
};

/// What happened to an upstream of a service that asked to be told (`on_restart: notify`).
enum class UpstreamEvent { down, up };

/// What a service gets from whoever runs it. Called on the service's event loop, from `start` on
/// until `stop` has returned.
class ServiceHost {
 public:
    virtual ~ServiceHost() = default;

    virtual const net::Context& context() const noexcept = 0;
    virtual const std::string& label() const noexcept = 0;

    /// Raises a milestone of this service's type; others may be waiting for it.
    virtual void reached(std::string_view milestone) = 0;

    /// Waits until the upstreams of one of this service's own milestones are there. The time spent
    /// here does not count against start_timeout. Errors: errc::cancelled when it is being stopped.
    virtual Task<Result<>> wait_for_upstreams_of(std::string milestone) = 0;

    /// The service has ended by itself. Without a request to stop this is a failure whatever
    /// `outcome` says; the restart policy decides what follows.
    virtual void exited(Result<> outcome) = 0;

    /// All blocks of the file, this one and those that run elsewhere included. Keys of key files
    /// are those of blocks that run in this process.
    virtual std::vector<DeploymentBlock> deployment_blocks() const { return {}; }

    /// All event loops of the process, the service's own first: for services that spread work over
    /// them. They outlive the service; what it puts on them ends before its `stop` returns.
    virtual std::vector<Executor> loops() const { return {context().loop}; }

    /// Folder for what outlives the process (supervisor.state_dir).
    virtual const std::string& state_dir() const noexcept = 0;

    /// This service's series in Prometheus text, for its own metrics_addr.
    virtual std::string metrics_text() const = 0;

    /// For the process's timeline, beside the milestones: "bound 127.0.0.1:9090".
    virtual void note(std::string_view event, std::string detail) = 0;
};

/// A supervised service: made from its block without any I/O, then started, drained and stopped
/// once. A restart makes a new one. All calls come on its own event loop, one at a time, but for
/// `health`, which may come between the suspension points of the others.
class Service {
 public:
    virtual ~Service() = default;

    /// Acquires everything, raises its milestones on the way, and returns once it is ready to
    /// serve. A failure leaves nothing behind but what `stop` takes down. Cancelled at
    /// start_timeout.
    virtual Task<Result<>> start(ServiceHost& host) = 0;

    /// Deregisters, stops accepting, lets what is under way end. Returns when idle or at
    /// `deadline`.
    virtual Task<> drain(SteadyTime deadline) = 0;

    /// Takes everything down; also called after a failed start. Returns the names of what had not
    /// ended at `deadline`.
    virtual Task<std::vector<std::string>> stop(SteadyTime deadline) = 0;

    virtual HealthReport health() = 0;

    enum class Reconfigured { applied, needs_restart, refused };

    /// Takes over a changed block where it can.
    virtual Reconfigured reconfigure(const Block&) { return Reconfigured::needs_restart; }

    virtual void upstream_changed(std::string_view /*label*/, UpstreamEvent /*event*/) {}
};

}  // namespace skywire::framework
