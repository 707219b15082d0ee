#include "sim/world.hpp"

#include "net/deadline.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "sim/test.hpp"

#include <cstdlib>

using namespace skywire;
using namespace skywire::sim;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

/// Nodes that dial each other, write, lose, reset: a bit of everything.
class Bustle {
 public:
    explicit Bustle(std::uint64_t seed) : world_(seed), scope_(world_.loop()) {
        LinkOptions links = LinkOptions::rough();
        links.bytes_per_second = 1'000'000;
        world_.set_links(links);
        for (int i = 0; i < 6; ++i)
            nodes_.push_back(&world_.node("node" + std::to_string(i)));
        for (Node* node : nodes_)
            scope_.spawn("serve", [this, node] { return serve(*node); });
        for (Node* node : nodes_)
            scope_.spawn("chatter", [this, node] { return chatter(*node); });
        PartitionOptions partitions;
        partitions.partition_probability = 0.3;
        world_.partition(partitions);
    }
    ~Bustle() {
        const auto now = world_.clock().now();
        world_.run(scope_.close(world_.clock(), now, now + 1min));
    }

    World& world() { return world_; }

 private:
    Task<> serve(Node& node) {
        auto listener = node.context().network.listen(world_.loop(), node.at(80)).value();
        while (true) {
            auto stream = co_await listener->accept();
            if (!stream) co_return;
            const auto size =
                co_await node.context().workers.run([]() -> Result<int> { return 1000; });
            Bytes bytes(static_cast<std::size_t>(*size));
            node.context().random.fill(bytes);
            co_await (*stream)->write(bytes);
        }
    }

