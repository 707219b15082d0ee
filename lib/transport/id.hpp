#pragma once

#include "base/bytes.hpp"
#include "transport/error.hpp"

#include <array>
#include <compare>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

namespace skywire::transport {

/// The id of a transport: 16 bytes, a UUID of version 0 where it was computed from edges and type
/// (entry.hpp). spec/services-http.md sections 1.4 and 3.
struct TransportId {
    static constexpr std::size_t kTextSize = 36;

    std::array<std::byte, 16> bytes{};

    /// Any letter case; also "urn:uuid:" in front, in braces, and 32 digits without dashes.
    /// errc::invalid_id with the decoder's text: "invalid UUID length: N", "invalid UUID format".
    static Result<TransportId> from_text(std::string_view text);

    /// Lower case with dashes.
    std::string to_text() const;

    friend auto operator<=>(const TransportId&, const TransportId&) noexcept = default;
};

}  // namespace skywire::transport

template <>
struct std::hash<skywire::transport::TransportId> {
    std::size_t operator()(const skywire::transport::TransportId& id) const noexcept {
        // Bytes of a SHA-256 value; a peer that makes ids up has to match edges to them.
        std::size_t value = 0;
        std::memcpy(&value, id.bytes.data(), sizeof value);
        return value;
    }
};
