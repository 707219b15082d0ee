#pragma once

#include "framework/deployment_config.hpp"
#include "framework/operation.hpp"
#include "framework/service.hpp"
#include "net/context.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace skywire::framework {

/// What an Instance reports to the supervisor; called on the supervisor's loop.
class InstanceObserver {
 public:
    virtual ~InstanceObserver() = default;
    virtual void on_milestone(const std::string& milestone) = 0;
    /// The service waits for the upstreams of this milestone of its own: its start is on hold until
    /// `release_gate`.
    virtual void on_gate(const std::string& milestone) = 0;
    virtual void on_gate_left(const std::string& milestone) = 0;
    virtual void on_exited(Result<> outcome) = 0;
    virtual void on_note(const std::string& event, const std::string& detail) = 0;
};

/// One life of a service: made, started, drained, stopped, destroyed, all on the service's own
/// loop, driven from the supervisor's loop ("home"). Talks by posting, in both directions.
class Instance {
 public:
    struct Setup {
        Executor home;
        net::Context context;
        std::string label;
        std::string state_dir;
        std::function<std::string()> metrics_text;
        std::vector<DeploymentBlock> deployment_blocks;
        std::vector<Executor> loops;
    };

    /// `observer` outlives the instance, or is cut off by `abandon`.
    Instance(Setup setup, std::shared_ptr<const Block> block, InstanceObserver& observer);
    ~Instance();
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;

    /// Makes the service. Errors: what its factory says.
    Result<> make(const ServiceType& type);

    Operation<Result<>> start(std::function<void()> on_done);
    Operation<bool> drain(SteadyTime deadline, std::function<void()> on_done);
    Operation<std::vector<std::string>> stop(SteadyTime deadline, std::function<void()> on_done);
    Operation<HealthReport> health(std::function<void()> on_done);
    /// Destroys the service on its own loop.
    Operation<bool> destroy(std::function<void()> on_done);

    /// Lets the service's wait for the upstreams of its milestone go on.
    void release_gate(const std::string& milestone);

    void upstream_changed(const std::string& label, UpstreamEvent event);

    /// The service did not stop: it is kept as it is until the process ends, since coroutines of it
    /// still run. Nothing it reports arrives any more.
    void abandon();

 private:
    class Host;

    std::shared_ptr<Host> host_;
};

}  // namespace skywire::framework
