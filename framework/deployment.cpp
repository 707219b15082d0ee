#include "framework/deployment.hpp"

#include "base/assert.hpp"
#include "base/build_info.hpp"
#include "framework/admin.hpp"
#include "framework/key_file.hpp"
#include "framework/loop_lag.hpp"
#include "framework/spare_memory.hpp"
#include "net/event_loops.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "net/worker_pool.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <sched.h>
#include <unistd.h>

namespace skywire::framework {

namespace {

constexpr std::size_t kLoopsMax = 16;
constexpr std::size_t kWorkers = 2;
constexpr std::size_t kWorkerQueueMax = 4096;
constexpr Duration kLevelInterval = std::chrono::seconds(1);
/// For what belongs to the process itself, after the services are down.
constexpr Duration kEndTimeout = std::chrono::seconds(1);

/// Cores this process may use: a container's share, not the machine's count.
std::size_t usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return static_cast<std::size_t>(std::max(CPU_COUNT(&set), 1));
}

std::size_t loop_count(std::size_t wanted) {
    return std::min(wanted > 0 ? wanted : usable_cores(), kLoopsMax);
}

Result<std::string> read_token(const std::string& path) {
    if (path.empty()) return std::string();
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        return fail(errc::not_found, fmt::format("admin_token_file {}: cannot be read", path));
    }
    std::string text(std::istreambuf_iterator<char>(in), {});
    constexpr std::string_view kSpace = " \t\r\n";
    text.erase(0, text.find_first_not_of(kSpace));
    text.erase(text.find_last_not_of(kSpace) + 1);
    if (text.empty())
        return fail(errc::malformed, fmt::format("admin_token_file {}: is empty", path));
    return text;
}

/// Runs `work` on `loop` and blocks until it has returned.
template <class Work>
auto run_on(const Executor& loop, Work work) {
    using Value = std::invoke_result_t<Work>;
    std::promise<Value> promise;
    auto future = promise.get_future();
    asio::post(loop, [&promise, &work] {
        if constexpr (std::is_void_v<Value>) {
            work();
            promise.set_value();
        } else {
            promise.set_value(work());
        }
    });
    return future.get();
}

/// Runs the coroutine that `make` returns on `loop` and blocks until it has ended.
template <class T>
T await_on(const Executor& loop, std::function<Task<T>()> make) {
    std::promise<T> promise;
    auto future = promise.get_future();
    asio::co_spawn(loop, make(), [&promise](std::exception_ptr error, T value) {
        if (error) {
            promise.set_exception(error);
        } else {
            promise.set_value(std::move(value));
        }
    });
    return future.get();
}

std::string milliseconds(Duration duration) {
    return fmt::format("{:.1f}ms", std::chrono::duration<double, std::milli>(duration).count());
}

}  // namespace

class Deployment::Impl {
 public:
    Impl(const World& world, DeploymentConfig config, Options options)
        : world_(world),
          config_(std::move(config)),
          options_(std::move(options)),
          logs_(
              world_.clock,
              config_.supervisor.json_logs ? LogHub::Format::json : LogHub::Format::text,
              world_.log_output
          ),
          logger_(logs_.logger("process")),
          loops_(loop_count(options_.loops)),
          workers_(kWorkers, kWorkerQueueMax),
          spare_memory_(world_.clock, metrics_, allocator_pages()) {}

    ~Impl() {
        if (!started_ || ended_) return;
        request_shutdown("the process ends");
        wait();
    }

    Result<> start();
    bool wait_ready();
    void request_shutdown(std::string reason);
    int wait();

    Environment environment() {
        return {
            loops_,
            world_.clock,
            world_.random,
            world_.network,
            workers_,
            metrics_,
            world_.faults,
            logs_
        };
    }
    Result<> check_labels() const;
    Result<> start_admin(const std::string& token);
    void log_start() const;
    void log_ready(bool ready, const DeploymentStatus& status) const;
    void log_end(int exit_code, const ShutdownReport& report) const;

    Task<> watch_ready();
    Task<> watch_down();
    Task<> expire_levels();
    void start_lag();
    Task<bool> close_own();
    void end_parts(bool something_runs);

    /// While the loops run, on loop 0; afterwards right here.
    template <class Work>
    auto on_main(Work work) const {
        if (ended_) return work();
        return run_on(loops_.at(0), std::move(work));
    }

