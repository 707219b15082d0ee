#pragma once

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "mux/error.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

/// A multiplexer's state machine: many streams on one carrier, each with its own flow control. Two
/// protocols, yamux (spec/dmsg.md section 5) and smux version 2 (section 6), behind one interface.
/// No I/O, no clock, and no payload: the core counts bytes, whoever drives it holds them.
namespace skywire::mux {

using StreamId = std::uint32_t;

enum class Protocol { yamux, smux };
std::string_view protocol_name(Protocol protocol) noexcept;

/// The dialer of the carrier is the client.
enum class Role { client, server };

struct CoreOptions {
    Role role = Role::client;
    /// Streams at one time, both sides' together; the peer's next one is refused (RST, FIN).
    std::size_t streams_max = 2048;
    /// Nothing received for this long: our ping.
    Duration ping_after{std::chrono::seconds(5)};
    /// Nothing received for this long after our ping: errc::peer_silent.
    Duration ping_timeout{std::chrono::seconds(10)};
    /// A keep-alive that a Go peer expects whatever it received: yamux every 30 s; smux every 10 s,
    /// which is the most it takes from here.
    Duration keep_alive{std::chrono::seconds(30)};
    /// Our SYN without the peer's ACK (yamux): errc::open_timed_out ends the session.
    Duration open_timeout{std::chrono::seconds(20)};
    /// Our FIN without the peer's: the stream is reset.
    Duration close_timeout{std::chrono::seconds(30)};
    /// The number of our first stream, of our role's parity; 0: where the protocol begins.
    StreamId first_id = 0;
};

/// What the peer did. Called inside Core::on_bytes and on_time, in order of arrival; the callee may
/// call the core's stream functions from within, but not those two.
class CoreEvents {
 public:
    virtual ~CoreEvents() = default;
    /// The peer opened a stream; `accept` or `reset` follows, now or later.
    virtual void on_stream(StreamId id) = 0;
    /// A stream of the peer's was refused: there are `streams_max`, or we have gone away. Its
    /// number names nothing.
    virtual void on_refused(StreamId) {}
    /// Payload in order, never empty; a frame may come in several pieces. The view is a part of
    /// on_bytes's input. Answered in time by `consumed`.
    virtual void on_data(StreamId id, ByteSpan payload) = 0;
    /// `sendable` has risen from zero.
    virtual void on_sendable(StreamId id) = 0;
    /// The peer accepted our stream (yamux; smux does not tell).
    virtual void on_accepted(StreamId id) = 0;
    /// The peer will send no more. After our `close` the stream is gone with this (and with our
    /// `close`, if that comes second); its id may come again then, as another stream's.
    virtual void on_finished(StreamId id) = 0;
    /// The stream is gone, without `close` of ours or the rest of what was under way: reset by the
    /// peer (errc::reset), or the peer did not finish in time after our close
    /// (errc::close_timed_out). Our own `reset` is not echoed.
    virtual void on_reset(StreamId id, errc reason) = 0;
    /// An answer to our `ping`, after this long.
    virtual void on_pong(Duration round_trip) = 0;
    /// The peer opens no more streams and accepts none.
    virtual void on_go_away() = 0;
};

/// Where a core puts its frames, in the order in which they must be sent. Does not call the core.
class CoreOutput {
 public:
    virtual ~CoreOutput() = default;
    virtual void on_frame(ByteSpan frame) = 0;
};

class Core {
 public:
    virtual ~Core() = default;

    /// Takes what was read, any cut of it. An error ends the session: send what is in the output
    /// (a go-away), then close; every later call of this and of on_time answers the same error.
    /// errc::bad_frame, bad_stream_id, window_exceeded, frame_too_long, peer_error.
    [[nodiscard]] virtual Result<> on_bytes(ByteSpan bytes, SteadyTime now, CoreEvents& events) = 0;
    /// Pings and time limits; call at next_time() or a little later. An error ends the session:
    /// errc::peer_silent, open_timed_out.
    [[nodiscard]] virtual Result<> on_time(SteadyTime now, CoreEvents& events) = 0;
    /// When on_time may have something to do; earlier than that it has not.
    virtual SteadyTime next_time() const noexcept = 0;

    /// Opens a stream. errc::too_many_streams, going_away, ids_exhausted.
    virtual Result<StreamId> open(SteadyTime now) = 0;
    /// Accepts the peer's stream. Our first data and our `close` do it too.
    virtual void accept(StreamId id) = 0;
    /// How much payload may be sent now in one frame; 0 for an unknown or closed stream.
    virtual std::size_t sendable(StreamId id) const noexcept = 0;
    /// Puts the header of a frame with this much payload (at most `sendable`) into the output; the
    /// payload follows it at once.
    virtual void begin_data(StreamId id, std::size_t payload_bytes) = 0;
    /// The application has taken this much of what on_data brought; the peer gets its window back
    /// in time. No effect on a stream that is closed or gone.
    virtual void consumed(StreamId id, std::size_t bytes) = 0;
    /// Ends our direction (FIN), once. What the peer still sends is discarded, and its window is
    /// given back, also for what was not yet consumed. A Go peer of smux has closed both
    /// directions when it finishes: it takes nothing more, and gives no window.
    virtual void close(StreamId id, SteadyTime now) = 0;
    /// Ends both directions at once and forgets the stream (smux has a FIN for it only: the peer
    /// cannot tell it from `close`).
    virtual void reset(StreamId id) = 0;
    /// Asks for an answer (yamux; smux has none and sends a NOP): on_pong.
    virtual void ping(SteadyTime now) = 0;
    /// Tells the peer to open no more streams, reason 0 (smux has no such frame: nothing is sent,
    /// and its next streams are refused).
    virtual void go_away() = 0;

    /// Both sides' streams that are not gone, accepted or not.
    virtual std::size_t streams() const noexcept = 0;
};

/// `output` outlives the core. `now` is when the session began.
std::unique_ptr<Core> make_yamux(const CoreOptions& options, CoreOutput& output, SteadyTime now);
std::unique_ptr<Core> make_smux(const CoreOptions& options, CoreOutput& output, SteadyTime now);

/// The protocol a client speaks, by the first byte it sends: 0 yamux, 2 smux.
std::optional<Protocol> protocol_of(std::byte first) noexcept;

}  // namespace skywire::mux
