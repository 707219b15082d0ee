#include "http/websocket.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <fmt/format.h>

namespace skywire::http {
namespace {

namespace beast = boost::beast;
namespace websocket = beast::websocket;

constexpr std::size_t kHeaderBytesMax = 8 * 1024;
constexpr std::size_t kReadBytes = 4 * 1024;

ErrorCode code_of(const Error& error) {
    return error.code();
}

/// A net::Stream in the shape that Beast's websocket reads and writes. Each operation is a
/// coroutine that ends with its completion: closing the stream ends both.
class Carrier {
 public:
    using executor_type = Executor;

    Carrier(Executor executor, std::unique_ptr<net::Stream> stream, Bytes received)
        : executor_(std::move(executor)),
          stream_(std::move(stream)),
          received_(std::move(received)) {}

    executor_type get_executor() const noexcept { return executor_; }
    net::Stream& stream() noexcept { return *stream_; }

    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        std::span<std::byte> into;
        for (const asio::mutable_buffer part : beast::buffers_range_ref(buffers)) {
            if (part.size() == 0) continue;
            into = {static_cast<std::byte*>(part.data()), part.size()};
            break;
        }
        return start([this, into] { return read(into); }, std::forward<Token>(token));
    }

    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        std::array<ByteSpan, 8> parts;
        std::size_t count = 0;
        for (const asio::const_buffer part : beast::buffers_range_ref(buffers)) {
            if (part.size() == 0) continue;
            if (count == parts.size()) break;
            parts[count++] = {static_cast<const std::byte*>(part.data()), part.size()};
        }
        return start(
            [this, parts, count] { return write(parts, count); }, std::forward<Token>(token)
        );
    }

 private:
    using Outcome = std::pair<ErrorCode, std::size_t>;

    template <class Work, class Token>
    auto start(Work work, Token&& token) {
        return asio::async_initiate<Token, void(ErrorCode, std::size_t)>(
            [this](auto handler, Work begin) {
                auto slot = asio::get_associated_cancellation_slot(handler);
                auto done = [handler = std::move(handler
                             )](const std::exception_ptr& error, Outcome outcome) mutable {
                    if (error) outcome = {asio::error::operation_aborted, 0};
                    std::move(handler)(outcome.first, outcome.second);
                };
                asio::co_spawn(
                    executor_, begin(), asio::bind_cancellation_slot(slot, std::move(done))
                );
            },
            token,
            std::move(work)
        );
    }

    Task<Outcome> read(std::span<std::byte> into) {
        if (into.empty()) co_return Outcome{};
        if (!received_.empty()) {
            const std::size_t size = std::min(into.size(), received_.size());
            std::memcpy(into.data(), received_.data(), size);
            received_.erase(received_.begin(), received_.begin() + std::ptrdiff_t(size));
            co_return Outcome{{}, size};
        }
        const auto size = co_await stream_->read_some(into);
        if (!size) co_return Outcome{code_of(size.error()), 0};
        if (*size == 0) co_return Outcome{asio::error::eof, 0};
        co_return Outcome{{}, *size};
    }

    Task<Outcome> write(std::array<ByteSpan, 8> parts, std::size_t count) {
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i)
            size += parts[i].size();
        const auto written = co_await stream_->write_all(std::span(parts).first(count));
        if (!written) co_return Outcome{code_of(written.error()), 0};
        co_return Outcome{{}, size};
    }

    Executor executor_;
    std::unique_ptr<net::Stream> stream_;
    Bytes received_;
};

// Beast asks for these two of a carrier it does not know.
void beast_close_socket(Carrier& carrier) {
    carrier.stream().close();
}

template <class Handler>
void async_teardown(beast::role_type, Carrier& carrier, Handler&& handler) {
    carrier.stream().close();
    asio::post(carrier.get_executor(), [handler = std::forward<Handler>(handler)]() mutable {
        std::move(handler)(ErrorCode());
    });
}

using Socket = websocket::stream<Carrier, /*deflateSupported=*/false>;

