#include "framework/harness/harness.hpp"

#include "http/client.hpp"
#include "net/event_loops.hpp"
#include "net/scope.hpp"
#include "net/worker_pool.hpp"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <mutex>
#include <stdexcept>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

namespace skywire::harness {

namespace {

/// Enough for a request that goes through some services and back: each round carries whatever is
/// on loopback one hop on.
constexpr std::size_t kSettleRounds = 24;
/// Between looks, with the machine's clock.
constexpr Duration kLookInterval = std::chrono::milliseconds(2);

std::string make_folder() {
    std::string path = (std::filesystem::temp_directory_path() / "skywire-test-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("cannot make a test folder");
    return path;
}

struct Pattern {
    std::string label;
    std::string event;
    std::string detail;
};

/// "LABEL EVENT[ DETAIL]"; the label "-" is the process.
Pattern pattern_of(std::string_view text) {
    Pattern pattern;
    const auto first = text.find(' ');
    pattern.label = text.substr(0, first);
    if (pattern.label == "-") pattern.label.clear();
    if (first == std::string_view::npos) return pattern;
    text.remove_prefix(first + 1);
    const auto second = text.find(' ');
    pattern.event = text.substr(0, second);
    if (second != std::string_view::npos) pattern.detail = text.substr(second + 1);
    return pattern;
}

framework::DeploymentConfig load(const framework::ServiceRegistry& registry, std::string text) {
    auto loaded = framework::load_deployment("deployment.json", std::move(text), registry);
    if (loaded.config) return std::move(*loaded.config);
    std::string message = "the test's deployment has errors:";
    for (const auto& problem : loaded.problems) {
        message += "\n" + problem.to_string("deployment.json");
    }
    throw std::runtime_error(message);
}

/// A connection kept over a step of the clock may have been closed by the server meanwhile.
http::Client::Options no_kept_connections() {
    http::Client::Options options;
    options.idle_per_address_max = 0;
    return options;
}

bool sets_state_dir(const framework::DeploymentConfig& config) {
    const auto* supervisor = config.tree->find("supervisor");
    return supervisor != nullptr && supervisor->value.find("state_dir") != nullptr;
}

}  // namespace

struct PendingResponse::State {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<http::Response>> outcome;
};

bool PendingResponse::done() const {
    const std::scoped_lock lock(state_->mutex);
    return state_->outcome.has_value();
}

Result<http::Response> PendingResponse::result() const {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [this] { return state_->outcome.has_value(); });
    return *state_->outcome;
}

http::Response PendingResponse::get() const {
    return result().value();
}

struct Harness::LogLines {
    mutable std::mutex mutex;
    std::vector<std::string> lines;
};

struct Harness::Outside {
    Outside(Clock& clock, Random& random, net::Network& network, Faults& faults)
        : loops(1),
          workers(1, 16),
          client(
              net::Context(
                  loops.at(0), clock, random, network, workers, metrics, faults, log::Logger()
              ),
              no_kept_connections()
          ),
          scope(loops.at(0)) {
        loops.start();
    }

    ~Outside() {
        std::promise<void> closed;
        asio::post(loops.at(0), [this] { client.close(); });
        asio::co_spawn(loops.at(0), scope.wait_empty(), [&closed](std::exception_ptr) {
            closed.set_value();
        });
        closed.get_future().wait();
        loops.join();
    }

