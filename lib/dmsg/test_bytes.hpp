#pragma once

#include "base/bytes.hpp"
#include "net/stream.hpp"

#include <span>

/// For tests of streams: bytes to send, and all of them received.
namespace skywire::dmsg::test {

/// Bytes that tell their place.
inline Bytes pattern(std::size_t size, unsigned seed = 0) {
    Bytes bytes(size);
    unsigned state = seed * 2654435761U + 12345U;
    for (std::byte& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = std::byte(state >> 24);
    }
    return bytes;
}

/// Puts a frame, or any run of bytes, behind what is there.
inline void append(Bytes& bytes, ByteSpan more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
}

/// Owned by the coroutine, unlike a view of a temporary.
inline Task<Result<>> write_bytes(net::Stream& stream, Bytes bytes) {
    co_return co_await stream.write(bytes);
}

/// Reads that many bytes, fewer where the stream ends first.
inline Task<Result<Bytes>> read_exactly(net::Stream& stream, std::size_t size) {
    Bytes bytes(size);
    std::size_t have = 0;
    while (have < size) {
        const auto count = co_await stream.read_some(std::span(bytes).subspan(have));
        if (!count) co_return count.error();
        if (*count == 0) break;
        have += *count;
    }
    bytes.resize(have);
    co_return bytes;
}

}  // namespace skywire::dmsg::test
