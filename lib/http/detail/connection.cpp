#include "http/detail/connection.hpp"

#include "http/gzip.hpp"
#include "net/proxy_protocol.hpp"

#include <exception>

#include <boost/asio/experimental/awaitable_operators.hpp>

namespace skywire::http::detail {
namespace {

using namespace std::chrono_literals;
using Status = RequestParser::Status;

/// What one read of a body may bring.
constexpr std::size_t kBodyReadBytes = 16 * 1024;
/// Answers to pipelined requests are joined up to this size.
constexpr std::size_t kJoinBytesMax = 16 * 1024;
/// How long, and for how many bytes, a refused peer is listened to.
constexpr Duration kLingerTime = 500ms;
/// For the first request of a connection that was just taken when draining began.
constexpr Duration kFirstRequest = 500ms;
constexpr std::size_t kLingerBytesMax = 256 * 1024;
/// Larger bodies are compressed off the loop: 64 KiB take about a millisecond.
constexpr std::size_t kCompressOnLoopBytesMax = 64 * 1024;

struct Answer {
    unsigned status;
    Refusal why;
};

Answer refusal_of(Status status) noexcept {
    switch (status) {
        case Status::header_too_large:
            return {431, Refusal::header_too_large};
        case Status::body_too_large:
            return {413, Refusal::body_too_large};
        case Status::expectation_failed:
            return {417, Refusal::expectation_failed};
        case Status::unsupported_coding:
            return {501, Refusal::unsupported_coding};
        case Status::need_more:
        case Status::complete:
        case Status::malformed:
            break;
    }
    return {400, Refusal::malformed};
}

Response refusal_page(unsigned status) {
    std::string text(reason_phrase(status));
    // The text that the existing network answers oversized bodies with has no number in front.
    if (status != 413) text.insert(0, std::to_string(status) + " ");
    return Response::of(status, "text/plain; charset=utf-8", std::move(text));
}

bool asks_to_close(const Response& response) {
    const auto connection = response.fields.get("Connection");
    return connection && *connection == "close";
}

}  // namespace

/// The body writer of a stream.
class Connection::Chunks final : public BodyWriter {
 public:
    Chunks(Connection& connection, bool chunked) : connection_(connection), chunked_(chunked) {}

    Task<Result<>> write(std::string chunk) override {
        // An empty chunk would end the body.
        if (chunk.empty()) co_return Result<>();
        if (!broken_) {
            std::string& out = connection_.exchange_->out;
            if (chunked_) {
                append_chunk_size(out, chunk.size());
                chunk += "\r\n";
            }
            const bool sent = co_await connection_.flush(chunk);
            connection_.enter(Phase::streaming);
            if (sent) co_return Result<>();
            broken_ = true;
        }
        // A writer that does not look at the result has to come by here to be cancelled.
        co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        co_return fail(errc::closed, "the peer does not read the stream any more");
    }

    bool broken() const noexcept { return broken_; }
    bool chunked() const noexcept { return chunked_; }

