#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace skywire::dmsg {

/// Why a session or a stream failed. The numbers travel in refusals, and each `message()` is the
/// network's own: "dmsg error 306 - request has no associated listener". spec/dmsg.md section 8.
/// What the discovery refuses with is `errc` (error.hpp).
enum class Code : std::uint16_t {
    ok = 0,

    /// Discovery: no entry of the key is known.
    entry_not_found = 100,
    /// A server was needed, and the entry is none of a server.
    entry_not_of_server = 101,
    /// A client was needed, and the entry is none of a client.
    entry_not_of_client = 102,
    /// The client has an entry, and no server to reach it through.
    no_delegated_servers = 103,

    /// This client or server has been closed.
    entity_closed = 200,
    /// The session under the stream has been closed.
    session_closed = 201,
    /// None of the destination's servers can be reached.
    no_delegated_connection = 202,
    /// Old servers: bytes came together with the last handshake message.
    extra_handshake_bytes = 203,

    /// The request is not signed by its source key.
    request_signature = 300,
    /// The request's time is not above zero.
    request_timestamp = 301,
    /// Null, or not the key of the session the request came through.
    request_source_key = 302,
    /// Null, or not the key of the responder it came to.
    request_destination_key = 303,
    /// Zero.
    request_source_port = 304,
    /// Zero.
    request_destination_port = 305,
    /// Nobody listens at the destination port.
    no_listener = 306,
    /// The server has no session with the destination.
    no_next_session = 307,

    /// The response is not signed by the key that was asked.
    response_signature = 350,
    /// The response answers another request.
    response_hash = 351,
    /// The response refuses, and does not say why.
    response_rejected = 352,

    /// No longer than its signature.
    signed_object_invalid = 370,

    /// The port has a listener, or a stream of ours.
    port_occupied = 400,
    /// The listener's queue of streams not yet accepted is full.
    accept_queue_full = 401,
};

const boost::system::error_category& code_category() noexcept;
ErrorCode make_error_code(Code code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name; "unknown" for numbers of peers
/// that are not in the table.
std::string_view reason(Code code) noexcept;

}  // namespace skywire::dmsg

template <>
struct boost::system::is_error_code_enum<skywire::dmsg::Code> : std::true_type {};
