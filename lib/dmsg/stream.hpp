#pragma once

#include "crypto/keys.hpp"
#include "dmsg/address.hpp"
#include "dmsg/session.hpp"
#include "mux/session.hpp"
#include "net/stream.hpp"
#include "noise/record.hpp"

#include <functional>
#include <memory>

namespace skywire::dmsg {

/// An end-to-end encrypted stream between two keys, spec/dmsg.md sections 3 and 8. `local` and
/// `remote` are net::Addresses whose host is a key's 66 digits. There is no usable half-close: when
/// one side closes, bytes still travelling the other way may be lost.
class Stream final : public net::Stream {
 public:
    /// `keys` of the finished handshake of the two clients.
    Stream(
        const net::Context& context,
        std::unique_ptr<mux::Stream> carrier,
        const noise::TransportKeys& keys,
        const Address& local,
        const Address& remote
    );
    ~Stream() override;

    /// 0 where the peer closed. After a forged or replayed record all reads fail.
    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override;
    /// Sealed in frames of 4096 bytes, many of them handed on together. Where the peer has closed,
    /// errc::closed once the window is used up: nobody takes what is written.
    Task<Result<>> write(ByteSpan head, ByteSpan tail = {}) override;
    Task<Result<>> write_all(std::span<const ByteSpan> parts) override;
    Task<Result<>> wait_readable() override;
    void close() noexcept override;
    const net::Address& local() const noexcept override;
    const net::Address& remote() const noexcept override;

    const Address& local_address() const noexcept;
    const Address& remote_address() const noexcept;

 private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Opens a stream through a session: request, response, KK handshake. `deadline` bounds all of it.
/// Errors: Code (request and response checks), errc::timed_out, errc::closed where the other side
/// refused without a word, the mux's, noise::errc.
Task<Result<std::unique_ptr<Stream>>> open_stream(
    net::Context context,
    Session& session,
    crypto::KeyPair local,
    Address from,
    Address to,
    SteadyTime deadline
);

/// The other side of it, for a stream the session's peer opened: checks the request, and where
/// `listens` says so for its destination port, answers and gives the stream; closes it otherwise.
/// A stream that ended before its first byte, and the ping marker, are errc::closed.
Task<Result<std::unique_ptr<Stream>>> answer_stream(
    net::Context context,
    Session& session,
    std::unique_ptr<mux::Stream> carrier,
    crypto::KeyPair local,
    std::function<bool(std::uint16_t port)> listens,
    SteadyTime deadline
);

/// Asks the session's server under which address it sees us (section 14): an IP literal. Servers
/// of 2025 do not know the question: errc::closed or timed_out.
Task<Result<std::string>> look_up_ip(
    net::Context context,
    Session& session,
    crypto::KeyPair local,
    std::uint16_t from_port,
    SteadyTime deadline
);

}  // namespace skywire::dmsg