 private:
    Connection& connection_;
    bool chunked_;
    bool broken_ = false;
};

Connection::Connection(ServerCore& core, std::unique_ptr<net::Stream> stream)
    : core_(core),
      stream_(std::move(stream)),
      remote_(stream_->remote()),
      input_(std::max(core.options.limits.header_bytes_max + 1024, kBodyReadBytes)) {}

Connection::~Connection() = default;

void Connection::enter(Phase phase, Duration time_allowed) {
    // A connection being cut off stays so, whatever its coroutine was about to do.
    if (phase_ == Phase::cutting_off) return;
    phase_ = phase;
    deadline_ = core_.context.clock.now() + time_allowed;
}

void Connection::enter(Phase phase) {
    if (phase_ == Phase::cutting_off) return;
    phase_ = phase;
    deadline_ = SteadyTime::max();
}

RequestParser::Limits Connection::parser_limits() const noexcept {
    return {core_.options.limits.header_bytes_max, core_.options.limits.body_bytes_max};
}

HeadOptions Connection::head_options(bool keep_alive) {
    HeadOptions options;
    options.keep_alive = keep_alive;
    options.date = core_.date();
    return options;
}

Task<> Connection::run() {
    bool open = true;
    if (core_.options.accept_proxy_header) open = co_await read_proxy_header();
    while (open) {
        const bool begun = co_await wait_for_request();
        if (!begun) break;
        const Status status = co_await read_request();
        if (phase_ == Phase::cutting_off) break;
        if (status == Status::need_more) {
            core_.metrics.refused(Refusal::incomplete);
            break;
        }
        if (status != Status::complete) {
            co_await refuse(status);
            break;
        }
        const bool keep_alive = co_await answer();
        if (!keep_alive) break;
    }
    core_.give_back(std::move(exchange_));
    // Stays in the server's list, where the sweep sees it, until the 408 is out.
    while (cutting_off_)
        co_await cut_off_ended_->wait();
    stream_->close();
}

/// False where the connection is to end. What is no header is left in the input.
Task<bool> Connection::read_proxy_header() {
    enter(Phase::idle, core_.options.limits.idle_timeout);
    for (bool first = true;; first = false) {
        const bool more = co_await read_more(net::kProxyHeaderMax);
        if (!more || phase_ == Phase::cutting_off) co_return false;
        const Result<net::ProxyHeader> header = net::parse_proxy_header(input_.data());
        if (!header) {
            core_.metrics.refused(Refusal::proxy_header);
            co_return false;
        }
        if (header->state == net::ProxyHeader::State::absent) co_return true;
        if (header->state == net::ProxyHeader::State::complete) {
            input_.consume(header->size);
            if (const auto& source = header->source) remote_ = *source;
            co_return true;
        }
        if (first) enter(Phase::reading, core_.options.limits.read_timeout);
    }
}

Task<bool> Connection::wait_for_request() {
    if (input_.empty()) {
        core_.give_back(std::move(exchange_));
        input_.shrink();
        if (core_.draining && answered_ > 0) co_return false;
        enter(Phase::idle, core_.draining ? kFirstRequest : core_.options.limits.idle_timeout);
        const bool more = co_await read_more(InputBuffer::kIdleBytes);
        if (!more || phase_ == Phase::cutting_off) co_return false;
    }
    if (!exchange_) exchange_ = core_.take_exchange();
    co_return true;
}

Task<Status> Connection::read_request() {
    RequestParser& parser = exchange_->parser;
    parser.start(exchange_->request, parser_limits());
    SteadyTime read_until = SteadyTime::max();
    bool continued = false;
    for (;;) {
        const RequestParser::Progress progress = parser.put(input_.data());
        input_.consume(progress.consumed);
        if (progress.status != Status::need_more) co_return progress.status;

        if (read_until == SteadyTime::max())
            read_until = core_.context.clock.now() + core_.options.limits.read_timeout;
        if (!continued && parser.header_done() && parser.expects_continue()) {
            continued = true;
            const bool waits = exchange_->request.body.empty() && input_.empty();
            if (waits) exchange_->out += "HTTP/1.1 100 Continue\r\n\r\n";
        }
        if (!exchange_->out.empty()) {
            const bool sent = co_await flush();
            if (!sent) co_return Status::need_more;
        }
        enter(Phase::reading);
        if (phase_ == Phase::reading) deadline_ = read_until;
        const bool in_body = parser.header_done();
        const std::size_t wanted = in_body ? kBodyReadBytes : 2 * InputBuffer::kIdleBytes;
        if (input_.prepare(wanted).empty())
            co_return in_body ? Status::malformed : Status::header_too_large;
        const bool more = co_await read_more(wanted);
        if (!more || phase_ == Phase::cutting_off) co_return Status::need_more;
    }
}

Task<bool> Connection::read_more(std::size_t capacity_wanted) {
    const auto room = input_.prepare(capacity_wanted);
    if (room.empty()) co_return false;
    const Result<std::size_t> count = co_await stream_->read_some(room);
    if (!count || *count == 0) co_return false;
    input_.commit(*count);
    co_return true;
}

Task<bool> Connection::flush(std::string_view tail) {
    enter(Phase::writing, core_.options.limits.write_timeout);
    const Result<> written = co_await stream_->write(as_bytes(exchange_->out), as_bytes(tail));
    exchange_->out.clear();
    co_return written.has_value();
}

Task<bool> Connection::answer() {
    Request& request = exchange_->request;
    request.remote = remote_;
    enter(Phase::handling);
    const SteadyTime started = core_.context.clock.now();
    Response response = co_await call_handler(request);
    if (response.status < 200 || response.status > 999) response = Response::empty(500);
    if (wants_gzip(response)) co_await compress(response);
    core_.metrics.answered(request.method, response.status, core_.context.clock.now() - started);

    const RequestParser& parser = exchange_->parser;
    const std::size_t requests_max = core_.options.limits.requests_per_connection_max;
    const bool keep_alive = ++answered_ != requests_max && !core_.draining && parser.keep_alive() &&
                            !asks_to_close(response);
    if (response.stream && !has_no_body(response.status))
        co_return co_await send_stream(std::move(response), keep_alive);

    std::string_view body = response.body_view();
    HeadOptions options = head_options(keep_alive);
    options.http11 = parser.knows_chunks();
    options.body_bytes = body.size();
    options.framing = has_no_body(response.status) ? Framing::none : Framing::length;
    append_head(exchange_->out, response, options);
    if (request.method == Method::head || options.framing == Framing::none) body = {};

    const bool more_waits = keep_alive && !input_.empty();
    if (more_waits && exchange_->out.size() + body.size() <= kJoinBytesMax) {
        exchange_->out += body;
        co_return true;
    }
    const bool sent = co_await flush(body);
    co_return sent&& keep_alive;
}

Task<Response> Connection::call_handler(Request& request) {
    std::exception_ptr failure;
    try {
        co_return co_await core_.router.handle(request);
    } catch (...) {
        failure = std::current_exception();
    }
    // The server stops: that is no failure of the handler.
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) std::rethrow_exception(failure);
    core_.handler_failed(request, failure);
    co_return Response::empty(500);
}

