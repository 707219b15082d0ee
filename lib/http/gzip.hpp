#pragma once

#include <optional>
#include <string>
#include <string_view>

/// gzip for answers (RFC 1952, through zlib).
namespace skywire::http {

/// Whether an Accept-Encoding value lets us answer with gzip: named (or "*") with q above 0, and
/// not less wanted than a named identity (RFC 9110 section 12.5.3).
bool accepts_gzip(std::string_view accept_encoding) noexcept;

/// `text` compressed at level 5, the existing network's; nothing where zlib has no memory.
std::optional<std::string> gzip(std::string_view text);

/// The reverse; nothing where the input is no gzip or would pass `bytes_max`.
std::optional<std::string> gunzip(std::string_view compressed, std::size_t bytes_max);

}  // namespace skywire::http