    World world_;
    DeploymentConfig config_;
    Options options_;
    LogHub logs_;
    log::Logger logger_;
    MetricRegistry metrics_;
    net::EventLoops loops_;
    net::WorkerPool workers_;
    std::unique_ptr<Supervisor> supervisor_;
    std::unique_ptr<Admin> admin_;
    SpareMemory spare_memory_;
    /// What the process itself runs on loop 0.
    std::unique_ptr<net::Scope> scope_;
    /// Each on its own loop, in a scope of its own.
    struct Lag {
        Lag(Clock& clock, Metrics& metrics, const Executor& loop, std::size_t index)
            : measure(clock, metrics, index), scope(loop) {}
        LoopLag measure;
        net::Scope scope;
    };
    std::vector<std::unique_ptr<Lag>> lags_;
    SteadyTime begun_{};
    bool started_ = false;
    bool ended_ = false;
    bool left_running_ = false;
    int exit_code_ = 1;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<bool> ready_;
    bool down_ = false;
    /// The supervisor once it has been started, for calls from other threads.
    Supervisor* running_ = nullptr;
    /// Of a shutdown that was asked for before.
    std::optional<std::string> stop_reason_;
};

Result<> Deployment::Impl::check_labels() const {
    for (const std::string& label : options_.only) {
        if (config_.find(label) != nullptr) continue;
        std::vector<std::string_view> labels;
        labels.reserve(config_.blocks.size());
        for (const BlockConfig& block : config_.blocks)
            labels.push_back(block.label);
        const std::string near = nearest(label, labels);
        return fail(
            errc::not_found,
            fmt::format(
                "{}: no block is labelled \"{}\"{}; labels: {}",
                config_.file,
                label,
                near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near),
                fmt::join(labels, ", ")
            )
        );
    }
    return {};
}

void Deployment::Impl::log_start() const {
    const BuildInfo build = build_info();
    log::info(
        logger_,
        "process.starting",
        log::kv("version", build.version),
        log::kv("commit", build.commit),
        log::kv("pid", ::getpid()),
        log::kv("file", config_.file),
        log::kv("services", options_.only.empty() ? config_.blocks.size() : options_.only.size()),
        log::kv("loops", loops_.size())
    );
}

Result<> Deployment::Impl::start_admin(const std::string& token) {
    if (!options_.with_admin) return {};
    net::Address address = options_.admin_address ? *options_.admin_address
                           : config_.supervisor.admin_addr
                               ? *config_.supervisor.admin_addr
                               : default_admin_address(config_.file, options_.only);
    const net::Context context(
        loops_.at(0),
        world_.clock,
        world_.random,
        world_.network,
        workers_,
        metrics_,
        world_.faults,
        logs_.logger("admin")
    );
    admin_ = std::make_unique<Admin>(
        context, environment(), *supervisor_, Admin::Options{std::move(address), token}
    );
    if (auto bound = admin_->start(); !bound) {
        admin_.reset();
        Error error = bound.error().within("admin listener");
        // The default address is this file's and these labels' alone.
        const bool ours = !options_.admin_address && !config_.supervisor.admin_addr;
        if (ours && error.code() == boost::system::errc::address_in_use) {
            error = error.within(fmt::format(
                "{} runs already; skywire svc status shows it, and stop that process first",
                config_.file
            ));
        }
        return error;
    }
    log::info(logger_, "admin.listening", log::kv("address", admin_->address().to_string()));
    return {};
}

Result<> Deployment::Impl::start() {
    SKY_ASSERT(!started_);
    begun_ = world_.clock.now();
    if (auto known = check_labels(); !known) return known.error();
    auto token = read_token(config_.supervisor.admin_token_file);
    if (!token) return token.error();
    log_start();
    if (auto keys = resolve_key_files(config_, options_.only, world_.random, logger_); !keys) {
        return keys.error();
    }
    loops_.start();
    started_ = true;
    // Before any service runs: one may block its loop at once.
    start_lag();
    const Result<> begun = run_on(loops_.at(0), [this, &token]() -> Result<> {
        supervisor_ = std::make_unique<Supervisor>(environment(), config_, options_.only);
        if (auto admin = start_admin(*token); !admin) {
            supervisor_.reset();
            return admin.error();
        }
        scope_ = std::make_unique<net::Scope>(loops_.at(0));
        scope_->spawn("log levels", [this] { return expire_levels(); });
        scope_->spawn("spare memory", [this] { return spare_memory_.run(); });
        scope_->spawn("watch ready", [this] { return watch_ready(); });
        scope_->spawn("watch down", [this] { return watch_down(); });
        supervisor_->start();
        return {};
    });
    if (!begun) {
        end_parts(/*something_runs=*/false);
        return begun.error();
    }
    const std::scoped_lock lock(mutex_);
    running_ = supervisor_.get();
    if (stop_reason_) running_->request_shutdown(*stop_reason_);
    return {};
}

