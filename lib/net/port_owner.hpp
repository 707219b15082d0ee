#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <boost/asio/ip/address.hpp>

namespace skywire::net {

/// A process that holds a port, as /proc shows it.
struct PortOwner {
    int pid = 0;
    /// Its name as the kernel knows it (at most 15 bytes), escaped and in quotes.
    std::string command;
};

enum class PortKind { tcp_listener, udp };

/// Who holds a local port, for the message of a failed bind. Empty where /proc does not tell:
/// another user's process, another container, not Linux. Reads all of /proc: not on a data path.
std::optional<PortOwner> find_port_owner(
    PortKind kind, const boost::asio::ip::address& address, std::uint16_t port
);

/// " (held by process 4711, "nginx")", or nothing.
std::string describe_port_owner(
    PortKind kind, const boost::asio::ip::address& address, std::uint16_t port
);

/// The same form for a process known by its number.
std::string describe_process(int pid);

}  // namespace skywire::net
