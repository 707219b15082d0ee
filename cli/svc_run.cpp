#include "cli/config_source.hpp"
#include "framework/admin_address.hpp"
#include "framework/deployment.hpp"
#include "net/event_loops.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
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

/// Where a service manager says state belongs (the first of its list), else the usual place.
std::string default_state_dir() {
    const char* given = std::getenv("STATE_DIRECTORY");
    const std::string_view list = given == nullptr ? "" : given;
    const std::string_view first = list.substr(0, list.find(':'));
    return first.empty() ? "/var/lib/skywire" : std::string(first);
}

/// Ends the process where it stands.
[[noreturn]] void force_exit(int code) {
    std::cout.flush();
    std::cerr.flush();
    std::fflush(nullptr);
    std::_Exit(code);
}

class SvcRun final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "run"}; }
    std::string summary() const override { return "Start the services of a deployment file"; }

    std::string details() const override {
        return "Starts every service of the file in one process, each as soon as what it needs is\n"
               "there, and runs until SIGTERM or Ctrl-C: then services end in reverse order and "
               "what\n"
               "did not end in time is named. A second signal (0.2 s later or more) ends the\n"
               "process at once.\n"
               "\n"
               "Examples:\n"
               "  skywire svc run --config deployment.json\n"
               "  skywire svc run --config default            the built-in file, all on loopback\n"
               "  skywire svc run --config deployment.json --only dmsgd,stun\n"
               "\n"
               "Exit code: 0 after an orderly stop; 1 where the file has errors, services gave up\n"
               "and so ended it, something did not stop, or the exit was forced.";
    }

    std::vector<Option> options() override {
        return {
            config_option(config_, "The deployment file; \"default\" is the built-in one"),
            only_option(only_, "Start only the blocks with these labels"),
            {"--admin", "ADDR", "Admin listener: unix:PATH or HOST:PORT, over the file's", &admin_},
            {"--list", "", "Print the types of services this binary knows, and end", &list_},
        };
    }

    int run(Session& session) override {
        if (list_) {
            print_types(session);
            return kDone;
        }
        if (config_.empty()) {
            return usage_error(
                session, *this, "--config FILE is required (\"default\" is the built-in file)"
            );
        }
        framework::Deployment::Options options;
        if (!admin_.empty()) {
            auto address = net::Address::parse(admin_);
            if (!address)
                return usage_error(session, *this, "--admin: " + address.error().message());
            options.admin_address = std::move(*address);
        }
        options.only = as_set(only_);
        options.leave_unstopped = true;

        auto loaded = load_config(config_, session.registry);
        print_problems(session.io.err, config_, loaded.problems);
        if (!loaded.config) {
            return failure(session, *this, config_ + " has errors; nothing was started");
        }
        if (config_ == kBuiltInName && !options.admin_address &&
            !loaded.config->supervisor.admin_addr) {
            options.admin_address =
                framework::default_admin_address(std::string(kBuiltInAdminPath), options.only);
        }
        if (loaded.config->supervisor.state_dir.empty()) {
            loaded.config->supervisor.state_dir = default_state_dir();
        }
        return serve(session, std::move(*loaded.config), std::move(options));
    }

 private:
    int serve(
        Session& session, framework::DeploymentConfig config, framework::Deployment::Options options
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
            return failure(session, *this, started.error().message());
        }
        const int code = deployment.wait();
        if (deployment.left_running()) force_exit(code);
        return code;
    }

    std::string config_;
    std::vector<std::string> only_;
    std::string admin_;
    bool list_ = false;
};

}  // namespace

std::unique_ptr<Command> make_svc_run() {
    return std::make_unique<SvcRun>();
}

}  // namespace skywire::cli
