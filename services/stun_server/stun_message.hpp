#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

/// STUN as the network's clients use it: the classic test (RFC 3489) in messages of RFC 5389, IPv4
/// over UDP. A server has four sockets, two addresses by two ports; a request may ask to be
/// answered from another address, another port or both. From what arrives the client learns what
/// kind of NAT it sits behind. Format: spec/services-http.md section 10. Nothing here does I/O.
namespace skywire::stun {

/// Why a datagram is not what was looked for. A server drops it in silence and counts the reason.
enum class errc {
    ok = 0,
    /// Shorter than a header.
    too_short,
    /// Not a binding request (or, for a client, not its success answer).
    wrong_type,
    /// The header, or an attribute of an answer, claims more bytes than there are.
    wrong_length,
    /// An answer's FINGERPRINT does not fit its bytes.
    wrong_fingerprint,
    /// An answer names no address of the client.
    no_mapped_address,
};

const boost::system::error_category& stun_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(errc code) noexcept;

struct Endpoint {
    std::array<std::uint8_t, 4> ip{};
    std::uint16_t port = 0;

    auto operator<=>(const Endpoint&) const = default;
};

/// "192.0.2.1:3478".
std::string to_string(const Endpoint& endpoint);

/// Chosen by the client; the first four bytes are the magic cookie in messages of RFC 5389. A
/// server sends it back as it came.
using TransactionId = std::array<std::byte, 16>;

struct BindingRequest {
    TransactionId transaction_id{};
    bool change_ip = false;
    bool change_port = false;
};

/// One of the server's four sockets.
struct Socket {
    bool second_ip = false;
    bool second_port = false;

    /// 0 to 3.
    std::size_t index() const noexcept {
        return (second_ip ? std::size_t{2} : 0) + (second_port ? std::size_t{1} : 0);
    }
    bool operator==(const Socket&) const = default;
};

/// Where the four sockets can be reached.
struct ServerAddresses {
    std::array<std::array<std::uint8_t, 4>, 2> ips{};
    std::array<std::uint16_t, 2> ports{};

    Endpoint of(Socket socket) const noexcept {
        return {ips[socket.second_ip ? 1 : 0], ports[socket.second_port ? 1 : 0]};
    }
};

inline constexpr std::size_t kAnswerSize = 116;

struct Answer {
    /// The socket it must leave from.
    Socket from;
    std::array<std::byte, kAnswerSize> datagram{};
};

/// Reads a binding request of at least 20 bytes. Cookie, FINGERPRINT and unknown attributes are not
/// looked at, and a damaged attribute ends the list. errc::too_short, wrong_type, wrong_length.
Result<BindingRequest> parse_request(ByteSpan datagram);

/// The answer to `request`, which came from `client` to the socket `received_on`.
Answer make_answer(
    const BindingRequest& request,
    const ServerAddresses& server,
    Socket received_on,
    const Endpoint& client
);

/// What a client of the network sends: SOFTWARE, CHANGE-REQUEST where a flag is set, FINGERPRINT.
/// Start the transaction id with the cookie (`new_transaction_id`).
Bytes build_request(const BindingRequest& request);

/// The magic cookie followed by the twelve bytes.
TransactionId new_transaction_id(const std::array<std::byte, 12>& random_bytes);

/// An answer as a client reads it.
struct BindingResponse {
    TransactionId transaction_id{};
    /// Where the server saw the request come from.
    Endpoint mapped;
    /// Where the server says it answered from.
    std::optional<Endpoint> source;
    /// The server's other address and port.
    std::optional<Endpoint> other;
    std::string software;
};

/// errc::too_short, wrong_type, wrong_length, wrong_fingerprint, no_mapped_address. The caller
/// compares the transaction id with its own.
Result<BindingResponse> parse_response(ByteSpan datagram);

}  // namespace skywire::stun

template <>
struct boost::system::is_error_code_enum<skywire::stun::errc> : std::true_type {};
