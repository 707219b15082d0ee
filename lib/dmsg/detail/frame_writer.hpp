#pragma once

#include "mux/slice.hpp"
#include "noise/record.hpp"

#include <span>

namespace skywire::dmsg::detail {

/// What is left to write of several pieces of plaintext.
class Parts {
 public:
    /// The pieces and the array of them outlive it.
    explicit Parts(std::span<const ByteSpan> parts);

    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    /// What lies together at the front; not empty where there is anything.
    ByteSpan front() const noexcept { return front_; }
    /// `count` bytes off the front piece.
    void remove(std::size_t count) noexcept;

 private:
    std::span<const ByteSpan> rest_;
    ByteSpan front_;
    std::size_t size_ = 0;
};

/// Plaintext in one chunk's worth of full frames.
inline constexpr std::size_t kChunkPlaintext =
    mux::kChunkBytes / (noise::kFramePrefix + noise::kFrameLengthMax) * noise::kFramePlaintextMax;

/// Takes as much as a chunk holds off the front and seals it there, in as few frames as it needs:
/// small pieces share one. noise::errc::nonces_exhausted.
Result<mux::Slice> seal_chunk(Parts& parts, noise::RecordSealer& sealer);

}  // namespace skywire::dmsg::detail
