#include "cli/serve.hpp"

#include "net/event_loops.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

namespace skywire::cli {

namespace {

/// Beyond shutdown_timeout, for what the process itself has to end.
constexpr Duration kShutdownGrace = std::chrono::seconds(2);

/// A wrapper that signals a process and its group asks once, not twice.
constexpr Duration kSameRequest = std::chrono::milliseconds(200);

/// SIGINT, SIGTERM and SIGHUP on a thread of their own, so that a second one counts, and the
/// shutdown has an end, even where every event loop of the deployment is stuck.
class Signals {
 public:
    /// `on_overdue` is called when the process still runs `patience` after the first signal.
    Signals(
        Duration patience,
        std::function<void(int signal, int count)> on_signal,
        std::function<void()> on_overdue
    )
        : patience_(patience),
          on_signal_(std::move(on_signal)),
          on_overdue_(std::move(on_overdue)),
          loop_(1),
          signals_(loop_.at(0)),
          overdue_(loop_.at(0)) {
        signals_.add(SIGINT);
        signals_.add(SIGTERM);
        // A terminal that is closed asks for an orderly stop, too.
        signals_.add(SIGHUP);
        wait();
        loop_.start();
    }

    ~Signals() {
        loop_.stop();
        loop_.join();
    }

 private:
    void wait() {
        signals_.async_wait([this](const ErrorCode& error, int signal) {
            if (error) return;
            const bool same = count_ > 0 && clock_.now() - counted_at_ < kSameRequest;
            if (!same) {
                counted_at_ = clock_.now();
                if (++count_ == 1) limit();
                on_signal_(signal, count_);
            }
            wait();
        });
    }

    void limit() {
        overdue_.expires_after(patience_);
        overdue_.async_wait([this](const ErrorCode& error) {
            if (!error) on_overdue_();
        });
    }

    Duration patience_;
    std::function<void(int, int)> on_signal_;
    std::function<void()> on_overdue_;
    SystemClock clock_;
    int count_ = 0;
    SteadyTime counted_at_{};
    net::EventLoops loop_;
    asio::signal_set signals_;
    asio::steady_timer overdue_;
};

std::string signal_name(int signal) {
    return signal == SIGINT ? "SIGINT" : signal == SIGHUP ? "SIGHUP" : "SIGTERM";
}

/// Ends the process where it stands.
[[noreturn]] void force_exit(int code) {
    std::cout.flush();
    std::cerr.flush();
    std::fflush(nullptr);
    std::_Exit(code);
}

}  // namespace

std::string default_state_dir() {
    const char* given = std::getenv("STATE_DIRECTORY");
    const std::string_view list = given == nullptr ? "" : given;
    const std::string_view first = list.substr(0, list.find(':'));
    return first.empty() ? "/var/lib/skywire" : std::string(first);
}

int serve(
    Session& session,
    const Command& command,
    framework::DeploymentConfig config,
    framework::Deployment::Options options
) {
    SystemClock clock;
    SystemRandom random;
    net::SystemNetwork network;
    Faults faults;
    framework::Deployment deployment(
        framework::World{clock, random, network, faults}, std::move(config), std::move(options)
    );
    const auto give_up = [&deployment, &session](std::string_view why) {
        const auto running = deployment.still_running();
        session.io.err << fmt::format(
            "{}: exit forced, still running: {}\n",
            why,
            running.empty() ? "nothing" : fmt::format("{}", fmt::join(running, ", "))
        );
        force_exit(kFailed);
    };
    const Signals signals(
        deployment.config().supervisor.shutdown_timeout + kShutdownGrace,
        [&deployment, give_up](int signal, int count) {
            if (count > 1) give_up("second signal");
            deployment.request_shutdown(signal_name(signal));
        },
        [give_up] { give_up("not down within shutdown_timeout"); }
    );
    if (auto started = deployment.start(); !started) {
        return failure(session, command, started.error().message());
    }
    const int code = deployment.wait();
    if (deployment.left_running()) force_exit(code);
    return code;
}

}  // namespace skywire::cli
