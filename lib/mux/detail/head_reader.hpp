#pragma once

#include "base/bytes.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace skywire::mux::detail {

/// Finds the fixed-size heads of frames in input that is cut anywhere. A head that lies whole in
/// the input is not copied.
template <std::size_t kSize>
class HeadReader {
 public:
    /// Takes a head, or what there is of one, off the front of `bytes`; null until it is complete.
    /// The view lives until the next call, and as long as the input.
    const std::byte* take(ByteSpan& bytes) noexcept {
        if (held_ == 0 && bytes.size() >= kSize) {
            const std::byte* head = bytes.data();
            bytes = bytes.subspan(kSize);
            return head;
        }
        const std::size_t part = std::min(bytes.size(), kSize - held_);
        if (part > 0) std::memcpy(buffer_.data() + held_, bytes.data(), part);
        held_ += part;
        bytes = bytes.subspan(part);
        if (held_ < kSize) return nullptr;
        held_ = 0;
        return buffer_.data();
    }

 private:
    std::array<std::byte, kSize> buffer_;
    std::size_t held_ = 0;
};

}  // namespace skywire::mux::detail
