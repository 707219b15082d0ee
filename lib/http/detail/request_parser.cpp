#include "http/detail/request_parser.hpp"

#include "http/uri.hpp"

#include <algorithm>
#include <optional>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace skywire::http::detail {
namespace {

namespace beast_http = boost::beast::http;
using View = boost::beast::string_view;

Method method_of(beast_http::verb verb) noexcept {
    switch (verb) {
        case beast_http::verb::get:
            return Method::get;
        case beast_http::verb::head:
            return Method::head;
        case beast_http::verb::post:
            return Method::post;
        case beast_http::verb::put:
            return Method::put;
        case beast_http::verb::delete_:
            return Method::delete_;
        case beast_http::verb::options:
            return Method::options;
        case beast_http::verb::patch:
            return Method::patch;
        default:
            return Method::other;  // Beast knows thirty more
    }
}

/// Room made for a body at once; a longer one grows with its bytes, not with what it announces.
constexpr std::size_t kReserveBytesMax = 64 * 1024;

using Status = RequestParser::Status;

/// Writes what Beast's parser finds straight into the Request.
class Reader final : public beast_http::basic_parser<true> {
 public:
    Reader(Request& request, const RequestParser::Limits& limits)
        : request_(request), header_bytes_max_(limits.header_bytes_max) {
        eager(true);
        body_limit(limits.body_bytes_max);
        header_limit(static_cast<std::uint32_t>(limits.header_bytes_max));
    }

    Status refusal = Status::malformed;
    bool http11 = false;
    bool expects_continue = false;

 private:
    using Error = boost::beast::error_code;

    void refuse(Status status, Error& ec) {
        refusal = status;
        ec = beast_http::error::bad_value;
    }

    void on_request_impl(beast_http::verb verb, View method, View target, int version, Error& ec)
        override {
        header_bytes_ = method.size() + target.size();
        if (header_bytes_ > header_bytes_max_) return refuse(Status::header_too_large, ec);
        request_.method = method_of(verb);
        if (request_.method == Method::other) request_.method_text.assign(method);
        request_.target.assign(target.data(), target.size());
        http11 = version == 11;
    }

    void on_field_impl(beast_http::field field, View name, View value, Error& ec) override {
        // Beast measures the bytes of one call only: a header fed line by line would have no end.
        header_bytes_ += name.size() + value.size() + 4;
        if (header_bytes_ > header_bytes_max_) return refuse(Status::header_too_large, ec);
        if (is_header_done()) return;
        if (field == beast_http::field::host && ++hosts_ > 1) return refuse(Status::malformed, ec);
        if (field == beast_http::field::transfer_encoding) {
            if (!http11) return refuse(Status::malformed, ec);
            if (!equal_ignoring_case(value, "chunked"))
                return refuse(Status::unsupported_coding, ec);
        }
        if (field == beast_http::field::expect && http11) {
            if (!equal_ignoring_case(value, "100-continue"))
                return refuse(Status::expectation_failed, ec);
            expects_continue = true;
        }
        request_.fields.add(std::string(name), std::string(value));
    }

    void on_header_impl(Error& ec) override {
        if (http11 && hosts_ == 0) return refuse(Status::malformed, ec);
        const std::string_view path = target_path(request_.target);
        const bool whole_server = path == "*" && request_.method == Method::options;
        if (!whole_server && (path.empty() || path.front() != '/'))
            return refuse(Status::malformed, ec);
        if (path.find('%') == std::string_view::npos) {
            request_.path.assign(path);
            return;
        }
        auto decoded = percent_decode(path, Plus::literal);
        if (!decoded) return refuse(Status::malformed, ec);
        request_.path = std::move(*decoded);
    }

    void on_body_init_impl(const boost::optional<std::uint64_t>& length, Error&) override {
        if (length) request_.body.reserve(std::min<std::size_t>(*length, kReserveBytesMax));
    }

    std::size_t on_body_impl(View body, Error&) override {
        request_.body.append(body.data(), body.size());
        return body.size();
    }

    void on_chunk_header_impl(std::uint64_t, View, Error&) override {}

    std::size_t on_chunk_body_impl(std::uint64_t, View body, Error&) override {
        request_.body.append(body.data(), body.size());
        return body.size();
    }

    void on_response_impl(int, View, int, Error&) override {}
    void on_finish_impl(Error&) override {}

    Request& request_;
    std::size_t header_bytes_max_;
    std::size_t header_bytes_ = 0;
    int hosts_ = 0;
};

}  // namespace

struct RequestParser::Impl {
    std::optional<Reader> reader;
};

RequestParser::RequestParser() : impl_(std::make_unique<Impl>()) {}
RequestParser::~RequestParser() = default;

void RequestParser::start(Request& request, const Limits& limits) {
    request.method = Method::get;
    request.method_text.clear();
    request.target.clear();
    request.path.clear();
    request.fields.clear();
    request.body.clear();
    request.params.clear();
    impl_->reader.emplace(request, limits);
}

RequestParser::Progress RequestParser::put(ByteSpan bytes) {
    Reader& reader = *impl_->reader;
    boost::beast::error_code ec;
    Progress progress;
    progress.consumed = reader.put({bytes.data(), bytes.size()}, ec);
    if (!ec) {
        progress.status = reader.is_done() ? Status::complete : Status::need_more;
    } else if (ec == beast_http::error::need_more) {
        progress.status = Status::need_more;
    } else if (ec == beast_http::error::header_limit) {
        progress.status = Status::header_too_large;
    } else if (ec == beast_http::error::body_limit) {
        progress.status = Status::body_too_large;
    } else {
        progress.status = reader.refusal;
    }
    return progress;
}

bool RequestParser::header_done() const noexcept {
    return impl_->reader->is_header_done();
}

bool RequestParser::keep_alive() const noexcept {
    return impl_->reader->keep_alive();
}

bool RequestParser::knows_chunks() const noexcept {
    return impl_->reader->http11;
}

bool RequestParser::expects_continue() const noexcept {
    return impl_->reader->expects_continue;
}

}  // namespace skywire::http::detail
