#pragma once

#include "base/result.hpp"

#include <optional>
#include <string_view>
#include <type_traits>

namespace skywire::dmsg {

/// What the discovery refuses with. Existing clients map errors by the text of the answer, so the
/// sentence of each code is the network's own, byte for byte: answer with `code().message()`; an
/// Error's `message()` may say more, for the log. spec/dmsg.md section 12.
enum class errc {
    ok = 0,
    /// No entry is stored for the key.
    entry_not_found,
    /// No server is registered, or none has a free session.
    no_servers,
    /// A key in the path, or a list of keys, is malformed.
    bad_input,
    /// The signature is malformed, or not the static key's over this entry.
    invalid_signature,
    /// The body is not JSON, or a member has the wrong type; also any failure without a code.
    unexpected,
    /// The version is empty.
    no_version,
    /// There is no signature.
    no_signature,
    /// The static key is null.
    no_static_key,
    /// Neither a client nor a server.
    no_role,
    /// A server without an address.
    no_server_address,
    /// The timestamp is more than 60 s old or more than 5 s ahead.
    outdated_timestamp,
    /// The server's host is empty or a loopback address, outside of test mode.
    loopback_address,
    /// The sequence is not above the stored one; gaps are allowed, whatever the text says.
    wrong_sequence,
    /// The timestamp is below the stored one.
    older_timestamp,
};

const boost::system::error_category& dmsg_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// The code of a discovery's sentence; nothing for any other text.
std::optional<errc> errc_of_text(std::string_view text) noexcept;

/// The HTTP status that goes with the text: 200, 400, 401, 404, 422 or 500.
int http_status(errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(errc code) noexcept;

}  // namespace skywire::dmsg

template <>
struct boost::system::is_error_code_enum<skywire::dmsg::errc> : std::true_type {};
