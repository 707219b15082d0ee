#include "net/kcp_socket.hpp"

#include "base/assert.hpp"
#include "net/event.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace skywire::net {
namespace {

/// What is longer is cut off, and then refused: peers send 1400 bytes at most.
constexpr std::size_t kDatagramBytesMax = 2048;
/// After an error of the socket that may pass.
constexpr std::chrono::milliseconds kReceivePause{100};

enum class Refusal { no_kcp, malformed, stray, backlog, sessions };
constexpr std::array<std::string_view, 5> kRefusals{
    "no_kcp", "malformed", "stray", "backlog", "sessions"
};

enum class Ending { closed, idle, dead, replaced, stopped };
constexpr std::array<std::string_view, 5> kEndings{"closed", "idle", "dead", "replaced", "stopped"};

Error error_of(Ending ending) {
    switch (ending) {
        case Ending::closed:
        case Ending::stopped:
            return fail(errc::closed, {});
        case Ending::idle:
            return fail(errc::timed_out, "KCP: the peer has been silent");
        case Ending::dead:
            return fail(errc::timed_out, "KCP: the peer does not acknowledge");
        case Ending::replaced:
            return fail(errc::closed, "KCP: newer sessions of this address have replaced this one");
    }
    return fail(errc::closed, {});
}

template <std::size_t N>
std::array<Counter*, N> counters(
    Metrics& metrics,
    std::string_view name,
    std::string_view help,
    const std::array<std::string_view, N>& reasons
) {
    std::array<Counter*, N> made{};
    for (std::size_t i = 0; i < N; ++i)
        made[i] = &metrics.counter(name, help, {{"reason", std::string(reasons[i])}});
    return made;
}

/// A session and who waits for it. In the table until it has ended.
struct Session {
    Session(Executor loop, KcpSession core_in, Address remote_in, SteadyTime now)
        : core(std::move(core_in)),
          remote(std::move(remote_in)),
          opened(now),
          heard(now),
          readable(loop),
          writable(std::move(loop)) {}

    KcpSession core;
    Address remote;
    SteadyTime opened;
    /// When the peer's last datagram came.
    SteadyTime heard;
    bool dialled = false;
    /// Why it is no longer in the table.
    std::optional<Error> ended;
    /// The stream is closed: until when what was written is delivered.
    std::optional<SteadyTime> lingers_until;
    /// The rest of the message that is being read.
    Bytes message;
    std::size_t message_read = 0;
    Event readable;
    Event writable;
    /// Where it stands in the queue of deadlines.
    std::optional<SteadyTime> queued_at;
};

using SessionKey = std::pair<Address, std::uint32_t>;

}  // namespace

/// The table of sessions and the socket: shared by the KcpSocket, its coroutines and the streams.
class KcpSocket::State : public std::enable_shared_from_this<State> {
 public:
    State(
        const Context& context, std::unique_ptr<Datagram> datagram, const KcpSocketOptions& options
    )
        : context_(context),
          options_(options),
          datagram_(std::move(datagram)),
          epoch_(context_.clock.now()),
          acceptable_(context_.loop),
          outgoing_there_(context_.loop),
          timer_(context_.loop, context_.clock),
          refused_(counters(
              context_.metrics,
              "kcp_refused_total",
              "Datagrams that no session took, by reason.",
              kRefusals
          )),
          endings_(counters(
              context_.metrics, "kcp_sessions_ended_total", "KCP sessions that ended.", kEndings
          )),
          dropped_full_(context_.metrics.counter(
              "kcp_outgoing_dropped_total",
              "KCP datagrams that were not sent.",
              {{"reason", "queue_full"}}
          )),
          dropped_error_(context_.metrics.counter(
              "kcp_outgoing_dropped_total",
              "KCP datagrams that were not sent.",
              {{"reason", "send_error"}}
          )),
          gauge_(context_.metrics.gauge("kcp_sessions", "KCP sessions that are open.")) {}

    Clock& clock() const noexcept { return context_.clock; }
    const Address& local() const noexcept { return datagram_->local(); }
    std::size_t size() const noexcept { return sessions_.size(); }

    Task<Result<std::unique_ptr<Stream>>> accept();
    Result<std::unique_ptr<Stream>> dial(const Address& to);
    void post(Bytes payload, const Address& to);
    void close();

    Task<> receive();
    Task<> send();
    Task<> watch_deadlines();

    // For streams.
    Task<Result<std::size_t>> read(std::shared_ptr<Session> session, std::span<std::byte> into);
    Task<Result<>> wait_readable(std::shared_ptr<Session> session);
    Task<Result<>> write(std::shared_ptr<Session> session, Bytes all);
    void close_stream(Session& session);

 private:
    using Sessions = std::map<SessionKey, std::shared_ptr<Session>>;

