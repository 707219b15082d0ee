#pragma once

#include "base/fault.hpp"
#include "net/network.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

namespace skywire::harness {

/// The machine's loopback with made-up port numbers: who listens at 127.0.0.1:9090 is really bound
/// to a free port, and who dials 127.0.0.1:9090 reaches it. Any number of deployments run beside
/// one another with the addresses of their files.
///
/// Listeners and sockets report the address they were asked for, so that timelines and answers are
/// the same in each run; datagrams between two sockets of this network carry those addresses too.
/// Dialling an address that nobody here listens at is refused, unless `pass_through` names it. Unix
/// sockets and port 0 are left alone.
///
/// Faults: "bind" and "dial" with the address as subject.
class EphemeralNetwork final : public net::Network {
 public:
    explicit EphemeralNetwork(Faults& faults);
    ~EphemeralNetwork() override;

    Result<std::unique_ptr<net::Listener>> listen(Executor loop, const net::Address& address)
        override;
    Task<Result<std::unique_ptr<net::Stream>>> dial(Executor loop, net::Address address) override;
    Result<std::unique_ptr<net::Datagram>> bind_udp(Executor loop, const net::Address& address)
        override;

    /// Where the listener at this address can be reached by others than this network; nothing where
    /// there is none now.
    std::optional<net::Address> real_address(const std::string& address) const;
    /// The same of a UDP socket.
    std::optional<net::Address> real_udp_address(const std::string& address) const;

    /// Lets dials of a real address out: a server that the test itself has started.
    void pass_through(const net::Address& address);

    /// The addresses TCP is listened at now, as they were asked for.
    std::set<std::string> listening() const;

 private:
    class Table;
    class Mapping;
    class MappedListener;
    class MappedDatagram;

    Faults& faults_;
    net::SystemNetwork system_;
    /// Shared with listeners and sockets, which may outlive the network.
    std::shared_ptr<Table> tcp_;
    std::shared_ptr<Table> udp_;
    mutable std::mutex mutex_;
    std::set<net::Address> passing_;
};

}  // namespace skywire::harness
