#pragma once

#include "net/address.hpp"

#include <cerrno>
#include <cstdint>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace skywire::net {

/// A TCP port of 127.0.0.1 that the system gives to no other program while this lives, whether the
/// test listens there just now or not. Who dials it meanwhile is refused. Listeners that are to
/// stand there have SO_REUSEADDR, as a Network's and a redis-server's do.
class TestPort {
 public:
    TestPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (socket_ < 0)
            throw std::system_error(errno, std::generic_category(), "no socket for a test");
        const int yes = 1;
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const any = reinterpret_cast<sockaddr*>(&address);
        // Bound, and never listened at: that is what keeps the number.
        if (::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
            ::bind(socket_, any, size) != 0 || ::getsockname(socket_, any, &size) != 0) {
            const int failure = errno;
            ::close(socket_);
            throw std::system_error(failure, std::generic_category(), "no port for a test");
        }
        number_ = ntohs(address.sin_port);
    }
    ~TestPort() { ::close(socket_); }
    TestPort(const TestPort&) = delete;
    TestPort& operator=(const TestPort&) = delete;

    std::uint16_t number() const noexcept { return number_; }
    Address address() const { return Address::tcp("127.0.0.1", number_); }

 private:
    int socket_;
    std::uint16_t number_ = 0;
};

/// Why another program does not get this port of 127.0.0.1, an errno; 0: it does.
inline int bind_error(std::uint16_t port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket < 0) return errno;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* const at = reinterpret_cast<const sockaddr*>(&address);
    const int error = ::bind(socket, at, sizeof address) == 0 ? 0 : errno;
    ::close(socket);
    return error;
}

}  // namespace skywire::net
