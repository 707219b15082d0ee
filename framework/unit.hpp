#pragma once

#include "framework/graph.hpp"
#include "framework/health_tracker.hpp"
#include "framework/instance.hpp"
#include "framework/probe.hpp"
#include "framework/restart_tracker.hpp"
#include "framework/supervisor.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace skywire::framework {

/// What is asked of a unit's service from outside of its own coroutine.
enum class Request { none, stop, restart };

/// Why a running service is being taken down.
enum class Ending { exited, asked, shutdown };

/// A block of the deployment and everything the supervisor knows about it. Lives on the
/// supervisor's loop. A block that another process runs has a probe and nothing else.
struct Unit final : InstanceObserver {
    Unit(const BlockConfig& config_in, std::size_t index_in)
        : config(config_in),
          index(index_in),
          restarts(config_in.restart),
          health(config_in.health) {}

    const std::string& label() const noexcept { return config.label; }
    bool is_remote() const noexcept { return remote != nullptr; }

    void on_milestone(const std::string& milestone) override { milestone_reached(milestone); }
    void on_gate(const std::string& milestone) override { gate_entered(milestone); }
    void on_gate_left(const std::string& milestone) override { gate_left(milestone); }
    void on_exited(Result<> outcome) override { exit_reported(std::move(outcome)); }
    void on_note(const std::string& event, const std::string& detail) override {
        noted(event, detail);
    }

    const BlockConfig& config;
    /// Into the graph's blocks.
    std::size_t index;
    RestartTracker restarts;
    HealthTracker health;

    /// Set for a block of another process.
    std::unique_ptr<Probe> remote;
    /// Things outside that this block needs before it starts.
    std::vector<Probe*> externals;

    State state = State::stopped;
    std::string reason;
    WallTime since{};
    std::deque<Transition> transitions;

    /// Whether it should run, as far as the operator and the policies go.
    bool wanted = true;
    /// Why not, where it is not.
    std::string stop_reason;
    /// A policy has stopped it with this upstream: the operator's start of that one brings it back.
    std::optional<std::size_t> stopped_with;
    /// The restart policy has ended it; an operator's start begins anew.
    bool given_up = false;
    /// Its service exists, or is being taken down.
    bool up = false;
    Request request = Request::none;
    std::unique_ptr<Instance> instance;
    /// A health check that is not answered yet: there is one at most.
    std::optional<Operation<HealthReport>> asked;
    std::set<std::string> reached;
    std::set<std::string> waiting_gates;
    /// What keeps it from its start or from going on, empty for nothing.
    struct Wait {
        std::string what;
        SteadyTime since{};
        /// The log has it.
        bool told = false;
    };
    Wait wait;
    std::optional<Result<>> exit;
    std::vector<std::string> not_stopped;
    std::size_t restart_count = 0;
    /// How often its service has been taken down, after a failed start too.
    std::size_t times_down = 0;
    Duration start_took{0};

    /// Set by the supervisor.
    std::function<void(const std::string&)> milestone_reached;
    std::function<void(const std::string&)> gate_entered;
    std::function<void(const std::string&)> gate_left;
    std::function<void(Result<>)> exit_reported;
    std::function<void(const std::string&, const std::string&)> noted;
};

}  // namespace skywire::framework
