#pragma once

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

/// KCP, a reliable and ordered protocol over datagrams, in the dialect of the network: no
/// encryption, no error correction, one write = one message. spec/services-http.md section 6.2,
/// spec/visor.md section 8.3. A core without I/O; kcp_socket.hpp drives it over UDP.
///
/// A datagram holds one or more segments, each a head of 24 bytes, little-endian, and its data.
namespace skywire::net {

enum class KcpCommand : std::uint8_t {
    push = 81,
    ack = 82,
    /// Asks for the peer's window.
    window_ask = 83,
    window_tell = 84,
};

struct KcpHead {
    static constexpr std::size_t kSize = 24;

    std::uint32_t conversation = 0;
    KcpCommand command = KcpCommand::push;
    /// How many pieces of the same message follow.
    std::uint8_t fragment = 0;
    /// Messages that the sender has room for.
    std::uint16_t window = 0;
    /// The sender's clock in milliseconds; in an ack that of the segment it is for.
    std::uint32_t timestamp = 0;
    std::uint32_t sequence = 0;
    /// All segments before this one have arrived.
    std::uint32_t unacknowledged = 0;
    std::uint32_t length = 0;
};

/// The head of the first segment; nothing where these bytes are no KCP: too short, an unknown
/// command, more data announced than there is.
std::optional<KcpHead> read_kcp_head(ByteSpan datagram) noexcept;

/// Where a conversation stands, as far as one datagram of the peer tells it: enough to go on with
/// it where everything else has been lost.
struct KcpPosition {
    std::uint32_t conversation = 0;
    /// The first segment of the peer that is in the datagram.
    std::uint32_t receive_next = 0;
    /// The first segment that the peer has not received: it drops what is far from it.
    std::uint32_t send_next = 0;
};

/// Nothing where the datagram is no KCP, is of several conversations or brings no push: what the
/// peer sends next is not known then.
std::optional<KcpPosition> read_kcp_position(ByteSpan datagram) noexcept;

/// Both sides of the network use these.
struct KcpOptions {
    /// Bytes of a datagram.
    std::size_t mtu = 1400;
    /// Segments; both windows bound what a session holds.
    std::size_t send_window = 32;
    std::size_t receive_window = 32;
    /// How late an acknowledgement may go out.
    std::chrono::milliseconds interval{100};
    std::chrono::milliseconds rto_initial{200};
    std::chrono::milliseconds rto_min{100};
    std::chrono::milliseconds rto_max{60'000};
    /// A segment goes again at once where so many later ones were acknowledged; 0 = never.
    unsigned fast_resend_skips = 3;
    /// Transmissions of one segment without an answer until the session is dead; 0 = never.
    unsigned dead_link = 20;
};

/// One session: datagrams and the time in, datagrams and the next deadline out.
///
/// The owner sends what `take_output` gives after each call, and calls `on_time` when `next_time`
/// has come. There is no message that ends a session: who has had enough just stops.
class KcpSession {
 public:
    /// Timestamps are counted from `epoch`.
    KcpSession(
        std::uint32_t conversation, SteadyTime now, const KcpOptions& options, SteadyTime epoch
    );
    KcpSession(std::uint32_t conversation, SteadyTime now, const KcpOptions& options = {})
        : KcpSession(conversation, now, options, now) {}
    /// A conversation that goes on from `position`. Where the peer turns out to have received more
    /// than that said, what is sent from then on begins behind it.
    KcpSession(
        const KcpPosition& position, SteadyTime now, const KcpOptions& options, SteadyTime epoch
    );

    std::uint32_t conversation() const noexcept { return conversation_; }

    /// Takes a datagram of the peer. errc::malformed, and nothing has changed, where a part of it
    /// is no segment of this conversation.
    Result<> input(ByteSpan datagram, SteadyTime now);

    /// Whether `write` may be called: the segments that wait fit into the send window.
    bool writable() const noexcept { return waiting_segments() < options_.send_window; }

    /// Bytes that one segment carries.
    std::size_t segment_bytes_max() const noexcept { return options_.mtu - KcpHead::kSize; }

    /// Queues a message of at most segment_bytes_max() bytes, and sends what the windows allow.
    void write(ByteSpan message, SteadyTime now);

    /// Whether there is a message to read.
    bool readable() const noexcept;
    /// The next message, whole.
    std::optional<Bytes> read();

    /// Sends all that may be sent, acknowledgements before their tick.
    void flush(SteadyTime now);

    /// Sends what is due.
    void on_time(SteadyTime now);
    /// When `on_time` is to be called; SteadyTime::max() for "not before something else happens".
    SteadyTime next_time() const noexcept;

    /// The peer has not answered for `dead_link` transmissions.
    bool dead() const noexcept { return dead_; }
    /// Everything written has been acknowledged.
    bool idle() const noexcept { return waiting_segments() == 0; }

    /// Segments that were sent more than once.
    std::uint64_t resent() const noexcept { return resent_; }

    /// The datagrams to be sent, in order.
    std::vector<Bytes> take_output() { return std::exchange(output_, {}); }

 private:
    struct Sent {
        std::uint32_t sequence = 0;
        std::uint32_t timestamp = 0;
        SteadyTime resend_at{};
        Duration rto{0};
        unsigned skips = 0;
        unsigned transmissions = 0;
        Bytes data;
    };
    struct Piece {
        std::uint8_t fragment = 0;
        Bytes data;
    };
    struct Ack {
        std::uint32_t sequence;
        std::uint32_t timestamp;
    };
    /// What the acknowledgements of one datagram come to.
    struct Heard {
        bool acknowledged = false;
        std::uint32_t timestamp = 0;
    };

    Result<> check(ByteSpan datagram) const;
    void take_push(const KcpHead& head, ByteSpan data);
    void take_ack(const KcpHead& head);
    void acknowledged_before(std::uint32_t sequence);
    void deliver();
    void queue_ack(const KcpHead& head);
    void measured(Duration round_trip);
    void grow_window();

    void flush_acks();
    void flush_probes(SteadyTime now);
    void flush_segments(SteadyTime now);
    bool due(const Sent& sent, SteadyTime now) const noexcept;
    void append(const KcpHead& head, ByteSpan data);
    void end_datagram();
    void pass_ticks(SteadyTime now);
    KcpHead head(KcpCommand command) const noexcept;

    std::size_t waiting_segments() const noexcept { return queue_.size() + sent_.size(); }
    std::size_t window() const noexcept;
    std::uint32_t timestamp(SteadyTime now) const noexcept;

    std::uint32_t conversation_;
    KcpOptions options_;
    SteadyTime epoch_;
    /// Acknowledgements go out at the next multiple of the interval since the session began.
    SteadyTime next_tick_;
    bool dead_ = false;
    bool resumed_ = false;
    std::uint64_t resent_ = 0;

    std::uint32_t send_next_ = 0;
    std::deque<Bytes> queue_;
    std::deque<Sent> sent_;
    std::size_t peer_window_;
    std::size_t congestion_window_ = 1;
    std::size_t congestion_bytes_;
    std::size_t slow_start_threshold_ = 2;
    Duration smoothed_round_trip_{0};
    Duration round_trip_variation_{0};
    Duration rto_;
    /// While the peer has no room: when to ask again.
    std::optional<SteadyTime> probe_at_;
    Duration probe_wait_{0};

    std::uint32_t receive_next_ = 0;
    std::map<std::uint32_t, Piece> early_;
    std::deque<Piece> received_;
    std::vector<Ack> acks_;
    bool tell_window_ = false;

    Bytes datagram_;
    std::vector<Bytes> output_;
};

}  // namespace skywire::net
