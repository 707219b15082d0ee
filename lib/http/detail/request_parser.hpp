#pragma once

#include "base/bytes.hpp"
#include "http/message.hpp"

#include <memory>
#include <string_view>

namespace skywire::http::detail {

/// Bytes in, one Request out: HTTP/1.0 and 1.1 (RFC 9112). Does no I/O and can be used again after
/// each `start`. Trailers are read and dropped.
class RequestParser {
 public:
    struct Limits {
        std::size_t header_bytes_max = 0;
        std::size_t body_bytes_max = 0;
    };

    enum class Status {
        /// All the bytes offered were looked at; offer those not consumed again, with more behind.
        need_more,
        complete,
        /// The bytes are no request: 400. So is one that two readers could cut differently (two
        /// lengths, a length beside chunks).
        malformed,
        /// The header passes its limit: 431.
        header_too_large,
        /// The body is, or will be, above its limit: 413.
        body_too_large,
        /// An Expect other than 100-continue: 417.
        expectation_failed,
        /// A transfer coding other than chunked: 501.
        unsupported_coding,
    };

    struct Progress {
        Status status = Status::need_more;
        std::size_t consumed = 0;
    };

    RequestParser();
    ~RequestParser();
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;

    /// Begins a request; its parts go into `request`, which outlives the parsing.
    void start(Request& request, const Limits& limits);

    /// Takes bytes in until the request is complete; not to be called after that.
    Progress put(ByteSpan bytes);

    /// The header is complete; the three below may be asked.
    bool header_done() const noexcept;
    bool keep_alive() const noexcept;
    /// HTTP/1.1, which knows chunks; else 1.0.
    bool knows_chunks() const noexcept;
    bool expects_continue() const noexcept;

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::http::detail
