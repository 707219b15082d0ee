#pragma once

#include "base/clock.hpp"
#include "base/random.hpp"
#include "base/test_faults.hpp"
#include "framework/deployment.hpp"
#include "framework/harness/ephemeral_network.hpp"
#include "http/message.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// A whole deployment inside a test: framework/harness/README.md.
namespace skywire::harness {

/// An HTTP request that a test has sent and not yet awaited.
class PendingResponse {
 public:
    bool done() const;
    /// Blocks until the answer is there. Throws where the request failed.
    http::Response get() const;
    /// As `get`, with the failure as a value.
    Result<http::Response> result() const;

 private:
    friend class Harness;
    struct State;
    explicit PendingResponse(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

/// Boots a deployment from the text of its file, on made-up ports of loopback, with a clock that
/// the test holds, seeded random numbers and fault points. One test thread uses it.
///
///     Harness harness(registry, R"({"services": [{"type": "test-service", "name": "a"}]})");
///     REQUIRE(harness.boot());
///     CHECK(harness.before("a ready", "b starting"));
///     CHECK(harness.stop() == 0);
///
/// Waiting goes by events: each wait lets the event loops run until nothing more happens, looks,
/// and moves the clock by a step only then. What is waited for in vain throws with the timeline.
class Harness {
 public:
    struct Options {
        /// False: the machine's clock, for tests with other processes in them.
        bool hold_clock = true;
        WallTime wall = WallTime(std::chrono::seconds(1'700'000'000));
        std::uint64_t seed = 1;
        /// Labels to run; empty = all.
        std::set<std::string> only = {};
        std::size_t loops = 2;
        /// The admin listener, on a unix socket in the harness's folder unless the file names one.
        bool admin = true;
    };

    /// Throws where the file has errors, with the problems.
    Harness(framework::ServiceRegistry registry, std::string text, Options options);
    Harness(framework::ServiceRegistry registry, std::string text);
    /// Stops the deployment where the test has not.
    ~Harness();
    Harness(const Harness&) = delete;
    Harness& operator=(const Harness&) = delete;

    /// Starts without waiting.
    Result<> start();
    /// Starts and waits: true once ready, false where it cannot become so.
    bool boot();
    /// Asks for shutdown, waits until everything is down; the exit code.
    int stop(const std::string& reason = "the test ends");
    /// Waits for a deployment that goes down; the exit code.
    int wait_down();

    framework::Deployment& deployment() noexcept { return *deployment_; }
    TestFaults& faults() noexcept { return faults_; }
    EphemeralNetwork& network() noexcept { return *network_; }
    /// With hold_clock alone.
    ManualClock& clock();
    Random& random() noexcept { return random_; }
    /// A folder of this harness alone, removed at its end; supervisor.state_dir unless set.
    const std::string& folder() const noexcept { return folder_; }

    /// Lets the loops run until nothing more happens without time passing.
    void settle();
    /// Moves the clock and settles.
    void advance(Duration by);
    /// Settles, asks, moves the clock by `step`, and again, at most by `limit` in all (with the
    /// machine's clock: waits that long). Throws, naming `what`, where it never holds.
    void advance_until(
        std::string_view what,
        const std::function<bool()>& holds,
        Duration step = std::chrono::milliseconds(50),
        Duration limit = std::chrono::minutes(5)
    );
    /// advance_until there is such an event, after the event of number `after`. Its number.
    std::uint64_t wait_event(
        const std::string& label,
        const std::string& event,
        const std::string& detail = {},
        std::uint64_t after = 0
    );
    /// advance_until the service is in this state.
    void wait_state(const std::string& label, framework::State state);
    framework::ServiceStatus service(const std::string& label);

    /// Whether the first "LABEL EVENT[ DETAIL]" of the timeline came before the first other one.
    /// False where one has not happened. The process's own events have the label "-".
    bool before(std::string_view first, std::string_view second);
    /// How many such events there are.
    std::size_t count(std::string_view event);
    /// One line per event, for messages.
    std::string timeline_text();
    /// Number of the newest event.
    std::uint64_t last_event();

    /// Log lines so far.
    std::vector<std::string> log_lines() const;
    bool logged(std::string_view part) const;

    // HTTP. Addresses are those of the file; "admin" is the admin listener.

    PendingResponse send(
        http::Method method,
        const std::string& address,
        const std::string& target,
        std::string body = {},
        http::Fields fields = {}
    );
    /// Send and await. The clock stands still meanwhile.
    http::Response get(const std::string& address, const std::string& target);
    http::Response post(
        const std::string& address, const std::string& target, std::string body = {}
    );
    /// Runs a command of the admin listener's kind to its end, moving the clock as it needs.
    Result<> command(const std::string& label, framework::Command command);

 private:
    struct Outside;

    struct LogLines;

    /// The configuration points into it.
    framework::ServiceRegistry registry_;
    Options options_;
    std::string folder_;
    SystemClock system_clock_;
    std::unique_ptr<ManualClock> manual_clock_;
    SeededRandom random_;
    TestFaults faults_;
    std::unique_ptr<EphemeralNetwork> network_;
    std::shared_ptr<LogLines> lines_;
    std::unique_ptr<framework::Deployment> deployment_;
    /// The test's own side: an event loop with an HTTP client.
    std::unique_ptr<Outside> outside_;
    bool started_ = false;
};

}  // namespace skywire::harness
