#pragma once

#include "dmsg/server/relay.hpp"
#include "dmsg/server/server_core.hpp"
#include "dmsg/server/server_session.hpp"
#include "net/context.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include <boost/asio/post.hpp>

namespace skywire::dmsg::detail {

/// The part of a server that lives on one event loop: its sessions, its halves of relays, and the
/// sweep over them. Shards talk by posting; what is posted to a shard that is closed is dropped.
/// All calls but `post` and the figures come on its loop.
class Shard final : public std::enable_shared_from_this<Shard> {
 public:
    Shard(const net::Context& context, std::shared_ptr<ServerCore> core, std::uint32_t index);
    ~Shard();
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;

    const net::Context& context() const noexcept { return context_; }
    ServerCore& core() noexcept { return *core_; }
    std::uint32_t index() const noexcept { return index_; }
    Shard& other(std::uint32_t index) { return *core_->shards[index]; }
    /// The loop's time as of its last sweep: exact to a quarter of a second.
    SteadyTime now() const noexcept { return now_; }

    /// Runs `work(shard)` on the shard's loop, later. From any thread.
    template <class Work>
    void post(Work work) {
        asio::post(context_.loop, [self = shared_from_this(), work = std::move(work)]() mutable {
            if (!self->closed_) work(*self);
        });
    }

    /// Begins to sweep.
    void start();

    /// Serves one connection.
    void connect(std::unique_ptr<net::Stream> stream, Admission::Place place, bool websocket);
    /// Keeps a session with another server for as long as the shard lives.
    void keep_peer(ServerPeer peer);

    // Sessions.

    ServerSession* session(std::uint64_t id);
    /// Ends a session because its key has a newer one.
    void replace(std::uint64_t id);
    /// A session has ended: takes it down.
    void session_over(ServerSession& session);
    /// No new streams on any of them.
    void go_away();

    // Streams being set up.

    /// Hands a job to the session that is to forward it, wherever it lives, and waits for the
    /// outcome, which is a refusal too where the other shard says nothing until `deadline`.
    Task<ForwardOutcome> forward(SessionRef to, ForwardJob job, SteadyTime deadline);
    /// Tells who waits for a job.
    void send_outcome(RelayRef dialer, ForwardOutcome outcome);

    // Relays.

    std::uint64_t next_relay() noexcept { return ++last_relay_; }
    RelayHalf& add_relay(
        std::uint64_t id,
        std::unique_ptr<mux::Stream> stream,
        RelayRef other,
        RelayHalf::Side side,
        bool by_peer
    );
    /// Hands a half on whatever shard its mail, if it is still there. In order; to another shard in
    /// batches.
    void tell(std::uint32_t shard, RelayMail mail);
    RelayHalf* relay(std::uint64_t id);
    /// The half is over; it is destroyed once nothing of it is on the stack.
    void retire(std::uint64_t id);
    void count_relayed(RelayHalf::Side side, std::size_t bytes) noexcept;

    /// Ends everything; the names of what had not ended at `deadline`.
    Task<std::vector<std::string>> close(SteadyTime deadline);

    // Figures, from any thread.

    std::uint64_t bytes_up() const noexcept { return bytes_up_.load(std::memory_order_relaxed); }
    std::uint64_t bytes_down() const noexcept {
        return bytes_down_.load(std::memory_order_relaxed);
    }
    std::uint64_t packets() const noexcept { return packets_.load(std::memory_order_relaxed); }

 private:
    class Waiting;

    Task<> serve(std::unique_ptr<net::Stream> stream, Admission::Place place, bool websocket);
    Task<Result<Handshaken>> shake_hands(
        std::unique_ptr<net::Stream> stream, Admission::Place& place, bool websocket
    );
    Task<> peer_loop(ServerPeer peer);
    Task<Result<>> peer_session(ServerPeer peer);
    std::uint64_t begin(Handshaken handshaken, ServerSession::Kind kind, Admission::Place place);
    Task<> bury(std::uint64_t id);
    Task<> sweep();
    void sweep_relays();
    void flush_counts();
    void send_mail(std::uint32_t shard);
    void outcome_came(std::uint64_t dialer, ForwardOutcome outcome);

    net::Context context_;
    std::shared_ptr<ServerCore> core_;
    std::uint32_t index_;
    SteadyTime now_;
    bool closing_ = false;
    bool closed_ = false;
    std::uint64_t last_session_ = 0;
    std::uint64_t last_relay_ = 0;
    std::unordered_map<std::uint64_t, std::unique_ptr<ServerSession>> sessions_;
    std::unordered_map<std::uint64_t, std::unique_ptr<RelayHalf>> relays_;
    std::vector<std::unique_ptr<RelayHalf>> retired_;
    /// For other shards' halves, by shard.
    std::unordered_map<std::uint32_t, std::vector<RelayMail>> mail_;
    std::unordered_map<std::uint64_t, Waiting*> waiting_;
    /// Told when a session is gone: peers are dialled again.
    net::Event session_gone_;
    std::atomic<std::uint64_t> bytes_up_{0};
    std::atomic<std::uint64_t> bytes_down_{0};
    std::atomic<std::uint64_t> packets_{0};
    std::uint64_t counted_up_ = 0;
    std::uint64_t counted_down_ = 0;
    /// Last: its coroutines use all of the above.
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