void Deployment::Impl::start_lag() {
    for (std::size_t i = 0; i < loops_.size(); ++i) {
        const Executor loop = loops_.at(i);
        lags_.push_back(std::make_unique<Lag>(world_.clock, metrics_, loop, i));
        run_on(loop, [lag = lags_.back().get()] {
            lag->scope.spawn("loop lag", [lag] { return lag->measure.run(); });
        });
    }
}

Task<> Deployment::Impl::watch_ready() {
    const bool ready = co_await supervisor_->wait_ready();
    log_ready(ready, supervisor_->status());
    const std::scoped_lock lock(mutex_);
    ready_ = ready;
    changed_.notify_all();
}

Task<> Deployment::Impl::watch_down() {
    co_await supervisor_->wait_down();
    const std::scoped_lock lock(mutex_);
    if (!ready_) ready_ = false;
    down_ = true;
    changed_.notify_all();
}

Task<> Deployment::Impl::expire_levels() {
    net::Timer timer(loops_.at(0), world_.clock);
    for (;;) {
        const bool rung = co_await timer.wait_for(kLevelInterval);
        if (!rung) co_return;
        logs_.expire_levels();
    }
}

void Deployment::Impl::log_ready(bool ready, const DeploymentStatus& status) const {
    if (ready) {
        std::vector<std::string> times;
        times.reserve(status.services.size());
        for (const ServiceStatus& service : status.services) {
            times.push_back(fmt::format("{}={}", service.label, milliseconds(service.start_took)));
        }
        log::info(
            logger_,
            "process.ready",
            log::kv("took", milliseconds(world_.clock.now() - begun_)),
            log::kv("services", fmt::format("{}", fmt::join(times, " ")))
        );
        return;
    }
    for (const ServiceStatus& service : status.services) {
        if (service.state == State::ready) continue;
        // While shutting down only what had failed before is worth a line.
        if (status.stopping && service.state != State::failed) continue;
        log::error(
            logger_,
            "process.not_ready",
            log::kv("label", service.label),
            log::kv("state", state_name(service.state)),
            log::kv("cause", service.root_cause.empty() ? service.reason : service.root_cause)
        );
    }
}

void Deployment::Impl::log_end(int exit_code, const ShutdownReport& report) const {
    std::vector<std::string> unstopped;
    unstopped.reserve(report.unstopped.size());
    for (const Unstopped& service : report.unstopped) {
        unstopped.push_back(fmt::format("{} ({})", service.label, fmt::join(service.what, ", ")));
    }
    log::info(
        logger_,
        "process.stopped",
        log::kv("exit_code", exit_code),
        log::kv("ran", format_duration(world_.clock.now() - begun_)),
        log::kv(
            "unstopped", unstopped.empty() ? "-" : fmt::format("{}", fmt::join(unstopped, ", "))
        )
    );
}

bool Deployment::Impl::wait_ready() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ready_.has_value(); });
    return ready_.value_or(false);
}

void Deployment::Impl::request_shutdown(std::string reason) {
    const std::scoped_lock lock(mutex_);
    if (running_ != nullptr) {
        running_->request_shutdown(std::move(reason));
    } else {
        stop_reason_ = std::move(reason);
    }
}

/// Ends what the process itself runs, after the services.
Task<bool> Deployment::Impl::close_own() {
    const SteadyTime deadline = world_.clock.now() + kEndTimeout;
    if (admin_) co_await admin_->stop(deadline);
    if (scope_) co_await scope_->close(world_.clock, deadline, deadline);
    admin_.reset();
    scope_.reset();
    co_return true;
}

