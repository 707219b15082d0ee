#pragma once

#include "net/stream.hpp"

#include <memory>
#include <span>

namespace skywire::net {

/// Accepts streams at one address. Used on one event loop.
class Listener {
 public:
    virtual ~Listener() = default;

    /// The next stream, on the listener's own loop. Errors: errc::closed after `close`; others
    /// (descriptors exhausted) are temporary, and the caller pauses and goes on.
    virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;

    /// The same, but the stream belongs to `loop`: hand it over by posting it there. A listener
    /// that cannot do so gives its own loop's.
    virtual Task<Result<std::unique_ptr<Stream>>> accept_on(Executor) { return accept(); }

    /// The bound address: the real port where 0 was asked for.
    virtual const Address& local() const noexcept = 0;

    /// Stops listening. Who had connected already is still accepted, then comes errc::closed; whom
    /// nobody accepts any more is hung up on when the listener dies. Idempotent.
    virtual void close() noexcept = 0;
};

/// A UDP socket. Used on one event loop.
class Datagram {
 public:
    virtual ~Datagram() = default;

    struct Received {
        std::size_t size = 0;
        Address from;
    };

    /// One datagram; what does not fit into `into` is cut off.
    virtual Task<Result<Received>> receive(std::span<std::byte> into) = 0;

    /// Hands one datagram to the kernel; `to` has an IP literal as its host.
    virtual Task<Result<>> send(ByteSpan payload, const Address& to) = 0;

    virtual const Address& local() const noexcept = 0;
    virtual void close() noexcept = 0;
};

/// Listeners, dialers and sockets, so that a test can hand in others. Safe to call from any thread;
/// what it makes belongs to the event loop named in the call.
class Network {
 public:
    virtual ~Network() = default;

    /// Binds and listens. The message of a failure names the address and, where the system tells,
    /// the process that holds it.
    virtual Result<std::unique_ptr<Listener>> listen(Executor loop, const Address& address) = 0;

    /// Resolves and connects, trying all addresses of a name. No deadline of its own.
    virtual Task<Result<std::unique_ptr<Stream>>> dial(Executor loop, Address address) = 0;

    /// Binds a UDP socket to an IP literal.
    virtual Result<std::unique_ptr<Datagram>> bind_udp(Executor loop, const Address& address) = 0;
};

/// The machine's network.
class SystemNetwork final : public Network {
 public:
    Result<std::unique_ptr<Listener>> listen(Executor loop, const Address& address) override;
    Task<Result<std::unique_ptr<Stream>>> dial(Executor loop, Address address) override;
    Result<std::unique_ptr<Datagram>> bind_udp(Executor loop, const Address& address) override;
};

/// Two ends of a stream inside one event loop, for tests and for protocols carried in protocols.
/// Each direction holds at most `buffer_bytes`; a writer waits while it is full.
std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> make_pipe(
    Executor loop, std::size_t buffer_bytes = 65536
);

}  // namespace skywire::net
