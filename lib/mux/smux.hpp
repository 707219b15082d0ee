#pragma once

#include "mux/core.hpp"

#include <array>
#include <cstdint>
#include <optional>

/// The frames of smux version 2 (spec/dmsg.md section 6). The state machine that speaks them is
/// made by make_smux (core.hpp).
namespace skywire::mux::smux {

/// Every frame begins with version(1) = 2, command(1), length(2), stream id(4), little-endian, and
/// goes on with `length` bytes.
inline constexpr std::size_t kHeaderBytes = 8;

/// Payload that we put into one frame. A longer one of a peer is taken too: its window binds it.
inline constexpr std::uint32_t kPayloadMax = 32 * 1024;

/// What a sender may have under way before the receiver's first update, and after it.
inline constexpr std::uint32_t kFirstWindowBytes = 256 * 1024;
inline constexpr std::uint32_t kWindowBytes = 64 * 1024;

enum class Command : std::uint8_t {
    syn = 0,
    fin = 1,
    /// Payload.
    psh = 2,
    /// Keep-alive, of stream 0.
    nop = 3,
    /// An Update.
    upd = 4,
};

struct Header {
    Command command = Command::nop;
    std::uint16_t length = 0;
    StreamId stream = 0;
};

std::array<std::byte, kHeaderBytes> encode(const Header& header) noexcept;

/// Reads kHeaderBytes bytes; nothing where the version or the command is unknown.
std::optional<Header> decode(const std::byte* bytes) noexcept;

inline constexpr std::size_t kUpdateBytes = 8;

/// The body of a `upd` frame.
struct Update {
    /// What the receiver has consumed since the stream began, modulo 2^32.
    std::uint32_t consumed = 0;
    /// What the sender may have under way, counted from there.
    std::uint32_t window = 0;
};

/// The whole frame.
std::array<std::byte, kHeaderBytes + kUpdateBytes> encode(
    StreamId stream, const Update& update
) noexcept;

/// Reads kUpdateBytes bytes, the body alone.
Update decode_update(const std::byte* bytes) noexcept;

}  // namespace skywire::mux::smux
