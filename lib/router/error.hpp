#pragma once

#include "base/result.hpp"

#include <string_view>
#include <type_traits>

namespace skywire::router {

/// What is wrong with a rule or a route. The sentences of the first four are the
/// network's own (spec/visor.md section 10.5) and travel in answers.
enum class errc {
    ok = 0,
    /// A route without a way there.
    no_forward_hops,
    /// A route without a way back.
    no_reverse_hops,
    /// The hops do not lead from the one end to the other and back, each from where the last one
    /// ended.
    invalid_description,
    /// A visor has reserved fewer ids than the route needs.
    no_key,
    /// More hops than allowed, one way.
    too_many_hops,
    /// A rule would expire at once, or hold for longer than allowed.
    keep_alive_out_of_range,
    /// The bytes are no rule: kind, length or a key.
    malformed_rule,
    /// Another kind of rule than the one that belongs here.
    wrong_kind,
};

const boost::system::error_category& router_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(errc code) noexcept;

}  // namespace skywire::router

template <>
struct boost::system::is_error_code_enum<skywire::router::errc> : std::true_type {};
