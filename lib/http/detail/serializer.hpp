#pragma once

#include "base/clock.hpp"
#include "http/message.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace skywire::http::detail {

/// How a body ends on the wire.
enum class Framing {
    /// Content-Length.
    length,
    /// Chunks, of no known number.
    chunked,
    /// The end of the connection: streams to HTTP/1.0 clients.
    until_close,
    /// Statuses that never have a body: 1xx, 204, 304.
    none,
};

struct HeadOptions {
    Framing framing = Framing::length;
    std::size_t body_bytes = 0;
    /// What the answer says about the connection afterwards.
    bool keep_alive = true;
    bool http11 = true;
    /// The text of the Date field.
    std::string_view date;
};

/// Statuses whose answers have no body.
bool has_no_body(unsigned status) noexcept;

/// Appends the status line and all fields with the empty line. Framing, Connection and Date are
/// ours: the handler's Content-Length, Transfer-Encoding and Connection are left out. Names that
/// are no tokens are left out, line ends in values become blanks, so that text of a peer in a field
/// cannot add one.
void append_head(std::string& out, const Response& response, const HeadOptions& options);

/// A request's head; `body_bytes` is written where there is a body or the method usually has one.
void append_request_head(
    std::string& out,
    Method method,
    std::string_view target,
    std::string_view host,
    const Fields& fields,
    std::size_t body_bytes
);

/// One chunk's prefix: the size in hex and a line end.
void append_chunk_size(std::string& out, std::size_t bytes);

/// The Date field's text, made once a second.
class DateText {
 public:
    std::string_view at(WallTime now);

 private:
    std::chrono::seconds made_for_{-1};
    std::string text_;
};

}  // namespace skywire::http::detail
