#pragma once

#include "framework/deployment_config.hpp"
#include "framework/logging.hpp"
#include "framework/supervisor.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::framework {

/// What a process reaches of the world outside. A test hands in others. All outlive the Deployment.
struct World {
    Clock& clock;
    Random& random;
    net::Network& network;
    Faults& faults;
    /// Gets each finished log line; empty = standard error.
    std::function<void(std::string_view)> log_output = {};
};

/// The wiring of one process: event loops, worker pool, metrics, logs, key files, supervisor and
/// admin listener around a checked configuration. `svc run` has one; so has every test that boots a
/// deployment.
///
/// All calls come from outside of its event loops (the main thread, a test), one at a time, but for
/// `request_shutdown` and `still_running`, which any thread may call.
class Deployment {
 public:
    struct Options {
        /// Labels to run; empty = all.
        std::set<std::string> only;
        /// Event loops; 0 = one per core this process may use, at most 16.
        std::size_t loops = 0;
        /// Instead of the address of the configuration or its default.
        std::optional<net::Address> admin_address;
        /// Without it nothing can be asked of the process but by signals.
        bool with_admin = true;
        /// Where something did not stop, `wait` leaves all threads as they are: one may be stuck in
        /// a call. Ask `left_running`, and end the process at once, without destructors.
        bool leave_unstopped = false;
    };

    Deployment(const World& world, DeploymentConfig config, Options options);
    /// Shuts down first where that has not happened.
    ~Deployment();
    Deployment(const Deployment&) = delete;
    Deployment& operator=(const Deployment&) = delete;

    /// Reads key files, binds the admin listener, starts the loops and the services; returns
    /// without waiting for these. After an error nothing runs and nothing is bound. Errors: an
    /// unknown label in `only`, a key file, the token file, the admin address.
    Result<> start();

    /// Blocks until the deployment is ready (true), or cannot become so or is shutting down
    /// (false).
    bool wait_ready();

    /// Begins an orderly shutdown. Any thread; a second call changes nothing.
    void request_shutdown(std::string reason);

    /// Blocks until everything is down, whoever asked for it, and ends the process's parts in
    /// order. The exit code: 0 after an orderly stop, 1 where something had not ended, where
    /// services that gave up ended it, or where it never started. What did not end is logged by
    /// name.
    int wait();

    /// After `wait`: the threads still run (Options::leave_unstopped).
    bool left_running() const noexcept;

    /// What a forced exit would cut off now. Any thread.
    std::vector<std::string> still_running() const;

    /// Without blocking: what wait_ready would say (nothing yet: starting), and whether all
    /// services are down, so that `wait` would return.
    std::optional<bool> ready_outcome() const;
    bool is_down() const;

    // While it runs, that is between `start` and the return of `wait`:

    DeploymentStatus status() const;
    /// Safe to read from any thread, also after `wait`.
    const Timeline& timeline() const;
    /// Runs the command to its end; as Supervisor::command.
    Result<> command(const std::string& label, Command command);
    /// The same without blocking: `done` is called on loop 0.
    void begin_command(
        const std::string& label, Command command, std::function<void(Result<>)> done
    );
    std::optional<net::Address> admin_address() const;

    /// Lets every event loop run what is ready, `rounds` times in turn: what one loop sends another
    /// over loopback has arrived then. For tests that hold the clock.
    void settle(std::size_t rounds);

    const DeploymentConfig& config() const noexcept;
    LogHub& logs() noexcept;
    const MetricRegistry& metrics() const noexcept;

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::framework
