#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "http/message.hpp"

#include <memory>

namespace skywire::http::detail {

/// Bytes in, one Response out: the client's counterpart of RequestParser. Interim answers (1xx)
/// are read and dropped.
class ResponseParser {
 public:
    struct Expected {
        /// The answer to HEAD has a length and no body.
        bool to_head = false;
        std::size_t body_bytes_max = 0;
    };

    enum class Status { need_more, complete };

    struct Progress {
        Status status = Status::need_more;
        std::size_t consumed = 0;
    };

    explicit ResponseParser(const Expected& expected);
    ~ResponseParser();
    ResponseParser(const ResponseParser&) = delete;
    ResponseParser& operator=(const ResponseParser&) = delete;

    /// Errors: errc::malformed, errc::limit_reached (header or body).
    Result<Progress> put(ByteSpan bytes);

    /// The peer has ended its side. Errors: errc::closed where the answer is not whole.
    Result<> put_end();

    /// The connection may be used again; asked once complete.
    bool keep_alive() const noexcept;

    Response take();

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::http::detail
