#include "dmsg/detail/frame_writer.hpp"

#include <algorithm>
#include <cstring>

namespace skywire::dmsg::detail {
namespace {

/// Where the plaintext lies in a frame: behind the length and the nonce.
constexpr std::size_t kPlaintextAt = noise::kFramePrefix + 8;

/// One frame with plaintext of several pieces, copied to its place and sealed there.
Result<> seal_joined(Parts& parts, noise::RecordSealer& sealer, std::span<std::byte> frame) {
    const auto plaintext =
        frame.subspan(kPlaintextAt, frame.size() - noise::kFramePrefix - noise::kRecordOverhead);
    for (std::size_t done = 0; done < plaintext.size();) {
        const ByteSpan piece =
            parts.front().first(std::min(parts.front().size(), plaintext.size() - done));
        std::memcpy(plaintext.data() + done, piece.data(), piece.size());
        done += piece.size();
        parts.remove(piece.size());
    }
    const std::size_t length = frame.size() - noise::kFramePrefix;
    frame[0] = std::byte(length >> 8);
    frame[1] = std::byte(length & 0xff);
    return sealer.seal(plaintext, frame.subspan(noise::kFramePrefix));
}

}  // namespace

Parts::Parts(std::span<const ByteSpan> parts) : rest_(parts) {
    for (const ByteSpan part : parts) {
        size_ += part.size();
    }
    remove(0);
}

void Parts::remove(std::size_t count) noexcept {
    front_ = front_.subspan(count);
    size_ -= count;
    while (front_.empty() && !rest_.empty()) {
        front_ = rest_.front();
        rest_ = rest_.subspan(1);
    }
}

Result<mux::Slice> seal_chunk(Parts& parts, noise::RecordSealer& sealer) {
    std::size_t left = std::min(parts.size(), kChunkPlaintext);
    const std::size_t total = noise::RecordSealer::sealed_frames_size(left);
    // Whole ones are kept and used again; the tail of a message is given its size.
    mux::Chunk chunk(left == kChunkPlaintext ? mux::kChunkBytes : total);
    auto out = chunk.bytes().first(total);
    while (left > 0) {
        // All that is left lies together, or some full frames of it, or not even one.
        const std::size_t together =
            parts.front().size() >= left
                ? left
                : parts.front().size() / noise::kFramePlaintextMax * noise::kFramePlaintextMax;
        const std::size_t size =
            together > 0 ? together : std::min(left, noise::kFramePlaintextMax);
        const auto frames = out.first(noise::RecordSealer::sealed_frames_size(size));
        if (together > 0) {
            const auto sealed = sealer.seal_frames(parts.front().first(size), frames);
            if (!sealed) return sealed.error();
            parts.remove(size);
        } else if (auto sealed = seal_joined(parts, sealer, frames); !sealed) {
            return sealed.error();
        }
        out = out.subspan(frames.size());
        left -= size;
    }
    return chunk.slice(0, total);
}

}  // namespace skywire::dmsg::detail