class WebSocketStream final : public net::Stream {
 public:
    explicit WebSocketStream(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {
        socket_->binary(true);
        socket_->auto_fragment(false);
        socket_->read_message_max(kWebSocketMessageMax);
    }
    ~WebSocketStream() override { WebSocketStream::close(); }
    WebSocketStream(const WebSocketStream&) = delete;
    WebSocketStream& operator=(const WebSocketStream&) = delete;

    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override {
        SKY_ASSERT(!into.empty());
        while (true) {
            if (closed_) co_return fail(errc::closed, {});
            const auto [error, size] = co_await socket_->async_read_some(
                asio::buffer(into.data(), into.size()), use_tuple
            );
            if (closed_) co_return fail(errc::closed, {});
            if (error == websocket::error::closed || error == asio::error::eof)
                co_return std::size_t{0};
            if (error) co_return Error(error);
            if (size > 0 && !socket_->got_binary())
                co_return fail(errc::malformed, "a text message in place of a binary one");
            if (size > 0) co_return size;
        }
    }

    Task<Result<>> write(ByteSpan head, ByteSpan tail) override {
        const std::array<ByteSpan, 2> parts{head, tail};
        co_return co_await WebSocketStream::write_all(parts);
    }

    Task<Result<>> write_all(std::span<const ByteSpan> parts) override {
        std::vector<asio::const_buffer> message;
        std::size_t size = 0;
        for (std::size_t i = 0; i < parts.size(); ++i) {
            message.emplace_back(parts[i].data(), parts[i].size());
            size += parts[i].size();
            const bool last = i + 1 == parts.size();
            if (!last && size + parts[i + 1].size() <= kWriteMessageMax) continue;
            const auto sent = co_await send(message);
            if (!sent) co_return sent.error();
            message.clear();
            size = 0;
        }
        co_return Result<>();
    }

    void close() noexcept override {
        if (closed_) return;
        closed_ = true;
        socket_->next_layer().stream().close();
    }

    const net::Address& local() const noexcept override { return carrier().local(); }
    const net::Address& remote() const noexcept override { return carrier().remote(); }

 private:
    /// Messages stay well below what peers read as one.
    static constexpr std::size_t kWriteMessageMax = 256 * 1024;

    Task<Result<>> send(const std::vector<asio::const_buffer>& message) {
        if (closed_) co_return fail(errc::closed, {});
        const auto [error, size] = co_await socket_->async_write(message, use_tuple);
        if (closed_) co_return fail(errc::closed, {});
        if (error) co_return Error(error);
        co_return Result<>();
    }

    net::Stream& carrier() const noexcept { return socket_->next_layer().stream(); }

    std::unique_ptr<Socket> socket_;
    bool closed_ = false;
};

std::unique_ptr<Socket> make_socket(
    const net::Context& context, std::unique_ptr<net::Stream> carrier, Bytes received
) {
    auto socket =
        std::make_unique<Socket>(Carrier(context.loop, std::move(carrier), std::move(received)));
    // Whoever uses the stream has time limits of its own.
    socket->set_option(websocket::stream_base::timeout{
        websocket::stream_base::none(), websocket::stream_base::none(), /*keep_alive_pings=*/false
    });
    return socket;
}

using RequestParser = beast::http::request_parser<beast::http::empty_body>;

/// Reads up to the end of the header; `received` is then what follows it.
Task<Result<>> read_header(net::Stream& carrier, Bytes& received, RequestParser& parser) {
    parser.header_limit(static_cast<std::uint32_t>(kHeaderBytesMax));
    parser.eager(false);
    while (true) {
        ErrorCode error;
        const std::size_t used = parser.put(asio::buffer(received.data(), received.size()), error);
        received.erase(received.begin(), received.begin() + std::ptrdiff_t(used));
        if (error && error != beast::http::error::need_more) co_return Error(error);
        if (parser.is_header_done()) co_return Result<>();
        if (received.size() > kHeaderBytesMax)
            co_return Error(make_error_code(beast::http::error::header_limit));
        const std::size_t kept = received.size();
        received.resize(kept + kReadBytes);
        const auto size = co_await carrier.read_some(std::span(received).subspan(kept));
        received.resize(kept + (size ? *size : 0));
        if (!size) co_return size.error();
        if (*size == 0) co_return fail(errc::closed, "closed within the upgrade request");
    }
}

Task<Error> refuse(net::Stream& carrier, unsigned status, std::string_view phrase, Error why) {
    const std::string answer = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Length: 0\r\nConnection: close\r\n{}\r\n",
        status,
        phrase,
        status == 426 ? "Upgrade: websocket\r\n" : ""
    );
    // The refusal stands whether or not the peer hears it.
    (void)co_await carrier.write(as_bytes(answer));
    carrier.close();
    co_return fail(errc::malformed, why.message());
}

}  // namespace

Task<Result<std::unique_ptr<net::Stream>>> accept_websocket(
    net::Context context, std::unique_ptr<net::Stream> carrier, Bytes received, std::string path
) {
    RequestParser parser;
    const auto read = co_await read_header(*carrier, received, parser);
    if (!read) co_return co_await refuse(*carrier, 400, "Bad Request", read.error());
    const auto& request = parser.get();
    const std::string_view target = request.target();
    if (target.substr(0, target.find('?')) != path) {
        co_return co_await refuse(
            *carrier, 404, "Not Found", fail(errc::malformed, "no " + quote_peer_text(target))
        );
    }
    if (!websocket::is_upgrade(request)) {
        co_return co_await refuse(
            *carrier, 426, "Upgrade Required", fail(errc::malformed, "no upgrade to a WebSocket")
        );
    }
    auto socket = make_socket(context, std::move(carrier), std::move(received));
    const auto [error] = co_await socket->async_accept(request, use_tuple);
    if (error) co_return fail(errc::malformed, "no WebSocket: " + error.message());
    co_return std::make_unique<WebSocketStream>(std::move(socket));
}

Task<Result<std::unique_ptr<net::Stream>>> open_websocket(
    net::Context context, std::unique_ptr<net::Stream> carrier, std::string host, std::string path
) {
    auto socket = make_socket(context, std::move(carrier), {});
    const auto [error] = co_await socket->async_handshake(host, path, use_tuple);
    if (error) co_return fail(errc::malformed, "no WebSocket: " + error.message());
    co_return std::make_unique<WebSocketStream>(std::move(socket));
}

}  // namespace skywire::http