void Deployment::Impl::end_parts(bool something_runs) {
    for (std::size_t i = 0; i < lags_.size(); ++i) {
        await_on<bool>(loops_.at(i), [this, i]() -> Task<bool> {
            const SteadyTime deadline = world_.clock.now() + kEndTimeout;
            co_await lags_[i]->scope.close(world_.clock, deadline, deadline);
            co_return true;
        });
    }
    await_on<bool>(loops_.at(0), [this] { return close_own(); });
    // What ignored its end would keep its loop, and so this process, going for ever.
    if (something_runs) loops_.stop();
    loops_.join();
    ended_ = true;
}

int Deployment::Impl::wait() {
    if (!started_ || ended_) return exit_code_;
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return down_; });
    }
    const auto [exit_code, report] = run_on(loops_.at(0), [this] {
        return std::pair(supervisor_->exit_code(), supervisor_->report());
    });
    exit_code_ = exit_code;
    log_end(exit_code_, report);
    if (!report.unstopped.empty() && options_.leave_unstopped) {
        ended_ = true;
        left_running_ = true;
        return exit_code_;
    }
    end_parts(!report.unstopped.empty());
    return exit_code_;
}

Deployment::Deployment(const World& world, DeploymentConfig config, Options options)
    : impl_(std::make_unique<Impl>(world, std::move(config), std::move(options))) {}

Deployment::~Deployment() = default;

Result<> Deployment::start() {
    return impl_->start();
}

bool Deployment::wait_ready() {
    return impl_->wait_ready();
}

void Deployment::request_shutdown(std::string reason) {
    impl_->request_shutdown(std::move(reason));
}

int Deployment::wait() {
    return impl_->wait();
}

bool Deployment::left_running() const noexcept {
    return impl_->left_running_;
}

std::vector<std::string> Deployment::still_running() const {
    const std::scoped_lock lock(impl_->mutex_);
    return impl_->running_ != nullptr ? impl_->running_->still_running()
                                      : std::vector<std::string>();
}

std::optional<bool> Deployment::ready_outcome() const {
    const std::scoped_lock lock(impl_->mutex_);
    return impl_->ready_;
}

bool Deployment::is_down() const {
    const std::scoped_lock lock(impl_->mutex_);
    return impl_->down_;
}

DeploymentStatus Deployment::status() const {
    return impl_->on_main([this] { return impl_->supervisor_->status(); });
}

const Timeline& Deployment::timeline() const {
    return impl_->supervisor_->timeline();
}

Result<> Deployment::command(const std::string& label, Command command) {
    std::promise<Result<>> promise;
    auto future = promise.get_future();
    begin_command(label, command, [&promise](Result<> outcome) {
        promise.set_value(std::move(outcome));
    });
    return future.get();
}

void Deployment::begin_command(
    const std::string& label, Command command, std::function<void(Result<>)> done
) {
    if (impl_->ended_) {
        done(fail(errc::wrong_state, "the deployment is down"));
        return;
    }
    const Executor loop = impl_->loops_.at(0);
    asio::post(loop, [this, loop, label, command, done = std::move(done)] {
        asio::co_spawn(
            loop,
            impl_->supervisor_->command(label, command),
            [done](std::exception_ptr error, Result<> outcome) {
                if (error) std::rethrow_exception(error);
                done(std::move(outcome));
            }
        );
    });
}

std::optional<net::Address> Deployment::admin_address() const {
    return impl_->on_main([this]() -> std::optional<net::Address> {
        if (!impl_->admin_) return std::nullopt;
        return impl_->admin_->address();
    });
}

void Deployment::settle(std::size_t rounds) {
    if (impl_->ended_) return;
    for (std::size_t round = 0; round < rounds; ++round) {
        // What a worker has begun is ready only when it is done and the coroutine it resumes has
        // gone on: when a pass that began with nothing queued leaves nothing queued, too.
        for (int quiet = 0; quiet < 2;) {
            for (std::size_t i = 0; i < impl_->loops_.size(); ++i)
                run_on(impl_->loops_.at(i), [] {});
            quiet = impl_->workers_.queued() > 0 ? 0 : quiet + 1;
        }
    }
}

const DeploymentConfig& Deployment::config() const noexcept {
    return impl_->config_;
}

LogHub& Deployment::logs() noexcept {
    return impl_->logs_;
}

const MetricRegistry& Deployment::metrics() const noexcept {
    return impl_->metrics_;
}

}  // namespace skywire::framework
