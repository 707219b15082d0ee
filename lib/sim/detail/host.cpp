#include "sim/detail/host.hpp"

#include "sim/detail/connection.hpp"
#include "sim/detail/fabric.hpp"

#include <vector>

#include <boost/asio/ip/address.hpp>

namespace skywire::sim::detail {
namespace {

// Linux' range for outgoing connections.
constexpr std::uint16_t kFirstPort = 32768;
constexpr std::uint16_t kLastPort = 60999;

template <class State>
State* find_bound(
    const std::map<Host::Port, State*>& bound, const std::string& ip, std::uint16_t port
) {
    auto found = bound.find({ip, port});
    if (found == bound.end()) found = bound.find({std::string(), port});
    return found == bound.end() ? nullptr : found->second;
}

template <class State>
void forget(std::map<Host::Port, State*>& bound, const State& state) {
    std::erase_if(bound, [&](const auto& entry) { return entry.second == &state; });
}

template <class State>
std::vector<State*> all_of(const std::map<Host::Port, State*>& bound) {
    std::vector<State*> all;
    all.reserve(bound.size());
    for (const auto& [port, state] : bound)
        all.push_back(state);
    return all;
}

}  // namespace

ListenerState* Host::find_listener(const std::string& to_ip, std::uint16_t port) const {
    return find_bound(listeners, to_ip, port);
}

DatagramState* Host::find_datagram(const std::string& to_ip, std::uint16_t port) const {
    return find_bound(datagrams, to_ip, port);
}

std::uint16_t Host::next_port() {
    const auto taken = [this](std::uint16_t port) {
        for (const auto& [bound, state] : listeners)
            if (bound.second == port) return true;
        for (const auto& [bound, state] : datagrams)
            if (bound.second == port) return true;
        return false;
    };
    do {
        last_port_ =
            last_port_ >= kLastPort ? kFirstPort : static_cast<std::uint16_t>(last_port_ + 1);
    } while (taken(last_port_));
    return last_port_;
}

void Host::kill(Death death) {
    if (!up()) return;
    fabric.add_event("killed", this);
    for (const auto& connection : fabric.connections()) {
        for (const std::size_t side : {Connection::kDialler, Connection::kAcceptor}) {
            if (&connection->end(side).host == this) connection->kill(side, death);
        }
    }
    power = death == Death::silent ? Power::off : Power::vacant;
    for (ListenerState* listener : all_of(listeners))
        close_listener(*listener);
    for (DatagramState* datagram : all_of(datagrams))
        close_datagram(*datagram);
}

void Host::start() {
    if (up()) return;
    power = Power::up;
    fabric.add_event("started", this);
    for (const auto& connection : fabric.connections()) {
        for (Host* from : fabric.hosts())
            connection->unblocked(fabric.path(*from, *this));
    }
}

void Host::thaw() {
    if (!std::exchange(frozen, false)) return;
    fabric.add_event("thawed", this);
    for (ListenerState* listener : all_of(listeners))
        listener->ready.notify();
    for (DatagramState* datagram : all_of(datagrams))
        datagram->ready.notify();
    for (const auto& connection : fabric.connections()) {
        for (const std::size_t side : {Connection::kDialler, Connection::kAcceptor}) {
            if (&connection->end(side).host == this) connection->wake(side);
        }
    }
}

void close_listener(ListenerState& listener) noexcept {
    if (std::exchange(listener.closed, true)) return;
    forget(listener.host.listeners, listener);
    listener.queue.clear();
    listener.ready.notify();
}

void close_datagram(DatagramState& datagram) noexcept {
    if (std::exchange(datagram.closed, true)) return;
    forget(datagram.host.datagrams, datagram);
    datagram.queue.clear();
    datagram.ready.notify();
}

std::string literal(const std::string& host) {
    ErrorCode ec;
    const auto address = asio::ip::make_address(host, ec);
    return ec ? std::string() : address.to_string();
}

bool is_loopback(const std::string& ip) {
    ErrorCode ec;
    const auto address = asio::ip::make_address(ip, ec);
    return !ec && address.is_loopback();
}

}  // namespace skywire::sim::detail
