#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "crypto/keys.hpp"
#include "cxo/root.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

/// Messages of protocol 3 and their frames: spec/cxo.md sections 4 and 5.
namespace skywire::cxo {

inline constexpr std::uint16_t kProtocolVersion = 3;
/// Length and head of a frame: u32 big-endian of what follows; seq, rseq u32 little-endian; type.
inline constexpr std::size_t kFrameHead = 4 + 4 + 4 + 1;
/// The most that a frame of ours, or one that we read, has behind its length. (The network's own
/// nodes read up to 64 MiB, and their objects have at most 16.)
inline constexpr std::size_t kFrameMax = kObjectMax + 64;

enum class Type : std::uint8_t {
    ping = 1,
    pong,
    syn,
    ack,
    ok,
    err,
    sub,
    unsub,
    request_list,
    list,
    root,
    request_object,
    object,
    request_preview,
    request_peers,
    peers,
};

struct Syn {
    std::uint16_t protocol = kProtocolVersion;
    crypto::PublicKey node;
};
struct Ack {
    crypto::PublicKey node;
};
struct Ok {};
struct Err {
    std::string text;
};
struct Sub {
    crypto::PublicKey feed;
};
struct Unsub {
    crypto::PublicKey feed;
};
struct RequestList {};
/// Keys read from one message: a longer List ends there, more Peers are malformed.
inline constexpr std::size_t kListMax = 4096;

struct List {
    std::vector<crypto::PublicKey> feeds;
};
struct RequestObject {
    Hash hash = kNil;
};
/// A view into the frame.
struct ObjectBytes {
    ByteSpan bytes;
};
struct RequestPreview {
    crypto::PublicKey feed;
};
struct RequestPeers {
    crypto::PublicKey feed;
};
struct Ping {};
struct Pong {};
struct Peers {
    struct Peer {
        crypto::PublicKey key;
        Bytes metadata;
        std::string tcp;
        std::string udp;
    };
    crypto::PublicKey feed;
    std::vector<Peer> peers;
};

using Message = std::variant<
    Ping,
    Pong,
    Syn,
    Ack,
    Ok,
    Err,
    Sub,
    Unsub,
    RequestList,
    List,
    SignedRoot,
    RequestObject,
    ObjectBytes,
    RequestPreview,
    RequestPeers,
    Peers>;

struct Frame {
    std::uint32_t seq = 0;
    /// The seq that this answers; 0: nothing.
    std::uint32_t rseq = 0;
    Message message;
};

Type type_of(const Message& message) noexcept;

/// Type and body. Every byte must be used, every key be one and not null. errc::malformed;
/// unsupported: an unknown type.
Result<Message> decode_message(ByteSpan bytes);
Bytes encode_message(const Message& message);

/// Of a frame without its length. The same errors.
Result<Frame> decode_frame(ByteSpan bytes);
/// The whole frame, length included.
Bytes encode_frame(const Frame& frame);
/// Only the first kFrameHead bytes, of a message whose body of that size follows.
std::array<std::byte, kFrameHead> frame_head(
    std::uint32_t seq, std::uint32_t rseq, Type type, std::size_t body_size
);

}  // namespace skywire::cxo
