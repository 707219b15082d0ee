#pragma once

#include "base/result.hpp"

#include <string_view>
#include <type_traits>

namespace skywire::rpc {

/// Why a call came to nothing, beside what the stream and the deadline say.
enum class errc {
    ok = 0,
    /// The peer has answered with an error; the context is its text, made fit for logs and answers.
    refused,
    /// The peer has answered a call that nobody made: the stream is of no more use.
    unexpected_answer,
    /// The name of a method is above 256 bytes.
    name_too_long,
    /// As many calls are under way on the stream as may be.
    too_many_calls,
};

const boost::system::error_category& rpc_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(errc code) noexcept;

/// Whether a call failed since the peer does not have the method: errc::refused with the texts of
/// spec/visor.md section 10.1.
bool is_unknown_method(const Error& error) noexcept;

/// An error that a peer has told, of its text: control bytes escaped, cut to 256 bytes.
Error refused_by_peer(std::string_view text);

}  // namespace skywire::rpc

template <>
struct boost::system::is_error_code_enum<skywire::rpc::errc> : std::true_type {};
