#pragma once

#include "base/result.hpp"

#include <string_view>
#include <type_traits>

namespace skywire::transport {

/// Why a transport entry is not taken.
enum class errc {
    ok = 0,
    /// The text is not JSON; the sentence is the one of the network's decoder.
    json_syntax,
    /// A member has the wrong type, or a key, a signature or an id in it is malformed.
    json_type,
    /// The text of an id is not one of the accepted forms.
    invalid_id,
    /// The id is not that of these edges and this type.
    wrong_id,
    /// The edges are not in ascending order, or one of them is the null key.
    wrong_edges,
    /// A signature is there, and not that of its edge over this entry.
    wrong_signature,
    /// A slot that has to hold a signature is empty.
    no_signature,
    /// The key is none of the two edges.
    not_an_edge,
    /// The type or the label is longer than what is kept.
    too_long,
};

const boost::system::error_category& transport_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(errc code) noexcept;

}  // namespace skywire::transport

template <>
struct boost::system::is_error_code_enum<skywire::transport::errc> : std::true_type {};
