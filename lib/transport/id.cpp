#include "transport/id.hpp"

#include <fmt/format.h>

namespace skywire::transport {
namespace {

constexpr std::string_view kUrn = "urn:uuid:";
constexpr std::array<std::size_t, 4> kDashes{8, 13, 18, 23};

bool starts_with_urn(std::string_view text) {
    for (std::size_t i = 0; i < kUrn.size(); ++i) {
        const char c =
            text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + ('a' - 'A')) : text[i];
        if (c != kUrn[i]) return false;
    }
    return true;
}

}  // namespace

Result<TransportId> TransportId::from_text(std::string_view text) {
    const auto format = [] { return Error(errc::invalid_id, "invalid UUID format"); };
    if (text.size() == kTextSize + kUrn.size()) {
        if (!starts_with_urn(text)) return format();
        text.remove_prefix(kUrn.size());
    } else if (text.size() == kTextSize + 2) {
        if (text.front() != '{' || text.back() != '}') return format();
        text = text.substr(1, kTextSize);
    } else if (text.size() != kTextSize && text.size() != 32) {
        return Error(errc::invalid_id, fmt::format("invalid UUID length: {}", text.size()));
    }
    std::string digits;
    digits.reserve(32);
    if (text.size() == kTextSize) {
        for (const std::size_t dash : kDashes)
            if (text[dash] != '-') return format();
        for (std::size_t i = 0; i < text.size(); ++i) {
            const bool dash =
                i == kDashes[0] || i == kDashes[1] || i == kDashes[2] || i == kDashes[3];
            if (!dash) digits += text[i];
        }
    } else {
        digits = text;
    }
    Bytes read;
    if (!from_hex(digits, read) || read.size() != 16) return format();
    TransportId id;
    std::memcpy(id.bytes.data(), read.data(), id.bytes.size());
    return id;
}

std::string TransportId::to_text() const {
    std::string text = to_hex(bytes);
    // From the back, so that the places in front still hold.
    text.insert(20, 1, '-');
    text.insert(16, 1, '-');
    text.insert(12, 1, '-');
    text.insert(8, 1, '-');
    return text;
}

}  // namespace skywire::transport
