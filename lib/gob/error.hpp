#pragma once

#include "base/result.hpp"

#include <string_view>
#include <type_traits>

namespace skywire::gob {

/// Why bytes are no gob of ours.
enum class errc {
    ok = 0,
    /// The bytes end inside a value.
    truncated,
    /// A length, a type id or a number is outside of what the format or our limits allow.
    out_of_range,
    /// A value of a type that no definition describes, or a definition that contradicts itself.
    unknown_type,
    /// A field has another kind than the reader expects.
    wrong_kind,
    /// Definitions nest or repeat beyond our limits.
    too_complex,
};

const boost::system::error_category& gob_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(errc code) noexcept;

}  // namespace skywire::gob

template <>
struct boost::system::is_error_code_enum<skywire::gob::errc> : std::true_type {};
