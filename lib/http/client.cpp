#include "http/client.hpp"

#include "http/detail/response_parser.hpp"
#include "http/detail/serializer.hpp"
#include "net/deadline.hpp"
#include "net/event.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <boost/asio/experimental/awaitable_operators.hpp>

namespace skywire::http {
namespace {

constexpr std::size_t kReadBytes = 16 * 1024;

bool is_idempotent(Method method) noexcept {
    switch (method) {
        case Method::get:
        case Method::head:
        case Method::put:
        case Method::delete_:
        case Method::options:
            return true;
        case Method::post:
        case Method::patch:
        case Method::other:
            return false;
    }
    return false;
}

/// What goes into the Host field: a unix socket has no name of its own.
std::string host_of(const net::Address& address) {
    if (address.kind == net::Address::Kind::unix_socket) return "localhost";
    if (address.port != 80) return address.to_string();
    const bool v6 = address.host.find(':') != std::string::npos;
    return v6 ? "[" + address.host + "]" : address.host;
}

/// Line ends and blanks would cut the request line.
bool is_target(std::string_view target) noexcept {
    return !target.empty() && std::none_of(target.begin(), target.end(), [](char c) {
        return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
    });
}

}  // namespace

class Client::Impl {
 public:
    Impl(const net::Context& context, Options options)
        : context_(context), options_(options), closing_(context.loop) {}

    /// Keeps the client's inside alive until the request has ended.
    static Task<Result<Response>> send(std::shared_ptr<Impl> self, ClientRequest request) {
        co_return co_await self->send(std::move(request));
    }

    void close() {
        closed_ = true;
        idle_.clear();
        for (net::Stream* stream : active_)
            stream->close();
        closing_.notify();
    }

 private:
    Task<Result<Response>> send(ClientRequest request) {
        if (closed_) co_return fail(errc::closed, "the HTTP client is closed");
        if (!is_target(request.target) || request.method == Method::other)
            co_return fail(errc::malformed, "cannot request " + quote_peer_text(request.target));
        const SteadyTime deadline = context_.clock.now() + request.timeout;
        const std::string where = request.address.to_string();
        // A named task: its argument has to live until the end of the wait.
        Task<Result<Response>> work = exchange(std::move(request));
        Result<Response> answer =
            co_await net::with_deadline(context_.clock, deadline, std::move(work));
        if (answer) co_return answer;
        if (closed_) co_return fail(errc::closed, "the HTTP client is closed");
        co_return answer.error().within("http request to " + where);
    }

    struct Kept {
        std::unique_ptr<net::Stream> stream;
        SteadyTime until;
    };

    /// A stream in use; `close` reaches it while it is one.
    class Active {
     public:
        Active(Impl& client, std::unique_ptr<net::Stream> stream)
            : client_(client), stream_(std::move(stream)) {
            client_.active_.insert(stream_.get());
        }
        Active(const Active&) = delete;
        Active& operator=(const Active&) = delete;
        ~Active() {
            if (stream_) client_.active_.erase(stream_.get());
        }

        net::Stream& operator*() const noexcept { return *stream_; }
        std::unique_ptr<net::Stream> release() {
            client_.active_.erase(stream_.get());
            return std::move(stream_);
        }

     private:
        Impl& client_;
        std::unique_ptr<net::Stream> stream_;
    };

    Task<Result<Response>> exchange(ClientRequest request) {
        std::string head;
        detail::append_request_head(
            head,
            request.method,
            request.target,
            host_of(request.address),
            request.fields,
            request.body.size()
        );
        if (auto kept = take_kept(request.address)) {
            bool nothing_came = false;
            auto answer = co_await over(std::move(kept), request, head, nothing_came);
            // The server may have closed the kept connection before it saw the request.
            const bool again = !answer && nothing_came && is_idempotent(request.method) && !closed_;
            if (!again) co_return answer;
        }
        auto fresh = co_await dial(request.address);
        if (!fresh) co_return fresh.error();
        bool nothing_came = false;
        co_return co_await over(std::move(*fresh), request, head, nothing_came);
    }

