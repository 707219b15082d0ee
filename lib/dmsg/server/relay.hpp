#pragma once

#include "base/clock.hpp"
#include "mux/session.hpp"

#include <cstdint>
#include <memory>

namespace skywire::dmsg::detail {

class Shard;

/// One end of a relay: the shard it lives on, and its number there.
struct RelayRef {
    std::uint32_t shard = 0;
    std::uint64_t id = 0;
    /// Half its window. Its peer hears of no less, so it need not hear of less itself; waking
    /// another loop for it costs.
    std::size_t told_bytes = 0;
};

/// What one half of a relay says to the other.
struct RelayMail {
    enum class Kind {
        /// The other half is there: bytes move from now on.
        start,
        /// Its stream has received `bytes`.
        bytes,
        /// `taken` bytes of what it was given are on its carrier's queue.
        taken,
        /// Its stream has ended, or it has seen that ours has: nothing more comes from it.
        finish,
        /// The same, but the way to another server has broken, not the stream ended.
        broken,
    };

    Kind kind = Kind::finish;
    /// The half that is spoken to, on its shard.
    std::uint64_t to = 0;
    std::size_t taken = 0;
    mux::ByteQueue bytes;
};

/// One of the two streams that a server has bridged. Each half lives on the event loop of its own
/// stream and is owned by that loop's shard; they talk in messages, by call where both are on one
/// loop and by post where not, and never share anything.
///
/// Bytes move by reference: what the stream has received is taken and handed to the other half,
/// which pushes it; once it is on the other carrier's queue, the word comes back and the window is
/// opened again. So a relay holds at most one window per direction, and one slow reader holds up
/// nobody else.
///
/// When either stream ends, both do (spec/dmsg.md section 9): what was received before is still
/// pushed, then both are closed; reset where the server stops, or another one on the way, so that
/// nobody takes that for the end of what the other had to say.
class RelayHalf final : private mux::Stream::Observer {
 public:
    enum class Side { dialer, destination };

    /// `by_peer`: the stream is one of a session with another server.
    RelayHalf(
        Shard& shard,
        std::uint64_t id,
        std::unique_ptr<mux::Stream> stream,
        RelayRef other,
        Side side,
        bool by_peer
    );
    ~RelayHalf() override;
    RelayHalf(const RelayHalf&) = delete;
    RelayHalf& operator=(const RelayHalf&) = delete;

    /// Bytes move from now on: the other half is there.
    void start();
    /// What the other half says.
    void receive(RelayMail mail);

    /// Ends both halves, as if the stream had been lost: idle, or nothing was heard of the other.
    void give_up();

    Side side() const noexcept { return side_; }
    bool started() const noexcept { return state_ != State::waiting; }
    /// When a byte last passed in either direction, or the half last changed its state.
    SteadyTime last_used() const noexcept { return last_used_; }
    /// Waits for a word of the other half alone.
    bool ending() const noexcept { return state_ == State::ending; }

 private:
    enum class State {
        /// The other half is not there yet.
        waiting,
        open,
        /// Our stream has ended; the other half was told.
        ending,
        /// Both have ended; the object is about to go.
        over,
    };

    void on_readable() override;
    void on_taken(std::size_t bytes) override;
    void on_lost(const Error& reason) override;

    void take(mux::ByteQueue bytes);
    void taken(std::size_t bytes);
    void finish();
    void pump();
    void tell(RelayMail::Kind kind, std::size_t taken = 0, mux::ByteQueue bytes = {});
    void ended();
    void close_and_retire();

    Shard& shard_;
    std::uint64_t id_;
    std::unique_ptr<mux::Stream> stream_;
    RelayRef other_;
    SteadyTime last_used_;
    /// On the carrier's queue, and the other half not yet told.
    std::size_t untold_ = 0;
    Side side_;
    State state_ = State::waiting;
    bool by_peer_;
    bool lost_ = false;
    bool broken_ = false;
};

}  // namespace skywire::dmsg::detail