    MetricRegistry metrics;
    net::EventLoops loops;
    net::WorkerPool workers;
    http::Client client;
    net::Scope scope;
};

Harness::Harness(framework::ServiceRegistry registry, std::string text, Options options)
    : registry_(std::move(registry)),
      options_(std::move(options)),
      folder_(make_folder()),
      manual_clock_(options_.hold_clock ? std::make_unique<ManualClock>(options_.wall) : nullptr),
      random_(options_.seed),
      network_(std::make_unique<EphemeralNetwork>(faults_)),
      lines_(std::make_shared<LogLines>()) {
    framework::DeploymentConfig config = load(registry_, std::move(text));
    if (!sets_state_dir(config)) config.supervisor.state_dir = folder_;
    framework::Deployment::Options wiring;
    wiring.only = options_.only;
    wiring.loops = options_.loops;
    wiring.with_admin = options_.admin;
    if (!config.supervisor.admin_addr) {
        wiring.admin_address = net::Address::unix_path(folder_ + "/admin.sock");
    }
    Clock& clock = manual_clock_ ? static_cast<Clock&>(*manual_clock_) : system_clock_;
    const framework::World
        world{clock, random_, *network_, faults_, [lines = lines_](std::string_view line) {
                  const std::scoped_lock lock(lines->mutex);
                  lines->lines.emplace_back(line);
              }};
    deployment_ =
        std::make_unique<framework::Deployment>(world, std::move(config), std::move(wiring));
    outside_ = std::make_unique<Outside>(system_clock_, random_, *network_, faults_);
}

Harness::Harness(framework::ServiceRegistry registry, std::string text)
    : Harness(std::move(registry), std::move(text), Options()) {}

Harness::~Harness() {
    try {
        if (started_) stop();
    } catch (const std::exception& error) {
        // Nothing can be destroyed under what still runs.
        std::fprintf(stderr, "the deployment of a test did not stop: %s\n", error.what());
        std::abort();
    }
    // The client first: its connections may be what keeps a request going.
    outside_.reset();
    deployment_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

Result<> Harness::start() {
    auto begun = deployment_->start();
    started_ = begun.has_value();
    return begun;
}

bool Harness::boot() {
    start().value();
    advance_until("ready or failed", [this] { return deployment_->ready_outcome().has_value(); });
    return *deployment_->ready_outcome();
}

int Harness::stop(const std::string& reason) {
    deployment_->request_shutdown(reason);
    return wait_down();
}

int Harness::wait_down() {
    if (!started_) return deployment_->wait();
    advance_until("down", [this] { return deployment_->is_down(); });
    started_ = false;
    return deployment_->wait();
}

ManualClock& Harness::clock() {
    if (!manual_clock_) throw std::logic_error("this harness runs on the machine's clock");
    return *manual_clock_;
}

void Harness::settle() {
    for (std::size_t round = 0; round < kSettleRounds; ++round) {
        std::promise<void> seen;
        asio::post(outside_->loops.at(0), [&seen] { seen.set_value(); });
        seen.get_future().wait();
        if (started_) deployment_->settle(1);
    }
}

void Harness::advance(Duration by) {
    clock().advance(by);
    settle();
}

void Harness::advance_until(
    std::string_view what, const std::function<bool()>& holds, Duration step, Duration limit
) {
    const Clock& clock = manual_clock_ ? static_cast<Clock&>(*manual_clock_) : system_clock_;
    const SteadyTime give_up_at = clock.now() + limit;
    for (;;) {
        settle();
        if (holds()) return;
        if (clock.now() >= give_up_at) break;
        if (manual_clock_) {
            manual_clock_->advance(step);
        } else {
            asio::steady_timer timer(outside_->loops.at(0), kLookInterval);
            timer.wait();
        }
    }
    throw std::runtime_error(
        fmt::format("waited {} in vain for: {}\n{}", format_duration(limit), what, timeline_text())
    );
}

std::uint64_t Harness::wait_event(
    const std::string& label,
    const std::string& event,
    const std::string& detail,
    std::uint64_t after
) {
    std::uint64_t number = 0;
    advance_until(fmt::format("{} {} {}", label, event, detail), [&] {
        for (const auto& entry : deployment_->timeline().events(after)) {
            if (entry.label != label || entry.event != event) continue;
            if (!detail.empty() && entry.detail != detail) continue;
            number = entry.number;
            return true;
        }
        return false;
    });
    return number;
}

framework::ServiceStatus Harness::service(const std::string& label) {
    for (auto& status : deployment_->status().services) {
        if (status.label == label) return status;
    }
    throw std::runtime_error("no service " + label);
}

void Harness::wait_state(const std::string& label, framework::State state) {
    advance_until(fmt::format("{} is {}", label, framework::state_name(state)), [&] {
        return service(label).state == state;
    });
}

bool Harness::before(std::string_view first, std::string_view second) {
    const framework::Timeline& timeline = deployment_->timeline();
    const auto number = [&timeline](std::string_view text) {
        const Pattern pattern = pattern_of(text);
        return timeline.find(pattern.label, pattern.event, pattern.detail);
    };
    const std::uint64_t a = number(first);
    const std::uint64_t b = number(second);
    return a != 0 && b != 0 && a < b;
}

std::size_t Harness::count(std::string_view event) {
    const Pattern pattern = pattern_of(event);
    std::size_t matches = 0;
    for (const auto& entry : deployment_->timeline().events()) {
        if (entry.label != pattern.label || entry.event != pattern.event) continue;
        if (pattern.detail.empty() || entry.detail == pattern.detail) ++matches;
    }
    return matches;
}

std::string Harness::timeline_text() {
    std::string text;
    for (const auto& event : deployment_->timeline().events()) {
        text += fmt::format(
            "{:>4} {:>12} {} {} {}\n",
            event.number,
            format_duration(event.since_start),
            event.label.empty() ? "-" : event.label,
            event.event,
            event.detail
        );
    }
    return text;
}

std::uint64_t Harness::last_event() {
    const auto events = deployment_->timeline().events();
    return events.empty() ? 0 : events.back().number;
}

std::vector<std::string> Harness::log_lines() const {
    const std::scoped_lock lock(lines_->mutex);
    return lines_->lines;
}

bool Harness::logged(std::string_view part) const {
    const std::scoped_lock lock(lines_->mutex);
    return std::any_of(lines_->lines.begin(), lines_->lines.end(), [part](const auto& line) {
        return line.find(part) != std::string::npos;
    });
}

PendingResponse Harness::send(
    http::Method method,
    const std::string& address,
    const std::string& target,
    std::string body,
    http::Fields fields
) {
    http::ClientRequest request;
    request.method = method;
    request.target = target;
    request.body = std::move(body);
    request.fields = std::move(fields);
    request.timeout = std::chrono::minutes(2);
    if (address == "admin") {
        const auto admin = deployment_->admin_address();
        if (!admin) throw std::runtime_error("this deployment has no admin listener");
        request.address = *admin;
    } else {
        request.address = net::Address::parse(address).value();
    }
    const auto state = std::make_shared<PendingResponse::State>();
    asio::post(outside_->loops.at(0), [outside = outside_.get(), state, request]() mutable {
        outside->scope.spawn("request", [outside, state, request]() -> Task<> {
            auto outcome = co_await outside->client.send(request);
            const std::scoped_lock lock(state->mutex);
            state->outcome.emplace(std::move(outcome));
            state->changed.notify_all();
        });
    });
    return PendingResponse(state);
}

http::Response Harness::get(const std::string& address, const std::string& target) {
    return send(http::Method::get, address, target).get();
}

http::Response Harness::post(
    const std::string& address, const std::string& target, std::string body
) {
    return send(http::Method::post, address, target, std::move(body)).get();
}

Result<> Harness::command(const std::string& label, framework::Command command) {
    struct Outcome {
        std::mutex mutex;
        std::optional<Result<>> result;
    };
    const auto outcome = std::make_shared<Outcome>();
    deployment_->begin_command(label, command, [outcome](Result<> result) {
        const std::scoped_lock lock(outcome->mutex);
        outcome->result = std::move(result);
    });
    advance_until("the command ends", [&outcome] {
        const std::scoped_lock lock(outcome->mutex);
        return outcome->result.has_value();
    });
    return *outcome->result;
}

}  // namespace skywire::harness
