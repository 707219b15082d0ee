#include "rpc/client.hpp"

#include "net/deadline.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "rpc/detail/inbox.hpp"

#include <map>
#include <optional>

namespace skywire::rpc {

class Client::Impl {
 public:
    Impl(const net::Context& context, std::unique_ptr<net::Stream> stream, Options options)
        : context_(context),
          options_(options),
          stream_(std::move(stream)),
          incoming_(options.limits),
          written_(context.loop),
          scope_(context.loop) {
        scope_.spawn("rpc answers", [this] { return read_answers(); });
    }

    bool broken() const noexcept { return trouble_.has_value(); }

    Task<Result<>> call(std::string method, Body argument, ReadReply read, SteadyTime deadline) {
        if (trouble_) co_return *trouble_;
        if (pending_.size() >= options_.calls_max) co_return Error(errc::too_many_calls);
        const auto pending = std::make_shared<Pending>(context_.loop, std::move(read));
        const std::uint64_t seq = next_seq_++;
        const Enlisted enlisted(pending_, seq, pending);
        const auto written = co_await net::with_deadline(
            context_.clock, deadline, write(Request{std::move(method), seq}, std::move(argument))
        );
        if (!written) {
            // An unknown part of the call is written.
            break_off(written.error());
            co_return written.error();
        }
        const auto outcome =
            co_await net::with_deadline(context_.clock, deadline, answered(pending));
        co_return outcome;
    }

    Task<> close() {
        const Error closed = fail(skywire::errc::closed, "the stream is closed");
        if (!trouble_) trouble_ = closed;
        stream_->close();
        co_await scope_.close(context_.clock);
        end_all(closed);
    }

 private:
    struct Pending {
        Pending(Executor loop, ReadReply read_in) : read(std::move(read_in)), done(loop) {}
        ReadReply read;
        std::optional<Result<>> outcome;
        net::Event done;
    };
    using PendingMap = std::map<std::uint64_t, std::shared_ptr<Pending>>;

    /// A call stands in the map as long as it waits.
    class Enlisted {
     public:
        Enlisted(PendingMap& map, std::uint64_t seq, std::shared_ptr<Pending> pending)
            : map_(map), seq_(seq) {
            map_.emplace(seq, std::move(pending));
        }
        ~Enlisted() { map_.erase(seq_); }
        Enlisted(const Enlisted&) = delete;
        Enlisted& operator=(const Enlisted&) = delete;

     private:
        PendingMap& map_;
        std::uint64_t seq_;
    };

    Task<Result<>> write(Request header, Body argument) {
        while (writing_ && !trouble_) {
            const bool awake = co_await written_.wait();
            if (!awake) co_return fail(skywire::errc::cancelled, {});
        }
        if (trouble_) co_return *trouble_;
        writing_ = true;
        Bytes bytes;
        outgoing_.append(bytes, header, argument);
        const auto done = co_await stream_->write(bytes);
        writing_ = false;
        written_.notify();
        co_return done;
    }

    static Task<Result<>> answered(std::shared_ptr<Pending> pending) {
        while (true) {
            if (const auto& outcome = pending->outcome; outcome) co_return *outcome;
            const bool awake = co_await pending->done.wait();
            if (!awake) co_return fail(skywire::errc::cancelled, {});
        }
    }

    Task<> read_answers() {
        co_await asio::this_coro::throw_if_cancelled(false);
        while (true) {
            ByteSpan input = inbox_.bytes();
            const auto next = incoming_.next(input);
            if (!next) co_return break_off(next.error());
            if (const auto& message = *next; message) {
                const auto taken = deliver(message->header, message->body);
                inbox_.keep(input);
                if (!taken) co_return break_off(taken.error());
                continue;
            }
            inbox_.keep(input);
            const auto size = co_await stream_->read_some(inbox_.room());
            if (!size) co_return break_off(size.error());
            if (*size == 0)
                co_return break_off(fail(skywire::errc::closed, "the peer has closed the stream"));
            inbox_.filled(*size);
        }
    }

    Result<> deliver(const Response& header, const gob::Value& body) {
        if (header.seq >= next_seq_) return Error(errc::unexpected_answer);
        const auto found = pending_.find(header.seq);
        // Nobody waits for it any more, or it comes twice.
        if (found == pending_.end() || found->second->outcome) return {};
        Pending& pending = *found->second;
        if (header.error.empty()) {
            pending.outcome = pending.read(body);
        } else {
            pending.outcome = refused_by_peer(header.error);
        }
        pending.done.notify();
        return {};
    }

    void break_off(const Error& why) {
        if (!trouble_) trouble_ = why;
        stream_->close();
        end_all(why);
        written_.notify();
    }

    void end_all(const Error& why) {
        for (const auto& [seq, pending] : pending_) {
            if (!pending->outcome) pending->outcome = why;
            pending->done.notify();
        }
    }

    net::Context context_;
    Options options_;
    std::unique_ptr<net::Stream> stream_;
    Incoming<Response> incoming_;
    Outgoing outgoing_;
    detail::Inbox inbox_;
    std::uint64_t next_seq_ = 0;
    PendingMap pending_;
    /// Why no more calls can be made.
    std::optional<Error> trouble_;
    bool writing_ = false;
    net::Event written_;
    net::Scope scope_;
};

Client::Client(const net::Context& context, std::unique_ptr<net::Stream> stream, Options options)
    : impl_(std::make_unique<Impl>(context, std::move(stream), options)) {}

Client::Client(const net::Context& context, std::unique_ptr<net::Stream> stream)
    : Client(context, std::move(stream), Options()) {}

Client::~Client() = default;

Task<Result<>> Client::call_and_read(
    std::string method, Body argument, ReadReply read, SteadyTime deadline
) {
    return impl_->call(std::move(method), std::move(argument), std::move(read), deadline);
}

bool Client::broken() const noexcept {
    return impl_->broken();
}

Task<> Client::close() {
    return impl_->close();
}

}  // namespace skywire::rpc
