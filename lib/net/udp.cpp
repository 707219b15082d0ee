// UDP sockets of the machine.

#include "net/endpoint.hpp"
#include "net/network.hpp"
#include "net/port_owner.hpp"

#include <cerrno>

#include <boost/asio/basic_datagram_socket.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <fmt/format.h>
#include <sys/socket.h>

namespace skywire::net {
namespace {

using Udp = asio::ip::udp;

class SocketDatagram final : public Datagram {
 public:
    using Socket = asio::basic_datagram_socket<Udp, Executor>;

    SocketDatagram(Socket socket, Address local, bool v6)
        : socket_(std::move(socket)), local_(std::move(local)), v6_(v6) {}
    ~SocketDatagram() override { SocketDatagram::close(); }
    SocketDatagram(const SocketDatagram&) = delete;
    SocketDatagram& operator=(const SocketDatagram&) = delete;

    Task<Result<Received>> receive(std::span<std::byte> into) override {
        if (closed_) co_return fail(errc::closed, {});
        Udp::endpoint from;
        const auto [ec, size] = co_await socket_.async_receive_from(
            asio::buffer(into.data(), into.size()), from, use_tuple
        );
        if (ec) co_return detail::operation_error(ec, closed_);
        Received received;
        received.size = size;
        received.from = detail::to_address(from.address(), from.port());
        co_return received;
    }

    Task<Result<>> send(ByteSpan payload, const Address& to) override {
        ErrorCode bad;
        auto host = asio::ip::make_address(to.host, bad);
        if (bad || to.kind != Address::Kind::tcp) {
            co_return fail(
                errc::malformed, fmt::format("send to {}: not an IP literal", to.to_string())
            );
        }
        if (v6_) host = detail::mapped(host);
        const Udp::endpoint endpoint(host, to.port);
        while (true) {
            if (closed_) co_return fail(errc::closed, {});
            const ssize_t size = ::sendto(
                socket_.native_handle(),
                payload.data(),
                payload.size(),
                MSG_DONTWAIT | MSG_NOSIGNAL,
                endpoint.data(),
                static_cast<socklen_t>(endpoint.size())
            );
            if (size >= 0) co_return Result<>();
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) co_return Error(detail::last_error());
            const auto [ec] = co_await socket_.async_wait(Socket::wait_write, use_tuple);
            if (ec) co_return detail::operation_error(ec, closed_);
        }
    }

    const Address& local() const noexcept override { return local_; }

    void close() noexcept override {
        if (closed_) return;
        closed_ = true;
        ErrorCode ignored;
        socket_.close(ignored);
    }

 private:
    Socket socket_;
    Address local_;
    bool v6_;
    bool closed_ = false;
};

Error bind_error(const Address& address, const ErrorCode& ec, std::string_view detail) {
    return {ec, fmt::format("bind udp {}: {}{}", address.to_string(), ec.message(), detail)};
}

ErrorCode open_udp(SocketDatagram::Socket& socket, const Udp::endpoint& endpoint, bool dual_stack) {
    ErrorCode ec;
    socket.open(endpoint.protocol(), ec);
    if (ec) return ec;
    if (endpoint.address().is_v6()) socket.set_option(asio::ip::v6_only(!dual_stack), ec);
    if (!ec) socket.bind(endpoint, ec);
    if (ec) {
        ErrorCode ignored;
        socket.close(ignored);
    }
    return ec;
}

}  // namespace

Result<std::unique_ptr<Datagram>> SystemNetwork::bind_udp(Executor loop, const Address& address) {
    if (address.kind != Address::Kind::tcp) {
        return fail(errc::unsupported, "bind udp " + address.to_string() + ": not an IP address");
    }
    SocketDatagram::Socket socket(std::move(loop));
    asio::ip::address bound = asio::ip::address_v6::any();
    ErrorCode ec;
    if (address.host.empty()) {
        ec = open_udp(socket, {bound, address.port}, /*dual_stack=*/true);
        if (ec == asio::error::address_family_not_supported ||
            ec == boost::system::errc::address_not_available) {
            bound = asio::ip::address_v4::any();
            ec = open_udp(socket, {bound, address.port}, /*dual_stack=*/false);
        }
    } else {
        const auto addresses = detail::literals(address.host);
        if (addresses.empty()) {
            return fail(errc::malformed, "bind udp " + address.to_string() + ": not an IP literal");
        }
        bound = addresses.front();
        ec = open_udp(socket, {bound, address.port}, /*dual_stack=*/false);
    }
    if (ec == asio::error::address_in_use) {
        return bind_error(address, ec, describe_port_owner(PortKind::udp, bound, address.port));
    }
    if (ec) return bind_error(address, ec, {});
    const auto local = socket.local_endpoint(ec);
    if (ec) return bind_error(address, ec, {});
    Address shown = detail::to_address(local.address(), local.port());
    if (address.host.empty()) shown.host.clear();
    return std::make_unique<SocketDatagram>(std::move(socket), std::move(shown), bound.is_v6());
}

}  // namespace skywire::net
