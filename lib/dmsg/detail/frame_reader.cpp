#include "dmsg/detail/frame_reader.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

namespace skywire::dmsg::detail {

std::optional<std::size_t> FrameReader::next_record() {
    while (!broken_) {
        if (!length_) {
            std::array<std::byte, noise::kFramePrefix> prefix;
            if (received_.size() < prefix.size()) return std::nullopt;
            received_.read(prefix);
            length_ = std::to_integer<std::size_t>(prefix[0]) << 8 |
                      std::to_integer<std::size_t>(prefix[1]);
        }
        const std::size_t size = *length_;
        if (size > noise::kFrameLengthMax) {
            broken_ = Error(
                noise::errc::frame_too_long,
                fmt::format("a record of {} bytes, at most {}", size, noise::kFrameLengthMax)
            );
            received_.clear();
            return std::nullopt;
        }
        if (received_.size() < size) return std::nullopt;
        if (size > noise::kRecordOverhead) return size;
        // Without a plaintext: refused where it is too short for a record, else passed over.
        (void)open_record(size, {});
    }
    return std::nullopt;
}

Result<std::size_t> FrameReader::open_record(std::size_t size, std::span<std::byte> into) {
    length_.reset();
    const ByteSpan front = received_.front();
    Result<std::size_t> opened = std::size_t{0};
    if (front.size() >= size) {
        opened = opener_.open(front.first(size), into);
        received_.remove_prefix(size);
    } else {
        std::array<std::byte, noise::kFrameLengthMax> record;
        const auto whole = std::span(record).first(size);
        received_.read(whole);
        opened = opener_.open(whole, into);
    }
    if (!opened) {
        broken_ = opened.error();
        received_.clear();
    }
    return opened;
}

std::size_t FrameReader::read_held(std::span<std::byte> into) {
    const std::size_t size = std::min(into.size(), held_.size() - held_from_);
    std::memcpy(into.data(), held_.data() + held_from_, size);
    held_from_ += size;
    if (held_from_ == held_.size()) {
        held_ = Bytes();
        held_from_ = 0;
    }
    return size;
}

Result<std::size_t> FrameReader::read(std::span<std::byte> into) {
    if (!held_.empty()) return read_held(into);
    auto count = read_records(into);
    // The rest may stay for long.
    received_.compact();
    return count;
}

Result<std::size_t> FrameReader::read_records(std::span<std::byte> into) {
    std::size_t done = 0;
    std::optional<std::size_t> size = next_record();
    for (; size; size = next_record()) {
        const auto room = into.subspan(done);
        const std::size_t plaintext = *size - noise::kRecordOverhead;
        if (room.size() < plaintext) break;
        const auto opened = open_record(*size, room.first(plaintext));
        if (!opened) break;
        done += *opened;
    }
    if (done > 0) return done;
    if (size && !broken_) {
        held_.resize(*size - noise::kRecordOverhead);
        if (open_record(*size, held_)) return read_held(into);
        held_ = Bytes();
    }
    if (broken_) return *broken_;
    return std::size_t{0};
}

bool FrameReader::readable() {
    return !held_.empty() || next_record().has_value() || broken_.has_value();
}

Result<> FrameReader::end() {
    if (!length_ && received_.empty()) return {};
    received_.clear();
    broken_ = fail(errc::malformed, "the stream ended inside a record");
    return *broken_;
}

void FrameReader::clear() noexcept {
    received_.clear();
    length_.reset();
    held_ = Bytes();
    held_from_ = 0;
}

}  // namespace skywire::dmsg::detail
