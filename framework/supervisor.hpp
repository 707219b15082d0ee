#pragma once

#include "framework/graph.hpp"
#include "framework/logging.hpp"
#include "framework/timeline.hpp"
#include "net/context.hpp"
#include "net/event_loops.hpp"

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::framework {

/// Where a service stands.
enum class State { starting, ready, degraded, failed, stopping, stopped };

std::string_view state_name(State state) noexcept;

/// What the supervisor needs of the world.
struct Environment {
    net::EventLoops& loops;
    Clock& clock;
    Random& random;
    net::Network& network;
    net::WorkerPool& workers;
    MetricRegistry& metrics;
    Faults& faults;
    LogHub& logs;
};

/// One check or upstream in a status.
struct CheckStatus {
    std::string name;
    Check::Status status = Check::Status::pass;
    std::string detail;
    WallTime since;
};

struct UpstreamStatus {
    /// "dmsgd:http", or the name of an external thing.
    std::string name;
    std::string gate;
    bool there = false;
    State state = State::stopped;
    std::string detail;
};

struct Transition {
    WallTime at;
    State from;
    State to;
    std::string reason;
};

/// A service as `svc status`, /health and /services show it.
struct ServiceStatus {
    std::string label;
    std::string type;
    State state = State::stopped;
    bool critical = true;
    WallTime since;
    /// Why it is not ready; empty when it is.
    std::string reason;
    /// The deepest cause behind it, through the upstreams: "redis ... connection refused since T".
    std::string root_cause;
    std::vector<std::string> milestones;
    std::vector<CheckStatus> checks;
    std::vector<UpstreamStatus> upstreams;
    std::vector<Transition> transitions;
    std::size_t restarts = 0;
    /// From the moment its upstreams were there to ready; zero before.
    Duration start_took{0};
    std::vector<std::string> addresses;
};

struct DeploymentStatus {
    WallTime started_at;
    /// Every critical service is ready or degraded, and nothing is being shut down.
    bool ready = false;
    bool stopping = false;
    /// Worst of all critical services.
    State state = State::starting;
    std::vector<ServiceStatus> services;
};

/// What did not stop in time.
struct Unstopped {
    std::string label;
    std::vector<std::string> what;
};

struct ShutdownReport {
    std::vector<Unstopped> unstopped;
};

/// What an operator may ask of one service.
enum class Command { stop, start, restart };

/// Runs the services of a deployment: starts them in parallel as the milestone graph allows,
/// restarts what fails by policy, keeps the health tree, and takes everything down in reverse.
///
/// Lives on loop 0; all calls but `request_shutdown` and `still_running` come on it. Services live
/// on the loops in turn.
class Supervisor {
 public:
    /// `config` outlives the supervisor. `only` selects labels; empty = all. Edges to blocks of
    /// other processes become probes of their addresses.
    Supervisor(Environment environment, const DeploymentConfig& config, std::set<std::string> only);
    ~Supervisor();

    /// Starts everything; returns at once.
    void start();

    /// Returns when every service that can become ready is: all ready or degraded (true), or some
    /// critical one has given up or shutdown has begun (false).
    Task<bool> wait_ready();

    /// Returns when the deployment is down: after request_shutdown, or by itself when every
    /// critical service has given up or waits for one that has, or one with on_give_up exit has.
    Task<> wait_down();

    /// Begins shutdown; a second call changes nothing. From any thread.
    void request_shutdown(std::string reason);

    /// Stops, starts or restarts one service. Restart takes dependents along where their edge says
    /// so. Errors: not_found, wrong_state (shutting down, or start of one that runs), timed_out
    /// with what did not stop. Returns when done: stopped, or ready again.
    Task<Result<>> command(std::string label, Command command);

    DeploymentStatus status() const;
    const Graph& graph() const noexcept;
    const Timeline& timeline() const noexcept;
    /// The labels this process runs.
    std::vector<std::string> labels() const;

    /// 0 after an orderly stop that was asked for, also where a service had given up before; 1
    /// where something did not stop, or giving up is what ended the deployment.
    int exit_code() const noexcept;
    const ShutdownReport& report() const noexcept;

    /// What a forced exit would cut off. From any thread.
    std::vector<std::string> still_running() const;

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::framework
