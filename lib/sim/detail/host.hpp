#pragma once

#include "net/event.hpp"
#include "net/network.hpp"
#include "sim/options.hpp"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace skywire::sim::detail {

class Connection;
class Fabric;
class Host;

/// A listener's half that connections on their way find.
struct ListenerState : std::enable_shared_from_this<ListenerState> {
    ListenerState(const Executor& loop, Host& host_in) : host(host_in), ready(loop) {}

    Host& host;
    net::Address local;
    net::Event ready;
    std::deque<std::unique_ptr<net::Stream>> queue;
    bool accepting = false;
    bool closed = false;
};

/// A bound UDP port.
struct DatagramState {
    struct Packet {
        Bytes payload;
        net::Address from;
    };

    DatagramState(const Executor& loop, Host& host_in) : host(host_in), ready(loop) {}

    Host& host;
    net::Address local;
    net::Event ready;
    std::deque<Packet> queue;
    bool receiving = false;
    bool closed = false;
};

/// The kernel of a node: what is bound, whether it is up. What is in its tables takes itself out
/// when it closes.
class Host {
 public:
    enum class Power {
        up,
        /// Nobody answers.
        off,
        /// No process; the kernel refuses.
        vacant,
    };
    /// The bound IP address, empty for all of them, and the port.
    using Port = std::pair<std::string, std::uint16_t>;

    Host(Fabric& fabric_in, std::size_t index_in, std::string name_in, std::string ip_in)
        : fabric(fabric_in), index(index_in), name(std::move(name_in)), ip(std::move(ip_in)) {}

    bool up() const noexcept { return power == Power::up; }
    /// What is bound to this address of ours, if anything.
    ListenerState* find_listener(const std::string& to_ip, std::uint16_t port) const;
    DatagramState* find_datagram(const std::string& to_ip, std::uint16_t port) const;
    /// A port for an outgoing connection or for a bind to port 0.
    std::uint16_t next_port();

    void kill(Death death);
    void start();
    void thaw();

    Fabric& fabric;
    const std::size_t index;
    const std::string name;
    const std::string ip;
    Power power = Power::up;
    bool frozen = false;
    std::map<Port, ListenerState*> listeners;
    std::map<Port, DatagramState*> datagrams;

 private:
    std::uint16_t last_port_ = 32767;
};

/// Closes; what a listener has not handed out is reset.
void close_listener(ListenerState& listener) noexcept;
void close_datagram(DatagramState& datagram) noexcept;

/// An IP literal in one spelling; empty where it is none.
std::string literal(const std::string& host);
bool is_loopback(const std::string& ip);

}  // namespace skywire::sim::detail
