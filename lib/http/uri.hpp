#pragma once

#include <optional>
#include <string>
#include <string_view>

/// The parts of a request target, and percent-encoding (RFC 3986 section 2.1).
namespace skywire::http {

/// What a `+` means: a blank in a query, itself in a path.
enum class Plus { literal, blank };

/// `text` with its %XX replaced; nothing where an escape is cut short or not hex. The result may
/// hold any byte, NUL too.
std::optional<std::string> percent_decode(std::string_view text, Plus plus);

/// The path of a target as sent, still encoded: what stands before `?` or `#`. Of an absolute
/// target ("http://host/path") the part behind the authority. Views live as long as `target`.
std::string_view target_path(std::string_view target) noexcept;

/// What stands between `?` and `#`; empty where there is no query.
std::string_view target_query(std::string_view target) noexcept;

/// Field names and tokens compare without case.
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

}  // namespace skywire::http
