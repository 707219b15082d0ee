#pragma once

#include "crypto/keys.hpp"
#include "crypto/signature.hpp"
#include "net/stream.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

/// The handshake in clear text with which two visors, or a visor and the address-resolver, say who
/// they are before anything else goes over a TCP or KCP stream: spec/visor.md section 4.
///
///     dialer                          acceptor
///     get_nonce                  ->
///                                <-   {"Nonce":[16 numbers]}\n
///     {"SrcAddr":...,"Sig":..}\n ->
///                                <-   {"OK":true,"ErrMsg":""}\n
///
/// The signature covers the third line with 130 zeros in place of the signature. Each step is one
/// write, and nobody writes before it is answered. The cores do no I/O; the two functions at the
/// end drive them over a stream. Errors: errc::malformed (a line that is none, bytes out of turn),
/// out_of_range (a line that is too long), forbidden (nonce or signature wrong, the acceptor
/// refused).
namespace skywire::transport {

/// Either side's time for the whole of it, in the network.
inline constexpr std::chrono::seconds kRawHandshakeTimeout{10};
/// The port of visors inside the handshake.
inline constexpr std::uint16_t kRawHandshakePort = 45;
/// A line is about 420 bytes.
inline constexpr std::size_t kRawHandshakeLineMax = 2048;

using RawNonce = std::array<std::byte, 16>;

struct RawEndpoint {
    /// Null where a visor means the address-resolver.
    crypto::PublicKey key;
    std::uint16_t port = 0;

    bool operator==(const RawEndpoint&) const = default;
};

/// The third line.
struct RawHello {
    RawEndpoint source;
    RawEndpoint destination;
    RawNonce nonce{};
    crypto::Signature signature;

    /// With its newline.
    std::string line() const;
    /// The text that is signed.
    std::string signed_text() const;
    static Result<RawHello> parse(std::string_view line);
};

/// What a step of a core comes to.
struct RawStep {
    /// To be written now, in one write; empty: more has to be read first.
    std::string reply;
    /// After this write the handshake is over.
    bool done = false;
};

class RawAcceptor {
 public:
    /// Says whether the peer is welcome; the text of an error is sent to it.
    using Judge = std::function<Result<>(const RawHello&)>;

    RawAcceptor(RawNonce nonce, Judge judge) : nonce_(nonce), judge_(std::move(judge)) {}

    /// Takes what was read. An error: nothing is to be written any more. After `done`, `refused`
    /// says whether the peer was turned away.
    Result<RawStep> on_bytes(ByteSpan bytes);

    /// Who dialled, after `done`.
    const RawHello& hello() const noexcept { return hello_; }
    const std::optional<Error>& refused() const noexcept { return refused_; }

 private:
    Result<RawStep> on_hello(std::string_view line);

    RawNonce nonce_;
    Judge judge_;
    bool nonce_sent_ = false;
    bool done_ = false;
    std::string received_;
    RawHello hello_;
    std::optional<Error> refused_;
};

class RawDialer {
 public:
    /// `source_port` is an ephemeral number, 0 towards the address-resolver.
    RawDialer(const crypto::KeyPair& keys, std::uint16_t source_port, RawEndpoint destination);

    /// The first write.
    static constexpr std::string_view kFirst = "get_nonce";

    /// Takes what was read. errc::forbidden with the acceptor's text where it refused.
    Result<RawStep> on_bytes(ByteSpan bytes);

 private:
    crypto::SecretKey secret_key_;
    RawHello hello_;
    bool hello_sent_ = false;
    bool done_ = false;
    std::string received_;
};

/// Accepts over a stream that was just opened: who dialled. No deadline of its own. A refusal is
/// written and then answered as errc::forbidden. `stream` outlives the call.
Task<Result<RawHello>> accept_raw(net::Stream& stream, RawNonce nonce, RawAcceptor::Judge judge);

/// Dials over a stream that was just opened. No deadline of its own.
Task<Result<>> dial_raw(net::Stream& stream, RawDialer dialer);

}  // namespace skywire::transport
