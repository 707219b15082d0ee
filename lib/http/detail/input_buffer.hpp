#pragma once

#include "base/bytes.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>

namespace skywire::http::detail {

/// The bytes read and not yet parsed. Small while nothing is in it: idle connections are many.
class InputBuffer {
 public:
    static constexpr std::size_t kIdleBytes = 2 * 1024;

    explicit InputBuffer(std::size_t capacity_max) : capacity_max_(capacity_max) {}

    bool empty() const noexcept { return begin_ == end_; }
    ByteSpan data() const noexcept { return {bytes_.get() + begin_, end_ - begin_}; }

    void consume(std::size_t count) noexcept {
        begin_ += count;
        if (begin_ == end_) begin_ = end_ = 0;
    }

    /// Free space to read into, `capacity_wanted` in all if it has to be made. Empty where the
    /// buffer is full and at its limit.
    std::span<std::byte> prepare(std::size_t capacity_wanted) {
        if (end_ == capacity_ || (empty() && capacity_ < capacity_wanted))
            make_room(capacity_wanted);
        return {bytes_.get() + end_, capacity_ - end_};
    }

    void commit(std::size_t count) noexcept { end_ += count; }

    /// Gives back what a large request has needed; the buffer is empty.
    void shrink() noexcept {
        if (capacity_ <= kIdleBytes) return;
        bytes_.reset();
        capacity_ = begin_ = end_ = 0;
    }

 private:
    void make_room(std::size_t capacity_wanted) {
        const std::size_t held = end_ - begin_;
        if (begin_ > 0) {
            std::memmove(bytes_.get(), bytes_.get() + begin_, held);
        } else {
            const std::size_t twice = std::max(capacity_wanted, 2 * capacity_);
            const std::size_t capacity = std::min(capacity_max_, twice);
            if (capacity <= capacity_) return;
            auto larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
            if (held > 0) std::memcpy(larger.get(), bytes_.get(), held);
            bytes_ = std::move(larger);
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = held;
    }

    std::unique_ptr<std::byte[]> bytes_;
    std::size_t capacity_ = 0;
    std::size_t capacity_max_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace skywire::http::detail
