#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Bytes and their text forms.
namespace skywire {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

/// Views text as bytes; lives as long as `text`.
inline ByteSpan as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// Views bytes as text (no encoding is checked); lives as long as `bytes`.
inline std::string_view as_text(ByteSpan bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Lower-case hex, two digits a byte.
std::string to_hex(ByteSpan bytes);

/// True and the bytes where `text` is hex of even length, either case.
bool from_hex(std::string_view text, Bytes& into);

/// RFC 4648 base64 with padding.
std::string to_base64(ByteSpan bytes);

/// Accepts RFC 4648 base64 with padding only; false where it is malformed.
bool from_base64(std::string_view text, Bytes& into);

/// Equal in time that depends on the sizes alone.
bool equal_in_constant_time(ByteSpan a, ByteSpan b) noexcept;

}  // namespace skywire
