#include "net/kcp_socket.hpp"

#include "base/assert.hpp"
#include "net/kcp_socket_state.hpp"

#include <algorithm>
#include <utility>

namespace skywire::net {

class KcpSocket::State::SessionStream final : public Stream {
 public:
    SessionStream(std::shared_ptr<State> state, std::shared_ptr<Session> session)
        : state_(std::move(state)), session_(std::move(session)) {}
    ~SessionStream() override { SessionStream::close(); }
    SessionStream(const SessionStream&) = delete;
    SessionStream& operator=(const SessionStream&) = delete;

    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override {
        return state_->read(session_, into);
    }

    Task<Result<>> write(ByteSpan head, ByteSpan tail) override {
        Bytes all;
        all.reserve(head.size() + tail.size());
        all.insert(all.end(), head.begin(), head.end());
        all.insert(all.end(), tail.begin(), tail.end());
        return state_->write(session_, std::move(all));
    }

    Task<Result<>> write_all(std::span<const ByteSpan> parts) override {
        Bytes all;
        for (const ByteSpan part : parts)
            all.insert(all.end(), part.begin(), part.end());
        return state_->write(session_, std::move(all));
    }

    Task<Result<>> wait_readable() override { return state_->wait_readable(session_); }

    void close() noexcept override { state_->close_stream(*session_); }

    const Address& local() const noexcept override { return state_->local(); }
    const Address& remote() const noexcept override { return session_->remote; }

 private:
    std::shared_ptr<State> state_;
    std::shared_ptr<Session> session_;
};

std::unique_ptr<Stream> KcpSocket::State::stream_of(std::shared_ptr<Session> session) {
    return std::make_unique<SessionStream>(shared_from_this(), std::move(session));
}

Task<Result<std::size_t>> KcpSocket::State::read(
    std::shared_ptr<Session> session, std::span<std::byte> into
) {
    SKY_ASSERT(!into.empty());
    while (true) {
        if (session->lingers_until) co_return fail(errc::closed, {});
        if (session->message_read < session->message.size()) {
            const ByteSpan rest = ByteSpan(session->message).subspan(session->message_read);
            const std::size_t size = std::min(rest.size(), into.size());
            std::copy_n(rest.data(), size, into.data());
            session->message_read += size;
            if (session->message_read == session->message.size()) session->message = Bytes();
            co_return size;
        }
        if (auto message = session->core.read()) {
            session->message = std::move(*message);
            session->message_read = 0;
            if (!session->ended) schedule(*session);
            continue;
        }
        if (const auto& ended = session->ended) co_return *ended;
        const bool notified = co_await session->readable.wait();
        if (!notified) co_return fail(errc::cancelled, {});
    }
}

Task<Result<>> KcpSocket::State::wait_readable(std::shared_ptr<Session> session) {
    while (true) {
        const bool has_message = session->message_read < session->message.size();
        const bool over = session->lingers_until || session->ended;
        if (over || has_message || session->core.readable()) co_return Result<>();
        const bool notified = co_await session->readable.wait();
        if (!notified) co_return fail(errc::cancelled, {});
    }
}

Task<Result<>> KcpSocket::State::write(std::shared_ptr<Session> session, Bytes all) {
    ByteSpan left(all);
    while (!left.empty()) {
        if (session->lingers_until) co_return fail(errc::closed, {});
        if (const auto& ended = session->ended) co_return *ended;
        if (!session->core.writable()) {
            const bool notified = co_await session->writable.wait();
            if (!notified) co_return fail(errc::cancelled, {});
            continue;
        }
        const std::size_t size = std::min(left.size(), session->core.segment_bytes_max());
        session->core.write(left.first(size), context_.clock.now());
        left = left.subspan(size);
        pump(*session);
    }
    co_return Result<>();
}

// --- KcpSocket

KcpSocket::KcpSocket(
    const Context& context, std::unique_ptr<Datagram> datagram, const KcpSocketOptions& options
)
    : state_(std::make_shared<State>(context, std::move(datagram), options)),
      scope_(context.loop) {}

KcpSocket::~KcpSocket() {
    state_->close();
}

void KcpSocket::start() {
    scope_.spawn("kcp receive", [state = state_.get()] { return state->receive(); });
    scope_.spawn("kcp send", [state = state_.get()] { return state->send(); });
    scope_.spawn("kcp deadlines", [state = state_.get()] { return state->watch_deadlines(); });
}

Task<Result<std::unique_ptr<Stream>>> KcpSocket::accept() {
    auto accepted = co_await state_->accept();
    if (!accepted) co_return accepted.error();
    co_return std::move(accepted->stream);
}

Task<Result<KcpAccepted>> KcpSocket::accept_session() {
    return state_->accept();
}

Result<std::unique_ptr<Stream>> KcpSocket::dial(const Address& to) {
    return state_->dial(to);
}

void KcpSocket::send_bare(ByteSpan payload, const Address& to) {
    state_->post(Bytes(payload.begin(), payload.end()), to);
}

const Address& KcpSocket::local() const noexcept {
    return state_->local();
}

std::size_t KcpSocket::sessions() const noexcept {
    return state_->size();
}

void KcpSocket::close() noexcept {
    state_->close();
    scope_.cancel();
}

Task<std::vector<std::string>> KcpSocket::stop(SteadyTime deadline) {
    Clock& clock = state_->clock();
    close();
    co_return co_await scope_.close(clock, clock.now(), deadline);
}

}  // namespace skywire::net
