#include "http/detail/response_parser.hpp"

#include <algorithm>
#include <optional>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace skywire::http::detail {
namespace {

namespace beast_http = boost::beast::http;
using View = boost::beast::string_view;

constexpr std::size_t kHeaderBytesMax = 64 * 1024;
constexpr std::size_t kReserveBytesMax = 256 * 1024;
/// Answers 1xx before the real one.
constexpr int kInterimMax = 8;

class Reader final : public beast_http::basic_parser<false> {
 public:
    Reader(Response& response, const ResponseParser::Expected& expected) : response_(response) {
        eager(true);
        skip(expected.to_head);
        body_limit(expected.body_bytes_max);
        header_limit(static_cast<std::uint32_t>(kHeaderBytesMax));
    }

    bool interim() const noexcept { return response_.status / 100 == 1; }

 private:
    using Error = boost::beast::error_code;

    void on_response_impl(int code, View, int, Error&) override {
        response_.status = static_cast<unsigned>(code);
    }

    void on_field_impl(beast_http::field, View name, View value, Error& ec) override {
        header_bytes_ += name.size() + value.size() + 4;
        if (header_bytes_ > kHeaderBytesMax) {
            ec = beast_http::error::header_limit;
            return;
        }
        if (!is_header_done()) response_.fields.add(std::string(name), std::string(value));
    }

    void on_body_init_impl(const boost::optional<std::uint64_t>& length, Error&) override {
        if (length) response_.body.reserve(std::min<std::size_t>(*length, kReserveBytesMax));
    }

    std::size_t on_body_impl(View body, Error&) override {
        response_.body.append(body.data(), body.size());
        return body.size();
    }

    std::size_t on_chunk_body_impl(std::uint64_t, View body, Error&) override {
        response_.body.append(body.data(), body.size());
        return body.size();
    }

    void on_chunk_header_impl(std::uint64_t, View, Error&) override {}
    void on_request_impl(beast_http::verb, View, View, int, Error&) override {}
    void on_header_impl(Error&) override {}
    void on_finish_impl(Error&) override {}

    Response& response_;
    std::size_t header_bytes_ = 0;
};

Error error_of(const boost::beast::error_code& ec) {
    if (ec == beast_http::error::header_limit || ec == beast_http::error::body_limit)
        return fail(errc::limit_reached, "the answer is too large: " + ec.message());
    return fail(errc::malformed, "the answer is not HTTP: " + ec.message());
}

}  // namespace

struct ResponseParser::Impl {
    explicit Impl(const Expected& expected_in) : expected(expected_in) {
        reader.emplace(response, expected);
    }

    Expected expected;
    Response response;
    std::optional<Reader> reader;
    int interim_count = 0;
};

ResponseParser::ResponseParser(const Expected& expected)
    : impl_(std::make_unique<Impl>(expected)) {}
ResponseParser::~ResponseParser() = default;

Result<ResponseParser::Progress> ResponseParser::put(ByteSpan bytes) {
    Progress progress;
    while (progress.consumed < bytes.size()) {
        const ByteSpan rest = bytes.subspan(progress.consumed);
        boost::beast::error_code ec;
        progress.consumed += impl_->reader->put({rest.data(), rest.size()}, ec);
        if (ec && ec != beast_http::error::need_more) return error_of(ec);
        if (!impl_->reader->is_done()) return progress;
        if (!impl_->reader->interim()) {
            progress.status = Status::complete;
            return progress;
        }
        if (++impl_->interim_count > kInterimMax)
            return fail(errc::malformed, "the answer is not HTTP: too many interim answers");
        impl_->response = Response();
        impl_->reader.emplace(impl_->response, impl_->expected);
    }
    return progress;
}

Result<> ResponseParser::put_end() {
    boost::beast::error_code ec;
    if (impl_->reader->got_some()) {
        impl_->reader->put_eof(ec);
        if (!ec) return {};
    }
    return fail(errc::closed, "the peer closed the connection before its answer was whole");
}

bool ResponseParser::keep_alive() const noexcept {
    return impl_->reader->keep_alive();
}

Response ResponseParser::take() {
    return std::move(impl_->response);
}

}  // namespace skywire::http::detail
