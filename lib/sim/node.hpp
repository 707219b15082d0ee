#pragma once

#include "base/metrics.hpp"
#include "net/context.hpp"
#include "sim/options.hpp"

#include <memory>
#include <string>

namespace skywire::sim {

namespace detail {
class Fabric;
class Host;
class NodeClock;
class NodeLog;
}  // namespace detail

/// A machine of a simulated world: its address, and the Context with which code runs on it. Made by
/// World::node; lives as long as the world.
class Node {
 public:
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    ~Node();

    const std::string& name() const noexcept;
    /// Its one IP address, as text. 127.0.0.1 and ::1 are the node itself, too.
    const std::string& ip() const noexcept;
    net::Address at(std::uint16_t port) const;

    /// For what runs on this node: its view of the network and of the time, its own random stream,
    /// its own metrics, and a logger that writes into the world's trace.
    const net::Context& context() const noexcept;
    MetricRegistry& metrics() noexcept;

    /// The node goes: its listeners, connections and sockets are closed as seen from inside, what
    /// others see is said at Death. Objects of the test stay and are to be destroyed; what they try
    /// fails with errc::unavailable.
    void kill(Death death = Death::silent);
    /// Brings a killed node back, with nothing of what it had open.
    void start();
    bool alive() const noexcept;

    /// Stops the process (SIGSTOP): no alarm, byte, connection or datagram reaches its code before
    /// `thaw`, while its kernel goes on taking them. Code that a test calls itself runs all the
    /// same.
    void freeze();
    void thaw();

    /// Its calendar time runs ahead of the world's by this much (negative: behind).
    void set_wall_skew(Duration skew);

 private:
    friend class World;

    Node(
        detail::Fabric& fabric,
        std::unique_ptr<detail::Host> host,
        std::uint64_t seed,
        Executor loop,
        net::WorkerPool& workers,
        Faults& faults,
        log::Level log_level
    );

    std::unique_ptr<detail::Host> host_;
    std::unique_ptr<detail::NodeClock> clock_;
    std::unique_ptr<detail::NodeLog> log_;
    std::unique_ptr<net::Network> network_;
    SeededRandom random_;
    MetricRegistry metrics_;
    std::unique_ptr<net::Context> context_;
};

}  // namespace skywire::sim
