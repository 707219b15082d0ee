#pragma once

#include "base/result.hpp"

#include <string_view>
#include <type_traits>

namespace skywire::noise {

/// What a handshake or a record is refused for.
enum class errc {
    ok = 0,
    /// The pattern needs the peer's key beforehand.
    missing_key,
    /// A message was written or read out of turn, or after the last one.
    wrong_turn,
    /// A handshake message is too short for its pattern.
    short_message,
    /// A public key in a message is no point of the curve.
    invalid_point,
    /// A tag does not match: wrong key, or bytes changed on the way.
    not_authentic,
    /// A record is shorter than its nonce and tag.
    short_record,
    /// A nonce was seen before, is too old, or does not rise.
    replayed_nonce,
    /// The counter is used up; the session must be made anew.
    nonces_exhausted,
    /// A frame is longer than the network allows.
    frame_too_long,
};

const boost::system::error_category& noise_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(errc code) noexcept;

}  // namespace skywire::noise

template <>
struct boost::system::is_error_code_enum<skywire::noise::errc> : std::true_type {};
