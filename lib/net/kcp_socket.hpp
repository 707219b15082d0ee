#pragma once

#include "net/context.hpp"
#include "net/kcp.hpp"
#include "net/network.hpp"
#include "net/scope.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace skywire::net {

struct KcpSocketOptions {
    KcpOptions kcp;
    /// Accepted and dialled ones together.
    std::size_t sessions_max = 1024;
    /// Sessions that wait for `accept`; 0: the socket only dials.
    std::size_t backlog_max = 128;
    /// Of one peer address: a program that was started again comes with another conversation while
    /// its old session is still there. The second oldest gives way to a newer one, so that forged
    /// datagrams do not end the first.
    std::size_t sessions_per_address_max = 4;
    /// A session without a datagram of its peer for so long ends.
    Duration idle_timeout = std::chrono::hours(1);
    /// How long a closed stream goes on to deliver what was written; 0: it is sent once.
    Duration linger = std::chrono::seconds(5);
    /// Datagrams that wait for the system; more are dropped, and go again as all lost ones do.
    std::size_t outgoing_max = 1024;
    /// Whether a conversation that this socket does not know may go on from where a datagram of it
    /// says that it stands: one that was held before a restart. Called for each such datagram.
    /// Null: none may.
    std::function<bool(const Address& from, std::uint32_t conversation)> may_resume = {};
};

/// A session that a peer has opened.
struct KcpAccepted {
    std::unique_ptr<Stream> stream;
    std::uint32_t conversation = 0;
    /// It goes on in the middle: KcpSocketOptions::may_resume.
    bool resumed = false;
};

/// KCP sessions as streams over one UDP socket: many peers, told apart by address and conversation.
/// The socket accepts and dials; bare datagrams (hole punches) leave from the same port. Used on
/// context.loop. spec/services-http.md section 6.2, spec/visor.md section 8.3.
///
/// A `write` of at most 1376 bytes is one message; longer ones are cut. Several writes may be under
/// way at once, and their messages stay whole. A `read_some` never gives
/// bytes of two messages. KCP has no end of a stream: a peer that went is noticed as
/// errc::timed_out (idle, or no answer to 20 transmissions). `close` delivers what was written, for
/// `linger`.
///
/// Only the first segment of a conversation (a push with sequence 0) opens a session, and a push in
/// the middle of one that may be resumed; everything else from unknown peers is dropped and
/// counted. Counts kcp_refused_total{reason}, kcp_sessions_resumed_total,
/// kcp_sessions_ended_total{reason}, kcp_outgoing_dropped_total{reason} and kcp_sessions.
class KcpSocket final : public Listener {
 public:
    KcpSocket(
        const Context& context, std::unique_ptr<Datagram> datagram, const KcpSocketOptions& options
    );
    /// After `stop`.
    ~KcpSocket() override;
    KcpSocket(const KcpSocket&) = delete;
    KcpSocket& operator=(const KcpSocket&) = delete;

    /// Begins to read and to send.
    void start();

    Task<Result<std::unique_ptr<Stream>>> accept() override;
    Task<Result<KcpAccepted>> accept_session();

    /// A session with a random conversation; its first datagram is that of the first write. `to`
    /// has an IP literal as its host. errc::limit_reached, errc::closed.
    Result<std::unique_ptr<Stream>> dial(const Address& to);

    /// Sends a bare datagram; like all datagrams it may be lost.
    void send_bare(ByteSpan payload, const Address& to);

    const Address& local() const noexcept override;
    std::size_t sessions() const noexcept;

    /// Ends all sessions and the socket. Streams stay usable and answer errc::closed.
    void close() noexcept override;

    /// `close`, and waits; the names of what had not ended at `deadline`.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    class State;

    std::shared_ptr<State> state_;
    /// Last: its coroutines use the state.
    Scope scope_;
};

}  // namespace skywire::net
