#pragma once

#include "net/network.hpp"
#include "sim/detail/host.hpp"

namespace skywire::sim::detail {

/// A host's view of the simulated network.
class HostNetwork final : public net::Network {
 public:
    HostNetwork(Host& host, Clock& clock) : host_(host), clock_(clock) {}

    Result<std::unique_ptr<net::Listener>> listen(Executor loop, const net::Address& address)
        override;
    Task<Result<std::unique_ptr<net::Stream>>> dial(Executor loop, net::Address address) override;
    Result<std::unique_ptr<net::Datagram>> bind_udp(Executor loop, const net::Address& address)
        override;

 private:
    struct Target {
        Host* host = nullptr;
        std::string ip;
    };

    Result<Host::Port> bindable(const net::Address& address) const;
    Result<std::vector<Target>> targets(const std::string& host) const;
    Task<Result<std::unique_ptr<net::Stream>>> connect(Target target, std::uint16_t port);

    Host& host_;
    /// The host's: it stands still for a frozen one.
    Clock& clock_;
};

std::unique_ptr<net::Listener> make_listener(std::shared_ptr<ListenerState> state);
std::unique_ptr<net::Datagram> make_datagram(std::shared_ptr<DatagramState> state);

}  // namespace skywire::sim::detail
