#include "sim/world.hpp"

#include "base/random.hpp"
#include "sim/detail/connection.hpp"
#include "sim/detail/fabric.hpp"
#include "sim/detail/host.hpp"
#include "sim/detail/worker_gate.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <fmt/format.h>

namespace skywire::sim {
namespace {

constexpr std::size_t kJobsMax = 1000;
// Handlers at one moment of virtual time: more is a loop that never waits.
constexpr std::uint64_t kHandlersMax = 20'000'000;
constexpr std::size_t kPrintedLines = 200;

/// Seeds that have nothing to do with each other (splitmix64).
std::uint64_t derive(std::uint64_t seed, std::uint64_t index) {
    std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

bool wants_trace() {
    const char* const wanted = std::getenv("SKYWIRE_SIM_TRACE");
    return wanted != nullptr && *wanted != '\0' && *wanted != '0';
}

/// Who wants to see the trace wants to see all of it.
WorldOptions with_trace(WorldOptions options) {
    if (wants_trace()) options.trace_events_max = SIZE_MAX;
    return options;
}

}  // namespace

LinkOptions LinkOptions::rough() {
    using std::chrono::milliseconds;
    LinkOptions options;
    options.one_way_delay_min = milliseconds(5);
    options.one_way_delay_mean = milliseconds(50);
    options.packet_loss_probability = 0.02;
    options.packet_replay_probability = 0.02;
    options.path_clog_probability = 0.002;
    options.path_clog_duration_mean = milliseconds(500);
    options.segment_bytes_max = 1460;
    options.fragment_probability = 0.3;
    return options;
}

class World::Impl {
 public:
    Impl(std::uint64_t seed_in, const WorldOptions& options_in)
        : options(with_trace(options_in)),
          seed(seed_in),
          test_random(derive(seed, 0)),
          fabric(derive(seed, 1), clock, ioc->get_executor(), options) {}

    ~Impl() {
        // What hangs on the loop goes before it, what coroutines that never ended refer to after.
        fabric.shut_down();
        workers.reset();
        busy.reset();
        ioc.reset();
    }

    Node& make_node(std::string name, std::string ip, Faults& test_faults) {
        auto host =
            std::make_unique<detail::Host>(fabric, nodes.size(), std::move(name), std::move(ip));
        const std::uint64_t node_seed = derive(seed, 2 + nodes.size());
        nodes.push_back(std::unique_ptr<Node>(new Node(
            fabric,
            std::move(host),
            node_seed,
            ioc->get_executor(),
            workers->pool(),
            test_faults,
            options.log_level
        )));
        return *nodes.back();
    }

