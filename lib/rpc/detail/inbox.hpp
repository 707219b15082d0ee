#pragma once

#include "base/bytes.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace skywire::rpc::detail {

/// Bytes read and not yet taken. Grows to what the longest message needs, which the reader of
/// messages bounds.
class Inbox {
 public:
    /// Good until `room`.
    ByteSpan bytes() const noexcept { return ByteSpan(buffer_).subspan(begin_, end_ - begin_); }

    /// `rest` is what is left of `bytes()`.
    void keep(ByteSpan rest) noexcept { begin_ = end_ - rest.size(); }

    /// Where the next read goes: a few thousand bytes.
    std::span<std::byte> room() {
        if (begin_ > 0) {
            std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        if (buffer_.size() - end_ < kReadBytes)
            buffer_.resize(std::max(buffer_.size() * 2, end_ + kReadBytes));
        return std::span(buffer_).subspan(end_);
    }
    void filled(std::size_t size) noexcept { end_ += size; }

 private:
    static constexpr std::size_t kReadBytes = 2048;

    Bytes buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace skywire::rpc::detail