    Task<> chatter(Node& node) {
        const auto& context = node.context();
        while (true) {
            Node& peer = *nodes_[context.random.below(nodes_.size())];
            auto stream = co_await net::with_deadline(
                context.clock,
                context.clock.now() + 3s,
                context.network.dial(world_.loop(), peer.at(80))
            );
            std::size_t sum = 0;
            Bytes buffer(700);
            while (stream) {
                const auto size = co_await (*stream)->read_some(buffer);
                if (!size || *size == 0) break;
                sum += *size;
            }
            log::info(context.logger, "chatter", log::kv("bytes", sum));
            const auto pause = Duration(context.random.below(1'000'000'000));
            if (!co_await net::sleep_for(context.clock, pause)) co_return;
        }
    }

    World world_;
    std::vector<Node*> nodes_;
    net::Scope scope_;
};

Task<int> wait_for(Clock& clock, Duration duration) {
    co_await net::sleep_for(clock, duration);
    co_return 7;
}

}  // namespace

TEST_CASE("world: an hour passes at once") {
    World world(1);
    CHECK(world.run(wait_for(world.node("a").context().clock, 59min)) == 7);
    CHECK(world.elapsed() == 59min);
    world.run_for(30s);
    CHECK(world.elapsed() == 59min + 30s);
    CHECK_FALSE(world.run_until([] { return false; }, 1h));
    CHECK(world.elapsed() == 1h + 59min + 30s);
}

TEST_CASE("world: the same seed gives the same run, another seed another one") {
    const auto digest = [](std::uint64_t seed) {
        Bustle bustle(seed);
        bustle.world().run_for(5min);
        CHECK(bustle.world().trace().count() > 1000);
        return bustle.world().trace().digest();
    };
    CHECK(digest(1) != digest(2));
    for_each_seed(3, [&](std::uint64_t seed) { CHECK(digest(seed) == digest(seed)); });
}

TEST_CASE("world: what can never come is told, with who waits for it") {
    World world(1);
    Node& server = world.node("server");
    auto listener = server.context().network.listen(world.loop(), server.at(80)).value();
    const auto work = [&]() -> Task<> { co_await listener->accept(); };
    CHECK_THROWS_WITH(
        world.run(work()),
        Contains("waits for what can never come") && Contains("seed 1") &&
            Contains("server accepts on 10.0.0.1:80")
    );
}

TEST_CASE("world: a task that takes longer than its limit is told") {
    WorldOptions options;
    options.run_limit = 1min;
    World world(1, options);
    CHECK_THROWS_WITH(world.run(wait_for(world.clock(), 61s)), Contains("has not ended in time"));
}

TEST_CASE("world: an exception of the task comes through") {
    World world(1);
    const auto work = []() -> Task<> {
        throw std::runtime_error("thrown by the task");
        co_return;
    };
    CHECK_THROWS_WITH(world.run(work()), "thrown by the task");
}

TEST_CASE("world: coroutines that never end go with the world") {
    std::unique_ptr<net::Stream> kept;
    {
        World world(1);
        Node& a = world.node("a");
        Node& b = world.node("b");
        auto listener = b.context().network.listen(world.loop(), b.at(80)).value();
        const auto hang = [](Node& from, net::Address to) -> Task<> {
            auto stream = co_await from.context().network.dial(from.context().loop, to);
            Bytes buffer(10);
            co_await (*stream)->read_some(buffer);
            co_await net::sleep_for(from.context().clock, 1h);
        };
        asio::co_spawn(world.loop(), hang(a, b.at(80)), [](std::exception_ptr) {});
        world.run_for(1s);
        CHECK_THAT(world.waiting(), Contains("a reads from b #1"));
    }
}

TEST_CASE("world: work of the pool takes no virtual time and is done at once") {
    World world(1);
    const auto& context = world.node("a").context();
    int order = 0;
    const auto work = [&]() -> Task<int> {
        int sum = 0;
        for (int i = 0; i < 100; ++i) {
            const auto result = co_await context.workers.run([i]() -> Result<int> { return i; });
            sum += *result;
        }
        order = 1;
        co_return sum;
    };
    CHECK(world.run(work()) == 4950);
    CHECK(order == 1);
    CHECK(world.elapsed() == Duration(0));
}

TEST_CASE("world: nodes have addresses, names, metrics, chance and calendars of their own") {
    World world(1);
    Node& a = world.node("a.example");
    Node& b = world.node("10.0.0.2");
    Node& c = world.node("c.example");
    CHECK(a.ip() == "10.0.0.1");
    CHECK(c.ip() == "10.0.0.3");
    CHECK(&world.node("a.example") == &a);
    CHECK(&world.node("10.0.0.1") == &a);
    CHECK(&world.node("10.0.0.2") == &b);
    CHECK(b.name() == "10.0.0.2");
    CHECK(a.context().random.next_u64() != b.context().random.next_u64());
    a.set_wall_skew(-90s);
    CHECK(a.context().clock.wall() == world.clock().wall() - 90s);
    CHECK(a.context().clock.now() == b.context().clock.now());
    a.context().metrics.counter("n", "").add();
    CHECK(a.metrics().counter("n", "").value() == 1);
    CHECK(b.metrics().counter("n", "").value() == 0);
}

TEST_CASE("world: faults of a test, log lines and notes in the trace") {
    World world(1);
    Node& a = world.node("a");
    world.faults().set("store", "x", 1);
    CHECK(a.context().faults.check("store", "x").error() == make_error_code(errc::injected));
    CHECK(a.context().faults.check("store", "x"));
    log::warn(a.context().logger, "something.happens", log::kv("n", 3));
    log::trace(a.context().logger, "too.fine");
    world.note("half time");
    CHECK(
        world.trace().to_string() ==
        "   0.000000000 a logs warn something.happens n=3\n   0.000000000  note: half time\n"
    );
    CHECK(world.trace().to_string(1) == "(1 earlier events)\n   0.000000000  note: half time\n");
}

TEST_CASE("world: a frozen node takes no alarm before it is thawed") {
    World world(1);
    Node& a = world.node("a");
    bool woken = false;
    const auto sleeper = [&]() -> Task<> {
        woken = co_await net::sleep_for(a.context().clock, 1s);
    };
    net::Scope scope(world.loop());
    scope.spawn("sleeper", sleeper);
    a.freeze();
    CHECK_FALSE(world.run_until([&] { return woken; }, 10s));
    a.thaw();
    world.settle();
    CHECK(woken);
    CHECK(scope.size() == 0);
}

TEST_CASE("seeds: one from the environment alone, or fixed and fresh ones") {
    if (std::getenv("SKYWIRE_SIM_SEED") == nullptr && std::getenv("SKYWIRE_SIM_RUNS") == nullptr) {
        CHECK(seeds(3) == std::vector<std::uint64_t>{1, 2, 3});
        ::setenv("SKYWIRE_SIM_RUNS", "2", 1);
        CHECK(seeds(3).size() == 5);
        ::setenv("SKYWIRE_SIM_FROM", "100", 1);
        CHECK(seeds(3) == std::vector<std::uint64_t>{1, 2, 3, 100, 101});
        ::unsetenv("SKYWIRE_SIM_FROM");
        ::setenv("SKYWIRE_SIM_SEED", "77", 1);
        CHECK(seeds(3) == std::vector<std::uint64_t>{77});
        ::setenv("SKYWIRE_SIM_SEED", "x7", 1);
        CHECK_THROWS_WITH(seeds(3), "SKYWIRE_SIM_SEED=x7 is not a number");
        ::unsetenv("SKYWIRE_SIM_SEED");
        ::unsetenv("SKYWIRE_SIM_RUNS");
    }
}
