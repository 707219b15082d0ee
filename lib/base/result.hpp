#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <boost/assert/source_location.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace skywire {

using ErrorCode = boost::system::error_code;

/// Why an expected failure happened: a code to branch on and a sentence for the reader.
///
/// The context names the thing, the value and the rule it broke ("entry 02ab..: sequence 4 is not
/// above 7"). Text of a peer in it has gone through `quote_peer_text`.
class [[nodiscard]] Error {
 public:
    Error() = default;
    Error(ErrorCode code, std::string context = {}) : code_(code), context_(std::move(context)) {}

    // By value from a temporary: `result.error()` is one, and a reference into it would dangle.
    const ErrorCode& code() const& noexcept { return code_; }
    ErrorCode code() && noexcept { return code_; }
    const std::string& context() const& noexcept { return context_; }
    std::string context() && noexcept { return std::move(context_); }

    /// The context, or the code's own sentence where there is none.
    std::string message() const;

    /// This error seen from one floor up: "what: message".
    Error within(std::string_view what) const;

    friend bool operator==(const Error& error, const ErrorCode& code) {
        return error.code_ == code;
    }

 private:
    ErrorCode code_;
    std::string context_;
};

/// `value()` of a failed Result throws this; only tests and start-up code call it.
class ErrorException : public std::runtime_error {
 public:
    explicit ErrorException(const Error& error)
        : std::runtime_error(error.message()), error_(error) {}
    const Error& error() const noexcept { return error_; }

 private:
    Error error_;
};

[[noreturn]] void throw_exception_from_error(
    const Error& error, const boost::source_location& location
);

/// Success or an Error. Parsers, validators, stores and handlers return it; I/O too.
template <class T = void>
using Result = boost::system::result<T, Error>;

/// Codes of lib/base itself, and those that many modules share.
enum class errc {
    ok = 0,
    /// Input breaks a rule of its format.
    malformed,
    /// A value lies outside its allowed range.
    out_of_range,
    /// What was asked for is not there.
    not_found,
    /// A limit of ours is reached; asking later may succeed.
    limit_reached,
    /// A deadline passed before the operation ended.
    timed_out,
    /// The operation was cancelled by its owner.
    cancelled,
    /// The other side, or our own side, has closed the connection.
    closed,
    /// A thing this one depends on does not answer.
    unavailable,
    /// The caller may not do this.
    forbidden,
    /// The operation makes no sense in the present state.
    wrong_state,
    /// This build or this platform cannot do it.
    unsupported,
    /// A fault set by a test.
    injected,
};

const boost::system::error_category& base_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

/// An Error of `code` with a sentence of its own.
inline Error fail(errc code, std::string context) {
    return {make_error_code(code), std::move(context)};
}

/// Text that came from outside, fit for a log line or an answer: control and non-ASCII bytes as
/// \xNN, cut to `limit` bytes with "..." behind, in double quotes.
std::string quote_peer_text(std::string_view text, std::size_t limit = 128);

}  // namespace skywire

template <>
struct boost::system::is_error_code_enum<skywire::errc> : std::true_type {};
