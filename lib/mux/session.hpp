#pragma once

#include "mux/core.hpp"
#include "mux/slice.hpp"
#include "net/context.hpp"
#include "net/scope.hpp"
#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace skywire::mux {

class Stream;

/// Drives a core over a net::Stream: one loop, one carrier, many streams. An idle session holds no
/// buffer and runs one coroutine.
///
/// Reading stops while more than `output_max` of our answers wait to be written, so that a peer
/// that asks without reading is pushed back. Streams with data to send take turns of one chunk.
class Session {
 public:
    struct Options {
        CoreOptions core;
        /// Unset: whatever the peer's first byte says; until then `decide` or the first `open`
        /// settles it (yamux).
        std::optional<Protocol> protocol = Protocol::yamux;
        /// Bytes of frames and payload queued for the carrier.
        std::size_t output_max = 256 * 1024;
        /// For one write to be taken by the peer: errc::write_timed_out.
        Duration write_timeout{std::chrono::seconds(10)};
        /// Bytes read before the session began.
        Bytes surplus;
    };

    /// What the session tells its owner; called on its loop, never after `close` has returned.
    class Owner {
     public:
        virtual ~Owner() = default;
        /// The peer opened a stream; it is accepted where it is kept, reset where it is dropped.
        virtual void on_stream(std::unique_ptr<Stream> stream) = 0;
        /// The peer takes no more streams.
        virtual void on_go_away() {}
        /// The session has ended, once; its streams fail with errc::session_ended.
        virtual void on_end(const Error& reason) = 0;
    };

    /// Starts reading at once (in a scope of the session's own). `owner` outlives the session.
    Session(
        const net::Context& context,
        std::unique_ptr<net::Stream> carrier,
        Options options,
        Owner& owner
    );
    /// Its streams may live on; `close` has been awaited.
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Opens a stream; nothing is waited for, data may follow at once. errc::session_ended,
    /// going_away, too_many_streams.
    Result<std::unique_ptr<Stream>> open();

    /// Settles the protocol of a session that waits for the peer's first byte; no effect later.
    void decide(Protocol protocol);
    /// Unset until it is known.
    std::optional<Protocol> protocol() const noexcept;

    /// Round trip of a yamux ping. errc::session_ended, peer_silent.
    Task<Result<Duration>> ping();
    /// Opens and accepts no more streams and tells the peer so.
    void go_away();

    /// Time limits and pings: the owner calls this for all its sessions every 250 ms or so.
    void tick(SteadyTime now);

    /// Ends the session at once; on_end follows where it has not come.
    void abort(const Error& reason) noexcept;
    /// Ends it and waits for what runs.
    Task<> close();

    bool ended() const noexcept;
    std::size_t streams() const noexcept;
    /// When the last byte came.
    SteadyTime last_received() const noexcept;
    const net::Address& remote() const noexcept;

    class State;

 private:
    std::shared_ptr<State> state_;
};

/// One stream of a session, in two ways of use: as a net::Stream by coroutines, or by reference
/// with an observer (relays), never both at a time. Used on the session's loop. Dropping it resets
/// it unless both sides have ended.
class Stream final : public net::Stream {
 public:
    ~Stream() override;
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    StreamId id() const noexcept;

    // As a net::Stream: `read_some` gives back window as it copies; 0 is the peer's FIN. `close`
    // sends what is queued, then FIN, and refuses further use.
    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override;
    Task<Result<>> write(ByteSpan head, ByteSpan tail = {}) override;
    void close() noexcept override;
    const net::Address& local() const noexcept override;
    const net::Address& remote() const noexcept override;

    /// As read_some, without a copy: at least one byte, at most what is there; empty at the end.
    Task<Result<ByteQueue>> read_queue();
    /// As write, by reference: returns when all of it is queued on the carrier.
    Task<Result<>> write(ByteQueue bytes);

    // By reference. Nothing here waits.

    class Observer {
     public:
        virtual ~Observer() = default;
        /// `received` has grown, or the peer has finished.
        virtual void on_readable() = 0;
        /// That much of what was pushed is on the carrier's queue.
        virtual void on_taken(std::size_t bytes) = 0;
        /// Gone: reset, or the session ended. Comes once, and nothing after it.
        virtual void on_lost(const Error& reason) = 0;
    };
    /// `observer` is told from now on, null: nobody. It outlives the stream or is taken away.
    void observe(Observer* observer);
    /// What has arrived and was not taken.
    std::size_t received() const noexcept;
    /// Takes it; the window stays closed until `consumed`.
    ByteQueue take_received();
    void consumed(std::size_t bytes);
    /// The peer's FIN came and everything before it is taken.
    bool finished() const noexcept;
    /// Queues bytes for sending: whoever pushes bounds them by waiting for on_taken.
    void push(ByteQueue bytes);
    /// Ends both directions at once (RST); errors of the other side: errc::reset.
    void reset() noexcept;

 private:
    friend class Session;
    struct Impl;
    explicit Stream(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace skywire::mux
