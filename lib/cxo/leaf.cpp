#include "cxo/leaf.hpp"

#include "http/gzip.hpp"

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

constexpr std::byte kFrameVersion{1};
constexpr std::size_t kDayBytes = kDaySlots / 8;
constexpr std::string_view kHexDigits = "0123456789abcdef";

bool is_gzip(ByteSpan bytes) noexcept {
    return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

Result<Bytes> packed(std::string_view payload, ByteSpan before) {
    const auto compressed = http::gzip(payload);
    if (!compressed) return fail(errc::limit_reached, "a leaf cannot be compressed");
    const ByteSpan bytes = as_bytes(*compressed);
    Bytes leaf;
    leaf.reserve(before.size() + bytes.size());
    leaf.insert(leaf.end(), before.begin(), before.end());
    leaf.insert(leaf.end(), bytes.begin(), bytes.end());
    return leaf;
}

}  // namespace

Result<Bytes> write_frame(std::string_view payload) {
    return packed(payload, {&kFrameVersion, 1});
}

Result<std::string> read_frame(ByteSpan leaf, std::size_t bytes_max) {
    if (leaf.empty()) return fail(errc::malformed, "a frame without its version");
    if (leaf[0] != kFrameVersion) {
        return fail(
            errc::unsupported, fmt::format("a frame of version {}", static_cast<unsigned>(leaf[0]))
        );
    }
    return read_gzip(leaf.subspan(1), bytes_max);
}

Result<Bytes> write_gzip(std::string_view payload) {
    return packed(payload, {});
}

Result<std::string> read_gzip(ByteSpan leaf, std::size_t bytes_max) {
    if (!is_gzip(leaf)) return std::string(as_text(leaf));
    auto payload = http::gunzip(as_text(leaf), bytes_max);
    if (payload) return std::move(*payload);
    return fail(
        errc::malformed, fmt::format("gzip that is damaged or unpacks to more than {} B", bytes_max)
    );
}

Result<std::string> read_leaf(ByteSpan leaf, std::size_t bytes_max) {
    const bool framed = !leaf.empty() && leaf[0] == kFrameVersion;
    return framed ? read_frame(leaf, bytes_max) : read_gzip(leaf, bytes_max);
}

Bytes write_day(const DaySlots& slots) {
    Bytes bytes(kDayBytes);
    for (std::size_t slot = 0; slot < kDaySlots; ++slot)
        if (slots[slot]) bytes[slot / 8] |= std::byte{0x80} >> static_cast<unsigned>(slot % 8);
    return bytes;
}

Result<DaySlots> read_day(ByteSpan bytes) {
    if (bytes.size() != kDayBytes)
        return fail(errc::malformed, fmt::format("a day of {} B, not {}", bytes.size(), kDayBytes));
    DaySlots slots;
    for (std::size_t slot = 0; slot < kDaySlots; ++slot) {
        const std::byte bit = std::byte{0x80} >> static_cast<unsigned>(slot % 8);
        slots[slot] = (bytes[slot / 8] & bit) != std::byte{0};
    }
    return slots;
}

std::string bucket_of(const crypto::PublicKey& key) {
    const auto digits = static_cast<unsigned>(key.bytes()[1]);
    return {kHexDigits[digits >> 4U], '/', kHexDigits[digits & 0xfU]};
}

std::vector<std::string> all_buckets() {
    std::vector<std::string> buckets;
    buckets.reserve(kHexDigits.size() * kHexDigits.size());
    for (const char first : kHexDigits)
        for (const char second : kHexDigits)
            buckets.push_back({first, '/', second});
    return buckets;
}

}  // namespace skywire::cxo
