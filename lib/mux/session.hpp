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
/// buffer and runs one coroutine, the reader; a writer is there from the first output until two
/// ticks after the last.
///
/// Reading stops while more than `output_max` of our answers wait to be written, so that a peer
/// that asks without reading is pushed back. Streams with data to send take turns of one chunk;
/// they are asked for it when the carrier is about to take it, so that what waits is joined under
/// one header. Streams alone fill half of `output_max`: the rest is for answers.
///
/// The owner and observers are called from the session's own coroutines or posted handlers, never
/// from within a call of theirs; they may call anything of any session and stream of the loop.
class Session {
 public:
    struct Options {
        CoreOptions core;
        /// Unset: whatever the peer's first byte says; until then `decide` or the first `open`
        /// settles it (yamux). A peer that says nothing is given a keep-alive's time and the
        /// ping's: a Go client without work to do speaks with its first keep-alive.
        std::optional<Protocol> protocol = Protocol::yamux;
        /// Bytes of frames and payload queued for the carrier.
        std::size_t output_max = 256 * 1024;
        /// For one write (up to about half of output_max) to be taken by the peer:
        /// errc::write_timed_out.
        Duration write_timeout{std::chrono::seconds(10)};
        /// Bytes read before the session began.
        Bytes surplus;
    };

    /// What the session tells its owner; called on its loop, never after `close` has returned, and
    /// never within the constructor.
    class Owner {
     public:
        virtual ~Owner() = default;
        /// The peer opened a stream; it is accepted where it is kept, reset where it is dropped.
        virtual void on_stream(std::unique_ptr<Stream> stream) = 0;
        /// So many of the peer's streams were refused: there are `streams_max`, or we have gone
        /// away.
        virtual void on_refused(std::size_t /*streams*/) {}
        /// The peer takes no more streams.
        virtual void on_go_away() {}
        /// The session has ended and the carrier is closed, once; its streams fail with
        /// errc::session_ended. `reason`: what the core said, the carrier's own error, what `abort`
        /// was given, closed (skywire::errc) where the peer has closed the connection or the owner
        /// the session, write_timed_out, bad_frame for a first byte of no protocol.
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

    /// Round trip of a yamux ping. errc::session_ended, peer_silent; cancelled (skywire::errc)
    /// where the caller was, unsupported where the protocol is another or not known yet.
    Task<Result<Duration>> ping();
    /// Opens and accepts no more streams and tells the peer so.
    void go_away();

    /// Time limits and pings: the owner calls this for all its sessions every 250 ms or so. What
    /// comes of it is told later.
    void tick(SteadyTime now);

    /// Ends the session at once; on_end follows where it has not come.
    void abort(const Error& reason) noexcept;
    /// Ends it at once, with what is in the output, and waits for what runs. Is itself not to be
    /// cancelled.
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
/// with an observer (relays), never both at a time. Used on the session's loop. It may outlive the
/// session. What was received before a reset or the session's end can still be taken; then comes
/// the error, or the end where the peer had finished. Dropping it resets it unless `close` was
/// called.
class Stream final : public net::Stream {
 public:
    ~Stream() override;
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    StreamId id() const noexcept;

    // As a net::Stream: `read_some` gives back window as it copies; 0 is the peer's FIN. A write
    // ends when all of it is on the carrier's queue; one that is cancelled or cut off by `close`
    // resets the stream. `close` sends what is queued (for CoreOptions::close_timeout at most),
    // then FIN, discards what was not read and refuses further use. Errors: errc::reset,
    // session_ended; closed and cancelled (skywire::errc).
    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override;
    Task<Result<>> write(ByteSpan head, ByteSpan tail = {}) override;
    Task<Result<>> write_all(std::span<const ByteSpan> parts) override;
    Task<Result<>> wait_readable() override;
    void close() noexcept override;
    const net::Address& local() const noexcept override;
    const net::Address& remote() const noexcept override;

    /// From now on a write that would have to wait fails with errc::closed where the peer's FIN has
    /// come or comes meanwhile: for protocols without a half-close, in which nobody gives back the
    /// window any more. What fits into the window still goes out, as it may have before.
    void end_with_peer() noexcept;

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
        /// Gone: reset, or the session ended. Comes once, and nothing after it. Not for a `reset`
        /// or `close` of our own: after these nobody is told anything.
        virtual void on_lost(const Error& reason) = 0;
    };
    /// `observer` is told from now on, and of what is there already; null: nobody. It outlives the
    /// stream or is taken away.
    void observe(Observer* observer);
    /// What has arrived and was not taken.
    std::size_t received() const noexcept;
    /// Takes it; the window stays closed until `consumed`.
    ByteQueue take_received();
    void consumed(std::size_t bytes);
    /// The peer's FIN came and everything before it is taken.
    bool finished() const noexcept;
    /// Queues bytes for sending: whoever pushes bounds them by waiting for on_taken. Dropped where
    /// the stream is gone.
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