bool Connection::wants_gzip(Response& response) const {
    const std::size_t from = core_.options.gzip_from_bytes;
    if (from == 0 || response.stream || response.body_view().size() < from) return false;
    if (has_no_body(response.status) || response.fields.get("Content-Encoding")) return false;
    // Caches have to know that others may get another form, whatever this client gets.
    response.fields.add("Vary", "Accept-Encoding");
    const auto accepted = exchange_->request.fields.get("Accept-Encoding");
    return accepted && accepts_gzip(*accepted);
}

Task<> Connection::compress(Response& response) {
    std::optional<std::string> packed;
    if (response.body_view().size() <= kCompressOnLoopBytesMax) {
        packed = gzip(response.body_view());
    } else {
        // The worker runs to its end even when this coroutine is cancelled: it owns the text.
        auto text = response.shared_body
                        ? response.shared_body
                        : std::make_shared<const std::string>(std::move(response.body));
        response.shared_body = text;
        auto work = [text]() -> Result<std::string> {
            if (auto done = gzip(*text)) return std::move(*done);
            return fail(errc::unavailable, "gzip failed");
        };
        auto done = co_await core_.context.workers.run(std::move(work));
        if (done) packed = std::move(*done);
    }
    // Without memory or a free worker the plain text goes out.
    if (!packed) co_return;
    response.shared_body.reset();
    response.body = std::move(*packed);
    response.fields.set("Content-Encoding", "gzip");
}

Task<bool> Connection::send_stream(Response response, bool keep_alive) {
    using namespace asio::experimental::awaitable_operators;
    const bool chunked = exchange_->parser.knows_chunks();
    keep_alive = keep_alive && chunked;
    HeadOptions options = head_options(keep_alive);
    options.http11 = chunked;
    options.framing = chunked ? Framing::chunked : Framing::until_close;
    append_head(exchange_->out, response, options);
    const bool begun = co_await flush();
    if (!begun) co_return false;
    if (exchange_->request.method == Method::head) co_return keep_alive;

    enter(Phase::streaming);
    Chunks chunks(*this, chunked);
    const auto first = co_await (run_stream(response, chunks) || watch_peer());
    const bool whole = first.index() == 0 && std::get<0>(first) && !chunks.broken();
    if (!whole) co_return false;
    if (!chunked) co_return false;
    const bool sent = co_await flush("0\r\n\r\n");
    co_return sent&& keep_alive && !core_.draining;
}

