#pragma once

#include "mux/core.hpp"

#include <array>
#include <cstdint>
#include <optional>

/// The frames of yamux (spec/dmsg.md section 5). The state machine that speaks them is made by
/// make_yamux (core.hpp).
namespace skywire::mux::yamux {

/// Every frame begins with version(1) = 0, type(1), flags(2), stream id(4), length(4), big-endian;
/// only a data frame goes on: with `length` bytes of payload.
inline constexpr std::size_t kHeaderBytes = 12;

/// What each side may send on a stream before it is given more; never more at one time.
inline constexpr std::uint32_t kWindowBytes = 256 * 1024;

enum class Type : std::uint8_t {
    data = 0,
    /// `length` is added to what the receiver of the frame may send.
    window_update = 1,
    /// Of the session (stream id 0): with kSyn a question, with kAck the answer; `length` is any
    /// value, the same in both.
    ping = 2,
    /// Of the session: `length` is a GoAwayReason.
    go_away = 3,
};

/// Of data frames and window updates, for their stream.
inline constexpr std::uint16_t kSyn = 1;
inline constexpr std::uint16_t kAck = 2;
inline constexpr std::uint16_t kFin = 4;
inline constexpr std::uint16_t kRst = 8;

enum class GoAwayReason : std::uint32_t { normal = 0, protocol_error = 1, internal_error = 2 };

struct Header {
    Type type = Type::data;
    std::uint16_t flags = 0;
    StreamId stream = 0;
    std::uint32_t length = 0;

    bool has(std::uint16_t flag) const noexcept { return (flags & flag) != 0; }
};

std::array<std::byte, kHeaderBytes> encode(const Header& header) noexcept;

/// Reads kHeaderBytes bytes; nothing where the version or the type is unknown.
std::optional<Header> decode(const std::byte* bytes) noexcept;

}  // namespace skywire::mux::yamux