    static SessionKey key_of(const Session& session) {
        return {session.remote, session.core.conversation()};
    }

    void take(ByteSpan datagram, const Address& from);
    void refuse(Refusal why) { refused_[static_cast<std::size_t>(why)]->add(); }
    Session* open(const KcpHead& head, const Address& from);
    void make_room_at(const Address& from);
    std::shared_ptr<Session> add(std::uint32_t conversation, const Address& remote);
    /// Sends what the core has made, wakes the writers and sets the deadline; the session may have
    /// ended then.
    void pump(Session& session);
    void end(Session& session, Ending ending);
    void schedule(Session& session);
    void unschedule(Session& session);
    void on_deadline(Session& session, SteadyTime now);
    std::unique_ptr<Stream> stream_of(std::shared_ptr<Session> session);

    Context context_;
    KcpSocketOptions options_;
    std::unique_ptr<Datagram> datagram_;
    SteadyTime epoch_;
    bool closed_ = false;

    Sessions sessions_;
    std::deque<std::shared_ptr<Session>> backlog_;
    Event acceptable_;

    std::deque<std::pair<Bytes, Address>> outgoing_;
    Event outgoing_there_;

    std::set<std::pair<SteadyTime, SessionKey>> deadlines_;
    Timer timer_;
    SteadyTime armed_for_ = SteadyTime::max();

    std::array<Counter*, kRefusals.size()> refused_;
    std::array<Counter*, kEndings.size()> endings_;
    Counter& dropped_full_;
    Counter& dropped_error_;
    Gauge& gauge_;

    class SessionStream;
};

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

// --- sessions

std::unique_ptr<Stream> KcpSocket::State::stream_of(std::shared_ptr<Session> session) {
    return std::make_unique<SessionStream>(shared_from_this(), std::move(session));
}

std::shared_ptr<Session> KcpSocket::State::add(std::uint32_t conversation, const Address& remote) {
    const SteadyTime now = context_.clock.now();
    auto session = std::make_shared<Session>(
        context_.loop, KcpSession(conversation, now, options_.kcp, epoch_), remote, now
    );
    sessions_.emplace(key_of(*session), session);
    gauge_.add(1);
    schedule(*session);
    return session;
}

Task<Result<std::unique_ptr<Stream>>> KcpSocket::State::accept() {
    while (true) {
        if (closed_) co_return fail(errc::closed, {});
        while (!backlog_.empty()) {
            auto session = std::move(backlog_.front());
            backlog_.pop_front();
            if (!session->ended) co_return stream_of(std::move(session));
        }
        const bool notified = co_await acceptable_.wait();
        if (!notified) co_return fail(errc::cancelled, {});
    }
}

Result<std::unique_ptr<Stream>> KcpSocket::State::dial(const Address& to) {
    if (closed_) return fail(errc::closed, {});
    if (sessions_.size() >= options_.sessions_max)
        return fail(errc::limit_reached, "KCP: too many sessions");
    std::uint32_t conversation = 0;
    do {
        conversation = static_cast<std::uint32_t>(context_.random.next_u64());
    } while (sessions_.contains({to, conversation}));
    const auto session = add(conversation, to);
    session->dialled = true;
    return stream_of(session);
}

void KcpSocket::State::make_room_at(const Address& from) {
    std::vector<Session*> here;
    for (auto at = sessions_.lower_bound({from, 0}); at != sessions_.end(); ++at) {
        if (at->first.first != from) break;
        if (!at->second->dialled) here.push_back(at->second.get());
    }
    if (here.size() < options_.sessions_per_address_max) return;
    std::sort(here.begin(), here.end(), [](const Session* a, const Session* b) {
        return a->opened < b->opened;
    });
    end(*here[std::min<std::size_t>(1, here.size() - 1)], Ending::replaced);
}

Session* KcpSocket::State::open(const KcpHead& head, const Address& from) {
    if (head.command != KcpCommand::push || head.sequence != 0) {
        refuse(Refusal::stray);
        return nullptr;
    }
    std::erase_if(backlog_, [](const auto& session) { return session->ended.has_value(); });
    if (backlog_.size() >= options_.backlog_max) {
        refuse(Refusal::backlog);
        return nullptr;
    }
    make_room_at(from);
    if (sessions_.size() >= options_.sessions_max) {
        refuse(Refusal::sessions);
        return nullptr;
    }
    auto session = add(head.conversation, from);
    Session* opened = session.get();
    backlog_.push_back(std::move(session));
    acceptable_.notify();
    return opened;
}

void KcpSocket::State::take(ByteSpan datagram, const Address& from) {
    const auto head = read_kcp_head(datagram);
    if (!head) return refuse(Refusal::no_kcp);
    const auto found = sessions_.find({from, head->conversation});
    const bool known = found != sessions_.end();
    Session* session = known ? found->second.get() : open(*head, from);
    if (session == nullptr) return;
    const SteadyTime now = context_.clock.now();
    if (!session->core.input(datagram, now)) {
        refuse(Refusal::malformed);
        if (!known) end(*session, Ending::closed);
        return;
    }
    session->heard = now;
    if (session->core.readable()) session->readable.notify();
    session->core.on_time(now);
    pump(*session);
}

