#include "cxo/detail/frame_reader.hpp"

#include "cxo/detail/encoding.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::cxo::detail {
namespace {

std::size_t big_endian(const std::byte* from) {
    std::size_t value = 0;
    for (std::size_t i = 0; i < 4; ++i)
        value = value << 8 | std::to_integer<std::size_t>(from[i]);
    return value;
}

}  // namespace

Result<> FrameReader::read(ByteSpan bytes, FrameHandler& handler) {
    while (!bytes.empty()) {
        auto done = have_ < kHead ? read_head(bytes, handler) : read_body(bytes, handler);
        if (!done) return done;
    }
    return {};
}

Result<> FrameReader::read_head(ByteSpan& bytes, FrameHandler& handler) {
    const auto fill = [&](std::size_t upto) {
        const std::size_t part = std::min(upto - have_, bytes.size());
        std::copy_n(bytes.data(), part, raw_.data() + have_);
        have_ += part;
        bytes = bytes.subspan(part);
        return have_ == upto;
    };
    if (have_ < kLength) {
        if (!fill(kLength)) return {};
        head_.size = big_endian(raw_.data());
        if (head_.size < kHead - kLength)
            return fail(errc::malformed, fmt::format("a frame of {} bytes", head_.size));
        if (head_.size > handler.frame_max())
            return fail(
                errc::limit_reached,
                fmt::format("a frame of {} bytes is above {}", head_.size, handler.frame_max())
            );
    }
    if (!fill(kHead)) return {};
    head_.seq = load<std::uint32_t>(raw_.data() + 4);
    head_.rseq = load<std::uint32_t>(raw_.data() + 8);
    head_.type = std::to_integer<std::uint8_t>(raw_[12]);
    missing_ = head_.size - (kHead - kLength);
    const auto wanted = handler.on_frame_head(head_);
    if (!wanted) return wanted.error();
    wanted_ = *wanted;
    if (missing_ == 0) {
        have_ = 0;
        return wanted_ ? handler.on_frame(head_, ByteSpan(raw_).last(1)) : Result<>();
    }
    if (!wanted_) return {};
    // The last byte of the head, the type, was in this input: it stands in front of the body.
    if (bytes.size() >= missing_) {
        const ByteSpan message(bytes.data() - 1, missing_ + 1);
        bytes = bytes.subspan(missing_);
        have_ = 0;
        missing_ = 0;
        return handler.on_frame(head_, message);
    }
    body_.reserve(missing_ + 1);
    body_.push_back(raw_[12]);
    return {};
}

Result<> FrameReader::read_body(ByteSpan& bytes, FrameHandler& handler) {
    const ByteSpan part = bytes.first(std::min(missing_, bytes.size()));
    bytes = bytes.subspan(part.size());
    missing_ -= part.size();
    if (wanted_) body_.insert(body_.end(), part.begin(), part.end());
    if (missing_ > 0) return {};
    have_ = 0;
    if (!wanted_) return {};
    // An idle connection keeps nothing, and what the handler does may take long.
    const Bytes message = std::move(body_);
    body_ = Bytes();
    return handler.on_frame(head_, message);
}

}  // namespace skywire::cxo::detail