    /// A new connection; `close` ends the attempt.
    Task<Result<std::unique_ptr<net::Stream>>> dial(net::Address address) {
        using namespace asio::experimental::awaitable_operators;
        auto first =
            co_await (context_.network.dial(context_.loop, std::move(address)) || closing_.wait());
        if (closed_ || first.index() != 0)
            co_return fail(errc::closed, "the HTTP client is closed");
        co_return std::get<0>(std::move(first));
    }

    /// One request over one connection, which is kept afterwards where that is possible. The
    /// references belong to `exchange`, which waits.
    Task<Result<Response>> over(
        std::unique_ptr<net::Stream> stream,
        const ClientRequest& request,
        const std::string& head,
        bool& nothing_came
    ) {
        Active active(*this, std::move(stream));
        nothing_came = true;
        const Result<> sent = co_await (*active).write(as_bytes(head), as_bytes(request.body));
        // A server that refuses a body may have answered before it closed: read all the same.
        detail::ResponseParser::Expected expected;
        expected.to_head = request.method == Method::head;
        expected.body_bytes_max = request.response_bytes_max;
        detail::ResponseParser parser(expected);
        const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kReadBytes);
        std::size_t held = 0;
        for (;;) {
            if (held == kReadBytes)
                co_return fail(errc::limit_reached, "the answer has a line that is too long");
            const auto count =
                co_await (*active).read_some({buffer.get() + held, kReadBytes - held});
            if (!count) co_return sent ? count.error() : sent.error();
            if (*count == 0) {
                const Result<> whole = parser.put_end();
                if (!whole) co_return sent ? whole.error() : sent.error();
                co_return parser.take();
            }
            nothing_came = false;
            held += *count;
            const auto progress = parser.put({buffer.get(), held});
            if (!progress) co_return progress.error();
            held -= progress->consumed;
            std::copy_n(buffer.get() + progress->consumed, held, buffer.get());
            if (progress->status == detail::ResponseParser::Status::need_more) continue;
            // Bytes behind the answer belong to nothing we asked for.
            if (sent && held == 0 && parser.keep_alive()) keep(request.address, active.release());
            co_return parser.take();
        }
    }

    std::unique_ptr<net::Stream> take_kept(const net::Address& address) {
        drop_expired();
        const auto found = idle_.find(address);
        if (found == idle_.end()) return nullptr;
        // The one used last: the others get a chance to become superfluous.
        auto stream = std::move(found->second.back().stream);
        found->second.pop_back();
        if (found->second.empty()) idle_.erase(found);
        return stream;
    }

    void keep(const net::Address& address, std::unique_ptr<net::Stream> stream) {
        drop_expired();
        if (closed_ || options_.idle_per_address_max == 0) return;
        auto& kept = idle_[address];
        if (kept.size() >= options_.idle_per_address_max) kept.erase(kept.begin());
        kept.push_back({std::move(stream), context_.clock.now() + options_.idle_timeout});
    }

    void drop_expired() {
        const SteadyTime now = context_.clock.now();
        for (auto& [address, kept] : idle_) {
            std::erase_if(kept, [&](const Kept& each) { return each.until <= now; });
        }
        std::erase_if(idle_, [](const auto& each) { return each.second.empty(); });
    }

    net::Context context_;
    Options options_;
    std::map<net::Address, std::vector<Kept>> idle_;
    std::set<net::Stream*> active_;
    net::Event closing_;
    bool closed_ = false;
};

Client::Client(const net::Context& context, Options options)
    : impl_(std::make_shared<Impl>(context, options)) {}

Client::Client(const net::Context& context) : Client(context, Options()) {}

Client::~Client() {
    impl_->close();
}

Task<Result<Response>> Client::send(ClientRequest request) {
    return Impl::send(impl_, std::move(request));
}

void Client::close() {
    impl_->close();
}

}  // namespace skywire::http