    std::string next_ip() {
        while (true) {
            const std::uint32_t n = ++ips_made;
            std::string ip = fmt::format("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
            if (fabric.host_at(ip) == nullptr) return ip;
        }
    }

    std::string report() const {
        return fmt::format(
            "seed {}, after {} of virtual time\n{}",
            seed,
            format_duration(clock.now() - SteadyTime()),
            fabric.waiting()
        );
    }

    WorldOptions options;
    std::uint64_t seed;
    int exceptions = std::uncaught_exceptions();
    ManualClock clock;
    SeededRandom test_random;
    TestFaults faults;
    std::unique_ptr<asio::io_context> ioc = std::make_unique<asio::io_context>(1);
    using Guard = asio::executor_work_guard<asio::io_context::executor_type>;
    std::unique_ptr<Guard> busy = std::make_unique<Guard>(ioc->get_executor());
    detail::Fabric fabric;
    std::unique_ptr<detail::WorkerGate> workers = std::make_unique<detail::WorkerGate>(kJobsMax);
    std::vector<std::unique_ptr<Node>> nodes;
    std::uint32_t ips_made = 0;
    /// Handlers since time last moved.
    std::uint64_t handlers = 0;
};

World::World(std::uint64_t seed, WorldOptions options)
    : impl_(std::make_unique<Impl>(seed, options)) {}

World::~World() {
    const bool all = wants_trace();
    const bool failed = std::uncaught_exceptions() > impl_->exceptions;
    if (!failed && !all) return;
    const std::string events = trace().to_string(all ? SIZE_MAX : kPrintedLines);
    const std::string text = "\nsimulation: " + impl_->report() + events;
    std::fputs(text.c_str(), stderr);
}

Node& World::node(std::string_view name) {
    const std::string wanted(name);
    const std::string ip = detail::literal(wanted);
    if (!ip.empty()) {
        const detail::Host* known = impl_->fabric.host_at(ip);
        return known != nullptr ? *impl_->nodes[known->index]
                                : impl_->make_node(ip, ip, impl_->faults);
    }
    const auto named = impl_->fabric.resolve(wanted);
    if (!named.empty()) return *impl_->nodes[named.front()->index];
    return impl_->make_node(wanted, impl_->next_ip(), impl_->faults);
}

void World::name(std::string host, const Node& node) {
    impl_->fabric.add_name(std::move(host), *node.host_);
}

void World::run(Task<> task) {
    struct End {
        std::exception_ptr error;
        bool reached = false;
    };
    const auto end = std::make_shared<End>();
    asio::co_spawn(*impl_->ioc, std::move(task), [end](std::exception_ptr error) {
        end->error = std::move(error);
        end->reached = true;
    });
    const SteadyTime until = clock().now() + impl_->options.run_limit;
    while (!end->reached) {
        if (step(until)) continue;
        const bool dead =
            std::min(clock().next_alarm(), impl_->fabric.next_event()) == SteadyTime::max();
        throw Stuck(fmt::format(
            "the task {}: {}",
            dead ? "waits for what can never come" : "has not ended in time",
            impl_->report()
        ));
    }
    if (end->error) std::rethrow_exception(end->error);
}

bool World::step(SteadyTime until) {
    if (impl_->ioc->poll_one() > 0) {
        impl_->workers->run_jobs();
        if (++impl_->handlers < kHandlersMax) return true;
        throw Stuck("a loop that never waits: " + impl_->report());
    }
    const SteadyTime next = std::min(clock().next_alarm(), impl_->fabric.next_event());
    if (next > until) return false;
    pass(next);
    return true;
}

void World::pass(SteadyTime until) {
    impl_->handlers = 0;
    clock().advance(std::max(until - clock().now(), Duration(0)));
    impl_->fabric.run_due();
}

void World::run_for(Duration duration) {
    const SteadyTime until = clock().now() + duration;
    while (step(until)) {
    }
    pass(until);
}

void World::settle() {
    run_for(Duration(0));
}

ManualClock& World::clock() noexcept {
    return impl_->clock;
}

Duration World::elapsed() const noexcept {
    return impl_->clock.now() - SteadyTime();
}

std::uint64_t World::seed() const noexcept {
    return impl_->seed;
}

Executor World::loop() noexcept {
    return impl_->ioc->get_executor();
}

Random& World::test_random() noexcept {
    return impl_->test_random;
}

TestFaults& World::faults() noexcept {
    return impl_->faults;
}

void World::set_links(const LinkOptions& options) {
    impl_->fabric.set_links(options);
}

void World::set_link(const Node& a, const Node& b, const LinkOptions& options) {
    set_link_one_way(a, b, options);
    set_link_one_way(b, a, options);
}

void World::set_link_one_way(const Node& from, const Node& to, const LinkOptions& options) {
    impl_->fabric.set_link(impl_->fabric.path(*from.host_, *to.host_), options);
}

void World::cut(const Node& a, const Node& b, Direction direction) {
    if (direction != Direction::backward) impl_->fabric.set_cut(*a.host_, *b.host_, true);
    if (direction != Direction::forward) impl_->fabric.set_cut(*b.host_, *a.host_, true);
}

void World::isolate(const Node& node) {
    for (const auto& other : impl_->nodes) {
        if (other.get() != &node) cut(node, *other);
    }
}

void World::heal(const Node& a, const Node& b) {
    impl_->fabric.set_cut(*a.host_, *b.host_, false);
    impl_->fabric.set_cut(*b.host_, *a.host_, false);
}

void World::heal() {
    impl_->fabric.heal_all();
}

void World::reset(const Node& a, const Node& b) {
    const auto ec = asio::error::make_error_code(asio::error::connection_reset);
    for (const auto& connection : impl_->fabric.connections()) {
        if (!connection->between(*a.host_, *b.host_)) continue;
        connection->fail_end(detail::Connection::kDialler, ec);
        connection->fail_end(detail::Connection::kAcceptor, ec);
    }
}

void World::partition(const PartitionOptions& options) {
    impl_->fabric.start_partitions(options);
}

const Trace& World::trace() const noexcept {
    return impl_->fabric.trace();
}

void World::note(std::string text) {
    impl_->fabric.add_event("note:", nullptr, nullptr, 0, 0, std::move(text));
}

std::string World::waiting() const {
    return impl_->fabric.waiting();
}

std::size_t World::connections() const {
    const auto all = impl_->fabric.connections();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const auto& one) {
        const auto open = [&](std::size_t side) {
            const auto& end = one->end(side);
            return !end.closed && !end.dead && !end.failure;
        };
        return open(detail::Connection::kDialler) || open(detail::Connection::kAcceptor);
    }));
}

}  // namespace skywire::sim
