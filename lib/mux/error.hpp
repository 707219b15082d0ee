#pragma once

#include "base/result.hpp"

#include <string_view>
#include <type_traits>

namespace skywire::mux {

/// Why a session or a stream of a multiplexer ended, or was not begun.
enum class errc {
    ok = 0,
    /// A frame of another version, of an unknown type or with impossible content.
    bad_frame,
    /// A stream id that is in use or belongs to the other side's numbers.
    bad_stream_id,
    /// More data than the window allows.
    window_exceeded,
    /// A frame is longer than the protocol allows.
    frame_too_long,
    /// A ping was not answered, or nothing was received, in time.
    peer_silent,
    /// The peer did not accept a stream in time, which ends the session.
    open_timed_out,
    /// The peer takes no more streams (go-away with reason 0), or we have sent one.
    going_away,
    /// The peer ended the session because of an error (go-away with another reason).
    peer_error,
    /// The session has as many streams as it may have.
    too_many_streams,
    /// The peer reset the stream.
    reset,
    /// The session under the stream has ended.
    session_ended,
    /// Our output has not been taken by the peer in time.
    write_timed_out,
    /// All stream ids are used up.
    ids_exhausted,
    /// The peer did not end its direction of a stream in time after we had ended ours.
    close_timed_out,
};

const boost::system::error_category& mux_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(errc code) noexcept;

}  // namespace skywire::mux

template <>
struct boost::system::is_error_code_enum<skywire::mux::errc> : std::true_type {};
