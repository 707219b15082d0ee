#pragma once

#include "dmsg/server/admission.hpp"
#include "dmsg/server/relay.hpp"
#include "dmsg/server/server_counters.hpp"
#include "dmsg/session.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"

#include <memory>
#include <string_view>
#include <variant>

namespace skywire::dmsg::detail {

class Shard;

/// A request that one session has received and another one is to forward.
struct ForwardJob {
    SignedObject request;
    ResponseOrigin origin;
    /// The half that the dialer's side will make; also who waits for the outcome.
    RelayRef dialer;
};

/// What became of it: the destination's response and the half that waits there, or why not.
struct Forwarded {
    SignedObject response;
    RelayRef destination;
    /// As the job had it.
    RelayRef dialer;
};
using ForwardOutcome = std::variant<Forwarded, std::string_view>;

/// A session as a server has it: answers what its peer asks of the server itself, sets up streams
/// from it and towards it (spec/dmsg.md sections 8, 9 and 14). Belongs to a shard and its loop.
class ServerSession final : private Session::Owner {
 public:
    enum class Kind {
        client,
        /// Other servers', by who dialled. Requests from them are their clients', and go no
        /// further.
        accepted_peer,
        dialed_peer,
    };

    ServerSession(
        Shard& shard, std::uint64_t id, Handshaken handshaken, Kind kind, Admission::Place place
    );
    ~ServerSession() override;
    ServerSession(const ServerSession&) = delete;
    ServerSession& operator=(const ServerSession&) = delete;

    std::uint64_t id() const noexcept { return id_; }
    Kind kind() const noexcept { return kind_; }
    bool is_peer() const noexcept { return kind_ != Kind::client; }
    const crypto::PublicKey& remote() const noexcept { return session_.remote(); }
    bool ended() const noexcept { return ended_; }

    /// Forwards a request to the peer; the outcome goes to the job's dialer.
    void forward(ForwardJob job);
    /// The discovery's word on the peer's multiplexer.
    void decide(mux::Protocol protocol);

    void tick(SteadyTime now);
    void go_away();
    /// Ends it at once.
    void abort(const Error& reason);
    /// Waits for what runs, after it has ended.
    Task<> close();

 private:
    void on_stream(Session& session, std::unique_ptr<mux::Stream> stream) override;
    void on_refused(Session& session, std::size_t streams) override;
    void on_go_away(Session& session) override;
    void on_end(Session& session, const Error& reason) override;

    Task<> set_up(std::unique_ptr<mux::Stream> stream);
    Task<> answer_ping(std::unique_ptr<mux::Stream> stream);
    Task<> answer_ip_look_up(std::unique_ptr<mux::Stream> stream, SignedObject object);
    Task<> bridge(
        std::unique_ptr<mux::Stream> stream,
        SignedObject object,
        crypto::PublicKey destination,
        SteadyTime began
    );
    /// A number for an end of a relay on a stream of this session.
    RelayRef new_relay();
    Task<ForwardOutcome> ask_sessions(ForwardJob job, crypto::PublicKey destination);
    Task<> forward_now(ForwardJob job);
    Task<ForwardOutcome> exchange(ForwardJob job);
    /// Sends an object on a stream whose peer may give no window for it.
    Task<Result<>> send(mux::Stream& stream, SignedObject object, Duration limit);
    /// False where nobody says in time which protocol it is.
    Task<bool> settle_protocol();
    void ask_protocol();
    void refuse(mux::Stream& stream, std::string_view reason);

    Shard& shard_;
    std::uint64_t id_;
    Kind kind_;
    bool ended_ = false;
    bool asked_protocol_ = false;
    /// Streams that are being set up: from the peer, and towards it. Counted apart, so that nobody
    /// keeps it from dialling by dialling it.
    std::size_t setups_ = 0;
    std::size_t forwards_ = 0;
    SteadyTime began_;
    Admission::Place place_;
    /// Only while somebody waits for the protocol to be known.
    std::unique_ptr<net::Event> settled_;
    Session session_;
    /// Last: its coroutines use all of the above.
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
