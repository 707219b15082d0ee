#include "net/kcp_socket_state.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <utility>

namespace skywire::net {
namespace {

/// What is longer is cut off, and then refused: peers send 1400 bytes at most.
constexpr std::size_t kDatagramBytesMax = 2048;
/// After an error of the socket that may pass.
constexpr std::chrono::milliseconds kReceivePause{100};

constexpr std::array<std::string_view, detail::kKcpRefusals> kRefusals{
    "no_kcp", "malformed", "stray", "backlog", "sessions"
};
constexpr std::array<std::string_view, detail::kKcpEndings> kEndings{
    "closed", "idle", "dead", "replaced", "stopped"
};

Error error_of(detail::KcpEnding ending) {
    using Ending = detail::KcpEnding;
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

}  // namespace

KcpSocket::State::State(
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
      resumed_(context_.metrics.counter(
          "kcp_sessions_resumed_total", "KCP sessions that went on from the time before a restart."
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

// --- sessions

std::shared_ptr<detail::KcpPeer> KcpSocket::State::add(KcpSession core, const Address& remote) {
    auto session =
        std::make_shared<Session>(context_.loop, std::move(core), remote, context_.clock.now());
    sessions_.emplace(key_of(*session), session);
    gauge_.add(1);
    schedule(*session);
    return session;
}

Task<Result<KcpAccepted>> KcpSocket::State::accept() {
    while (true) {
        if (closed_) co_return fail(errc::closed, {});
        while (!backlog_.empty()) {
            auto session = std::move(backlog_.front());
            backlog_.pop_front();
            if (session->ended) continue;
            KcpAccepted accepted;
            accepted.conversation = session->core.conversation();
            accepted.resumed = session->resumed;
            accepted.stream = stream_of(std::move(session));
            co_return accepted;
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
    const auto session = add(fresh(conversation), to);
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

std::optional<KcpPosition> KcpSocket::State::resumable(ByteSpan datagram, const Address& from)
    const {
    if (!options_.may_resume) return std::nullopt;
    const auto position = read_kcp_position(datagram);
    if (!position || !options_.may_resume(from, position->conversation)) return std::nullopt;
    return position;
}

detail::KcpPeer* KcpSocket::State::open(
    const KcpHead& head, ByteSpan datagram, const Address& from
) {
    const bool first = head.command == KcpCommand::push && head.sequence == 0;
    const auto position = first ? std::optional<KcpPosition>() : resumable(datagram, from);
    if (!first && !position) {
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
    const SteadyTime now = context_.clock.now();
    auto session = position ? add(KcpSession(*position, now, options_.kcp, epoch_), from)
                            : add(fresh(head.conversation), from);
    session->resumed = position.has_value();
    if (session->resumed) resumed_.add();
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
    Session* session = known ? found->second.get() : open(*head, datagram, from);
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

}  // namespace skywire::net
