#pragma once

#include "base/assert.hpp"
#include "base/test_faults.hpp"
#include "net/task.hpp"
#include "sim/node.hpp"
#include "sim/options.hpp"
#include "sim/trace.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace skywire::sim {

/// A task that can never end, or did not within its limit; the message says who waits for what.
class Stuck : public std::runtime_error {
 public:
    using std::runtime_error::runtime_error;
};

/// Many nodes on one event loop, in virtual time: the test's thread runs what is ready, and where
/// nothing is, the clock jumps to the next alarm or arrival. An hour takes as long as what happens
/// in it. The same seed gives the same run, to the last byte.
///
///     sim::World world(seed);
///     auto& server = world.node("dmsgs.example");
///     auto& client = world.node("10.0.0.1");
///     http::Server http(server.context(), router, {});
///     http.serve(server.context().network.listen(server.context().loop, server.at(80)).value());
///     world.cut(client, server, sim::Direction::backward);
///     const auto answer = world.run(ask(client.context()));
///
/// Declared before what runs in it. Destroyed by an exception (a failed REQUIRE), it prints its
/// seed, the end of its trace and who waits; SKYWIRE_SIM_TRACE=1 prints all of it in any case.
class World {
 public:
    explicit World(std::uint64_t seed, WorldOptions options = {});
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    /// The node of this name, made at its first use. An IP literal is its address; another name
    /// gets the next one of 10.0.0.0/8, and resolves to it on every node.
    Node& node(std::string_view name);
    /// Another name for a node. One name of several nodes: a dial tries them in order of addition.
    void name(std::string host, const Node& node);

    /// Runs the world until the task has ended; its result, or its exception. Throws Stuck.
    template <class T>
    T run(Task<T> task) {
        const auto value = std::make_shared<std::optional<T>>();
        run(keep(std::move(task), value));
        std::optional<T> taken = std::move(*value);
        SKY_ASSERT(taken);
        return std::move(*taken);
    }
    void run(Task<> task);

    /// Runs the world until `done()`. False: not within `limit` of virtual time, which has passed
    /// then, or nothing lies ahead that could change it.
    template <class Done>
    [[nodiscard]] bool run_until(Done done, Duration limit) {
        const SteadyTime until = clock().now() + limit;
        while (!done()) {
            if (!step(until)) return pass(until), done();
        }
        return true;
    }
    /// Lets this much time pass.
    void run_for(Duration duration);
    /// Runs what is ready without time passing.
    void settle();

    ManualClock& clock() noexcept;
    /// Since the world began.
    Duration elapsed() const noexcept;
    std::uint64_t seed() const noexcept;
    Executor loop() noexcept;
    /// The test's own source of chance: drawing from it changes no node's.
    Random& test_random() noexcept;
    TestFaults& faults() noexcept;

    /// The default of all links without options of their own; then one link, both directions; then
    /// one direction. For what is sent from now on; what is under way on a link that gets options
    /// of its own comes earlier where it would by those.
    void set_links(const LinkOptions& options);
    void set_link(const Node& a, const Node& b, const LinkOptions& options);
    void set_link_one_way(const Node& from, const Node& to, const LinkOptions& options);

    /// What is on the way and what is sent later vanishes, without a word to either end. Streams
    /// hold their bytes and deliver them after `heal`, unless they gave up (give_up_after).
    void cut(const Node& a, const Node& b, Direction direction = Direction::both);
    /// Cuts all links of a node.
    void isolate(const Node& node);
    void heal(const Node& a, const Node& b);
    /// Ends every cut and partition: what follows must converge.
    void heal();
    /// Resets every connection between two nodes, at both ends and at once.
    void reset(const Node& a, const Node& b);
    /// Partitions among all nodes that come and go until `heal()`.
    void partition(const PartitionOptions& options);

    const Trace& trace() const noexcept;
    /// A line of the test's own in the trace.
    void note(std::string text);
    /// Who waits for what: reads, writes, accepts, dials; nodes that are down or frozen, links that
    /// are cut. One per line.
    std::string waiting() const;
    /// How many connections have an end that is not closed.
    std::size_t connections() const;

 private:
    class Impl;

    /// Runs one handler, or moves on to the next moment, not past `until`; false: there is none.
    bool step(SteadyTime until);
    void pass(SteadyTime until);

    template <class T>
    static Task<> keep(Task<T> task, std::shared_ptr<std::optional<T>> into) {
        into->emplace(co_await std::move(task));
    }

    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::sim
