#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <array>
#include <cstdint>

/// Frames out of bytes that come in any cut (spec/cxo.md section 4).
namespace skywire::cxo::detail {

/// What is known of a frame before its body.
struct FrameHead {
    /// Of all that follows the length.
    std::size_t size = 0;
    std::uint32_t seq = 0;
    std::uint32_t rseq = 0;
    std::uint8_t type = 0;
};

class FrameHandler {
 public:
    virtual ~FrameHandler() = default;
    /// The largest frame that is read now.
    virtual std::size_t frame_max() const noexcept = 0;
    /// False: the body is not wanted and goes by unread.
    virtual Result<bool> on_frame_head(const FrameHead& head) = 0;
    /// `message` is type and body; the view lives during the call.
    virtual Result<> on_frame(const FrameHead& head, ByteSpan message) = 0;
};

/// A frame that lies in the input as a whole is not copied; of one that is cut, each byte once.
class FrameReader {
 public:
    /// Stops at the first error, its own or the handler's. errc::malformed for a frame without a
    /// head, errc::limit_reached above frame_max().
    Result<> read(ByteSpan bytes, FrameHandler& handler);

    /// In the middle of a body that is wanted.
    bool inside_frame() const noexcept { return have_ == kHead && wanted_; }
    std::size_t memory() const noexcept { return body_.capacity(); }

 private:
    static constexpr std::size_t kLength = 4;
    /// Length, seq, rseq, type.
    static constexpr std::size_t kHead = kLength + 9;

    Result<> read_head(ByteSpan& bytes, FrameHandler& handler);
    Result<> read_body(ByteSpan& bytes, FrameHandler& handler);

    std::array<std::byte, kHead> raw_{};
    std::size_t have_ = 0;
    FrameHead head_;
    bool wanted_ = false;
    /// Of the body, behind the type.
    std::size_t missing_ = 0;
    /// Type and body of a frame that was cut.
    Bytes body_;
};

}  // namespace skywire::cxo::detail
