#pragma once

#include "net/event.hpp"
#include "net/kcp_socket.hpp"
#include "net/timer.hpp"

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

/// What stands behind a KcpSocket, for the sources of this folder: the table of its sessions, their
/// deadlines and its UDP socket.
namespace skywire::net {

namespace detail {

enum class KcpRefusal { no_kcp, malformed, stray, backlog, sessions };
inline constexpr std::size_t kKcpRefusals = 5;
enum class KcpEnding { closed, idle, dead, replaced, stopped };
inline constexpr std::size_t kKcpEndings = 5;

/// A session and who waits for it. In the table until it has ended.
struct KcpPeer {
    KcpPeer(Executor loop, KcpSession core_in, Address remote_in, SteadyTime now)
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
    bool resumed = false;
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

using KcpSessionKey = std::pair<Address, std::uint32_t>;

}  // namespace detail

/// The table of sessions and the socket: shared by the KcpSocket, its coroutines and the streams.
class KcpSocket::State : public std::enable_shared_from_this<State> {
 public:
    using Session = detail::KcpPeer;

    State(
        const Context& context, std::unique_ptr<Datagram> datagram, const KcpSocketOptions& options
    );

    Clock& clock() const noexcept { return context_.clock; }
    const Address& local() const noexcept { return datagram_->local(); }
    std::size_t size() const noexcept { return sessions_.size(); }

    Task<Result<KcpAccepted>> accept();
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
    using Refusal = detail::KcpRefusal;
    using Ending = detail::KcpEnding;
    using SessionKey = detail::KcpSessionKey;
    using Sessions = std::map<SessionKey, std::shared_ptr<Session>>;

    static SessionKey key_of(const Session& session) {
        return {session.remote, session.core.conversation()};
    }

    void take(ByteSpan datagram, const Address& from);
    void refuse(Refusal why) { refused_[static_cast<std::size_t>(why)]->add(); }
    Session* open(const KcpHead& head, ByteSpan datagram, const Address& from);
    std::optional<KcpPosition> resumable(ByteSpan datagram, const Address& from) const;
    void make_room_at(const Address& from);
    std::shared_ptr<Session> add(KcpSession core, const Address& remote);
    KcpSession fresh(std::uint32_t conversation) const {
        return {conversation, context_.clock.now(), options_.kcp, epoch_};
    }
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

    std::array<Counter*, detail::kKcpRefusals> refused_;
    std::array<Counter*, detail::kKcpEndings> endings_;
    Counter& resumed_;
    Counter& dropped_full_;
    Counter& dropped_error_;
    Gauge& gauge_;

    class SessionStream;
};

}  // namespace skywire::net