/// True where the body came to its end. A body that failed is left without its last chunk, so that
/// the peer knows.
Task<bool> Connection::run_stream(Response& response, Chunks& chunks) {
    std::exception_ptr failure;
    try {
        co_await response.stream(chunks);
        co_return true;
    } catch (...) {
        failure = std::current_exception();
    }
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() == asio::cancellation_type::none)
        core_.handler_failed(exchange_->request, failure);
    co_return false;
}

/// Ends when the peer has left. Further requests that arrive meanwhile are kept.
Task<bool> Connection::watch_peer() {
    for (;;) {
        const bool more = co_await read_more(InputBuffer::kIdleBytes);
        if (!more) co_return false;
    }
}

Task<> Connection::refuse(Status status) {
    const Answer refusal = refusal_of(status);
    core_.metrics.refused(refusal.why);
    log::debug(
        core_.context.logger,
        "http.refused",
        log::kv("server", core_.options.name),
        log::kv("remote", remote_.to_string()),
        log::kv("reason", refusal_name(refusal.why))
    );
    const Response response = refusal_page(refusal.status);
    HeadOptions options = head_options(/*keep_alive=*/false);
    options.body_bytes = response.body.size();
    append_head(exchange_->out, response, options);
    const bool sent = co_await flush(response.body);
    if (sent) co_await linger();
}

Task<> Connection::linger() {
    enter(Phase::lingering, kLingerTime);
    for (std::size_t dropped = 0; dropped < kLingerBytesMax;) {
        input_.consume(input_.data().size());
        const auto room = input_.prepare(kBodyReadBytes);
        const Result<std::size_t> count = co_await stream_->read_some(room);
        if (!count || *count == 0) co_return;
        dropped += *count;
    }
}

void Connection::sweep(SteadyTime now) {
    if (now < deadline_) return;
    deadline_ = SteadyTime::max();
    switch (phase_) {
        case Phase::idle:
            if (!core_.draining) core_.metrics.refused(Refusal::idle);
            stream_->close();
            break;
        case Phase::reading:
            begin_cut_off();
            break;
        case Phase::writing:
        case Phase::cutting_off:
            core_.metrics.refused(Refusal::slow_reader);
            stream_->close();
            break;
        case Phase::lingering:
            stream_->close();
            break;
        case Phase::handling:
        case Phase::streaming:
            break;
    }
}

/// No write is under way while a request is read, so the answer may go out beside the read.
void Connection::begin_cut_off() {
    core_.metrics.refused(Refusal::slow_request);
    enter(Phase::cutting_off, core_.options.limits.write_timeout);
    cut_off_ended_ = std::make_unique<net::Event>(core_.context.loop);
    const std::string name = "http 408 to " + remote_.to_string();
    cutting_off_ = true;
    bool begun = false;
    try {
        auto self = shared_from_this();
        begun = core_.scope->spawn(name, [self = std::move(self)]() -> Task<> {
            co_await self->cut_off();
        });
    } catch (...) {
        // Nobody will tell `run` of its end.
        cutting_off_ = false;
        stream_->close();
        throw;
    }
    if (begun) return;
    cutting_off_ = false;
    stream_->close();
}

Task<> Connection::cut_off() {
    struct Ended {
        Connection& connection;
        ~Ended() {
            connection.stream_->close();
            connection.cutting_off_ = false;
            connection.cut_off_ended_->notify();
        }
    } const ended{*this};
    const Response response = refusal_page(408);
    HeadOptions options = head_options(/*keep_alive=*/false);
    options.body_bytes = response.body.size();
    std::string out;
    append_head(out, response, options);
    (void)co_await stream_->write(as_bytes(out), as_bytes(response.body));
}

void Connection::end_if_idle() noexcept {
    if (phase_ != Phase::idle) return;
    if (answered_ > 0) return stream_->close();
    deadline_ = std::min(deadline_, core_.context.clock.now() + kFirstRequest);
}

}  // namespace skywire::http::detail
