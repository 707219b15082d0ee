#pragma once

#include "framework/signal.hpp"
#include "framework/supervisor.hpp"
#include "framework/unit.hpp"
#include "net/scope.hpp"

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace skywire::framework {

/// One coroutine per unit walks it through its life (supervisor_unit.cpp) and looks again whenever
/// anything has changed; commands and shutdown only set what is wanted (supervisor_control.cpp);
/// what an operator sees is computed when asked for (supervisor_status.cpp).
class Supervisor::Impl {
 public:
    Impl(Environment environment, const DeploymentConfig& config, std::set<std::string> only);
    ~Impl();

    // supervisor_control.cpp
    void start();
    Task<bool> wait_ready();
    Task<> wait_down();
    void begin_shutdown(const std::string& reason, bool failed);
    Task<Result<>> command(std::string label, Command command);

    // supervisor_status.cpp
    DeploymentStatus status() const;
    std::vector<std::string> labels() const;
    std::vector<std::string> still_running() const;

    const Executor& home() const noexcept { return home_; }
    const Graph& graph() const noexcept { return graph_; }
    const Timeline& timeline() const noexcept { return timeline_; }
    int exit_code() const noexcept { return exit_code_; }
    const ShutdownReport& report() const noexcept { return report_; }

 private:
    // The life of a unit: supervisor_unit.cpp.
    Task<> run_unit(Unit& unit);
    Task<bool> wait_startable(Unit& unit);
    Task<Result<>> start_service(Unit& unit);
    Task<Result<>> await_start(Unit& unit, Operation<Result<>>& starting);
    std::string release_open_gates(Unit& unit);
    /// A wait that lasts is told in the log, once as long as it is for the same. When to call
    /// again; max: when it has changed.
    SteadyTime tell_wait(Unit& unit, const std::string& what);
    Task<Ending> watch(Unit& unit);
    Task<> poll_health(Unit& unit);
    Task<> wait_turn_to_stop(Unit& unit);
    Task<> take_down(Unit& unit, bool drain, State end_state, std::string reason);
    Task<bool> drain_and_stop(Unit& unit, bool with_drain);
    Task<Operation<bool>> drain(Unit& unit);
    /// Waits for the end of an operation until `deadline` or that of shutdown: whether it has
    /// ended.
    template <class T>
    Task<bool> await_done(Operation<T> operation, SteadyTime deadline) {
        for (;;) {
            const auto seen = changed_.version();
            if (operation.done()) co_return true;
            // shutdown_deadline_ may come closer while we wait.
            const SteadyTime until = std::min(deadline, shutdown_deadline_);
            if (now() >= until) co_return false;
            co_await changed_.changed_since(seen, until);
        }
    }
    std::function<void()> waker() {
        return [this] { changed_.notify(); };
    }
    void name_unstopped(Unit& unit);
    Task<> after_failure(Unit& unit, const Result<>& outcome, Duration ready_for);
    void give_up(Unit& unit, const std::string& why);

    // Both.
    void wire(Unit& unit);
    void make_probes();
    net::Context context_of(const Unit& unit, const Executor& loop);
    void set_state(Unit& unit, State state, std::string reason);
    void record(const Unit& unit);
    void set_running(const Unit& unit, bool running);
    /// The end of shutdown, less so many tenths of its time: for what has to come after.
    SteadyTime before_shutdown_ends(int tenths) const;
    /// What the gate of this unit still waits for, as a sentence; empty = open.
    std::string missing_for(const Unit& unit, std::string_view gate) const;
    bool is_there(const Unit& upstream, std::string_view milestone) const;
    std::vector<Check> upstream_checks(const Unit& unit) const;
    void tell_dependents(const Unit& unit, UpstreamEvent event);
    void request_restart(Unit& unit, std::set<std::size_t>& visited);
    Task<Result<>> await_command(Unit& unit, Command command, std::size_t downs_wanted);
    void stop_dependents(const Unit& unit, const std::string& why);
    void resume_dependents(const Unit& unit);
    bool may_run(const Unit& unit, std::set<std::size_t>& asked) const;
    bool any_critical_left() const;
    bool all_down() const;
    Task<> shut_down();
    std::string root_cause(const Unit& unit, std::set<std::size_t>& visited) const;
    ServiceStatus status_of(const Unit& unit) const;
    SteadyTime now() const { return environment_.clock.now(); }

    Environment environment_;
    const DeploymentConfig& config_;
    std::set<std::string> only_;
    Executor home_;
    Graph graph_;
    Timeline timeline_;
    log::Logger logger_;
    WallTime started_at_;
    std::vector<std::unique_ptr<LabelledMetrics>> metrics_;
    /// By index in the graph.
    std::vector<std::unique_ptr<Unit>> units_;
    std::vector<std::unique_ptr<Probe>> probes_;
    std::vector<Executor> loops_;
    bool stopping_ = false;
    bool down_ = false;
    SteadyTime shutdown_deadline_ = SteadyTime::max();
    int exit_code_ = 0;
    ShutdownReport report_;
    Signal changed_;

    mutable std::mutex running_mutex_;
    std::set<std::string> running_;

    net::Scope scope_;
};

}  // namespace skywire::framework