void KcpSocket::State::pump(Session& session) {
    for (Bytes& datagram : session.core.take_output())
        post(std::move(datagram), session.remote);
    if (session.ended) return;
    if (session.core.dead()) return end(session, Ending::dead);
    if (session.lingers_until && session.core.idle()) return end(session, Ending::closed);
    if (session.core.writable()) session.writable.notify();
    schedule(session);
}

void KcpSocket::State::end(Session& session, Ending ending) {
    if (session.ended) return;
    session.ended = error_of(ending);
    endings_[static_cast<std::size_t>(ending)]->add();
    gauge_.add(-1);
    session.readable.notify();
    session.writable.notify();
    unschedule(session);
    // The last reference may be the table's.
    sessions_.erase(key_of(session));
}

void KcpSocket::State::close_stream(Session& session) {
    if (session.ended || session.lingers_until) return;
    session.readable.notify();
    session.writable.notify();
    const SteadyTime now = context_.clock.now();
    session.lingers_until = now + options_.linger;
    session.core.flush(now);
    pump(session);
    if (options_.linger == Duration(0)) end(session, Ending::closed);
}

// --- deadlines

void KcpSocket::State::unschedule(Session& session) {
    if (!session.queued_at) return;
    deadlines_.erase({*session.queued_at, key_of(session)});
    session.queued_at.reset();
}

void KcpSocket::State::schedule(Session& session) {
    SteadyTime next = std::min(session.core.next_time(), session.heard + options_.idle_timeout);
    if (session.lingers_until) next = std::min(next, *session.lingers_until);
    // An alarm that rings too early looks again; moving it each time would cost more.
    if (session.queued_at && *session.queued_at <= next) return;
    unschedule(session);
    session.queued_at = next;
    deadlines_.emplace(next, key_of(session));
    if (next < armed_for_) timer_.cancel();
}

void KcpSocket::State::on_deadline(Session& session, SteadyTime now) {
    session.core.on_time(now);
    if (session.heard + options_.idle_timeout <= now) return end(session, Ending::idle);
    if (session.lingers_until && *session.lingers_until <= now) return end(session, Ending::closed);
    pump(session);
}

Task<> KcpSocket::State::watch_deadlines() {
    while (!closed_) {
        const SteadyTime now = context_.clock.now();
        while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
            const auto found = sessions_.find(deadlines_.begin()->second);
            deadlines_.erase(deadlines_.begin());
            SKY_ASSERT(found != sessions_.end());
            const std::shared_ptr<Session> session = found->second;
            session->queued_at.reset();
            on_deadline(*session, now);
        }
        armed_for_ = deadlines_.empty() ? SteadyTime::max() : deadlines_.begin()->first;
        co_await timer_.wait_until(armed_for_);
    }
}

// --- the socket

void KcpSocket::State::post(Bytes payload, const Address& to) {
    if (closed_) return;
    if (outgoing_.size() >= options_.outgoing_max) {
        dropped_full_.add();
        return;
    }
    outgoing_.emplace_back(std::move(payload), to);
    outgoing_there_.notify();
}

Task<> KcpSocket::State::send() {
    while (!closed_) {
        if (outgoing_.empty()) {
            co_await outgoing_there_.wait();
            continue;
        }
        const auto [payload, to] = std::move(outgoing_.front());
        outgoing_.pop_front();
        const auto sent = co_await datagram_->send(payload, to);
        if (!sent && !closed_) dropped_error_.add();
    }
}

Task<> KcpSocket::State::receive() {
    std::array<std::byte, kDatagramBytesMax> buffer{};
    while (!closed_) {
        const auto received = co_await datagram_->receive(buffer);
        if (closed_) co_return;
        if (received) {
            take(ByteSpan(buffer).first(received->size), received->from);
            continue;
        }
        log::warn(
            context_.logger, "kcp.receive_failed", log::kv("error", received.error().message())
        );
        co_await sleep_for(context_.clock, kReceivePause);
    }
}

void KcpSocket::State::close() {
    if (std::exchange(closed_, true)) return;
    while (!sessions_.empty()) {
        const std::shared_ptr<Session> session = sessions_.begin()->second;
        end(*session, Ending::stopped);
    }
    backlog_.clear();
    outgoing_.clear();
    datagram_->close();
    acceptable_.notify();
    outgoing_there_.notify();
    timer_.cancel();
}

// --- streams

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
        if (session->ended) co_return *session->ended;
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
        if (session->ended) co_return *session->ended;
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
