#include "mux/yamux.hpp"

#include "base/assert.hpp"
#include "mux/detail/head_reader.hpp"
#include "mux/detail/liveness.hpp"
#include "mux/detail/stream_table.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <boost/endian/conversion.hpp>
#include <fmt/format.h>

namespace skywire::mux {
namespace yamux {

namespace endian = boost::endian;

std::array<std::byte, kHeaderBytes> encode(const Header& header) noexcept {
    std::array<std::byte, kHeaderBytes> bytes{};
    auto* at = reinterpret_cast<unsigned char*>(bytes.data());
    at[1] = static_cast<unsigned char>(header.type);
    endian::store_big_u16(at + 2, header.flags);
    endian::store_big_u32(at + 4, header.stream);
    endian::store_big_u32(at + 8, header.length);
    return bytes;
}

std::optional<Header> decode(const std::byte* bytes) noexcept {
    const auto* at = reinterpret_cast<const unsigned char*>(bytes);
    if (at[0] != 0 || at[1] > static_cast<unsigned char>(Type::go_away)) return std::nullopt;
    return Header{
        static_cast<Type>(at[1]),
        endian::load_big_u16(at + 2),
        endian::load_big_u32(at + 4),
        endian::load_big_u32(at + 8),
    };
}

}  // namespace yamux

namespace {

using namespace yamux;

/// A received byte is, from its frame's header on, `unconsumed` until the application has taken it,
/// then `credit` until a window update gives it back; both together never exceed the window.
struct YamuxStream {
    SteadyTime deadline = SteadyTime::max();
    std::uint32_t send_window = kWindowBytes;
    std::uint32_t unconsumed = 0;
    std::uint32_t credit = 0;
    bool ours = false;
    /// The ACK is on its way, in either direction.
    bool acknowledged = false;
    /// Our FIN is sent.
    bool closed = false;
    /// The peer's FIN has come.
    bool finished = false;
};

class Yamux final : public Core {
 public:
    Yamux(const CoreOptions& options, CoreOutput& output, SteadyTime now)
        : options_(options),
          output_(output),
          liveness_(options, now),
          next_id_(options.role == Role::client ? 1 : 2) {
        if (options.first_id != 0) next_id_ = options.first_id;
    }

    Result<> on_bytes(ByteSpan bytes, SteadyTime now, CoreEvents& events) override;
    Result<> on_time(SteadyTime now, CoreEvents& events) override;
    SteadyTime next_time() const noexcept override {
        return std::min(liveness_.next_time(), streams_.next_deadline());
    }

    Result<StreamId> open(SteadyTime now) override;
    void accept(StreamId id) override;
    std::size_t sendable(StreamId id) const noexcept override;
    void begin_data(StreamId id, std::size_t payload_bytes) override;
    void consumed(StreamId id, std::size_t bytes) override;
    void close(StreamId id, SteadyTime now) override;
    void reset(StreamId id) override;
    void ping(SteadyTime now) override;
    void go_away() override;
    std::size_t streams() const noexcept override { return streams_.size(); }

 private:
    // Input: a header, then the payload that it announces.
    Result<> on_header(const Header& header, SteadyTime now, CoreEvents& events);
    Result<> on_stream_frame(const Header& header, CoreEvents& events);
    Result<> on_syn(StreamId id, CoreEvents& events);
    void on_ack(StreamId id, CoreEvents& events);
    void on_fin(StreamId id, CoreEvents& events);
    Result<> on_window_update(const Header& header, CoreEvents& events);
    Result<> begin_payload(const Header& header);
    void take_payload(ByteSpan& bytes, CoreEvents& events);
    void on_ping(const Header& header, SteadyTime now, CoreEvents& events);
    Result<> on_go_away(const Header& header, CoreEvents& events);

    // Output.
    void send(Type type, std::uint16_t flags, StreamId id, std::uint32_t length);
    void give_back(StreamId id, YamuxStream& stream, std::uint32_t bytes);
    void forget(StreamId id);
    Error violation(errc code, std::string context);

    struct Payload {
        StreamId id = 0;
        std::uint32_t left = 0;
        /// Else it is discarded.
        bool delivered = false;
        /// The frame carries the peer's FIN.
        bool fin = false;
    };
    struct Ping {
        std::uint32_t value;
        SteadyTime sent_at;
    };
    /// More questions than this are not waited for at one time: the oldest is forgotten.
    static constexpr std::size_t kPingsMax = 16;

    CoreOptions options_;
    CoreOutput& output_;
    detail::Liveness liveness_;
    detail::StreamTable<YamuxStream> streams_;
    detail::HeadReader<kHeaderBytes> header_reader_;
    Payload payload_;
    std::vector<Ping> pings_;
    std::uint32_t next_ping_ = 0;
    /// Wider than an id, so that it can stand behind the last one.
    std::uint64_t next_id_;
    bool we_go_away_ = false;
    bool peer_goes_away_ = false;
    std::optional<Error> ended_;
};

Result<> Yamux::on_bytes(ByteSpan bytes, SteadyTime now, CoreEvents& events) {
    if (ended_) return *ended_;
    if (!bytes.empty()) liveness_.on_received(now);
    while (!bytes.empty()) {
        if (payload_.left > 0) {
            take_payload(bytes, events);
            continue;
        }
        const std::byte* head = header_reader_.take(bytes);
        if (head == nullptr) break;
        const auto header = decode(head);
        if (!header)
            return violation(
                errc::bad_frame,
                fmt::format(
                    "yamux frame of version {} and type {}; version 0 and types 0 to 3 are known",
                    std::to_integer<int>(head[0]),
                    std::to_integer<int>(head[1])
                )
            );
        if (auto done = on_header(*header, now, events); !done) return done;
    }
    return {};
}

Result<> Yamux::on_header(const Header& header, SteadyTime now, CoreEvents& events) {
    switch (header.type) {
        case Type::data:
        case Type::window_update:
            return on_stream_frame(header, events);
        case Type::ping:
            on_ping(header, now, events);
            return {};
        case Type::go_away:
            return on_go_away(header, events);
    }
    return {};
}

/// The flags in the order in which they make sense together: a frame may open a stream, carry its
/// payload and finish it at once. An event's callee may end any stream, so each step looks again
/// whether the stream is there; frames of unknown streams do nothing.
Result<> Yamux::on_stream_frame(const Header& header, CoreEvents& events) {
    if (header.has(kSyn)) {
        if (auto done = on_syn(header.stream, events); !done) return done;
    }
    if (header.has(kRst) && streams_.find(header.stream) != nullptr) {
        forget(header.stream);
        events.on_reset(header.stream, errc::reset);
    }
    if (header.has(kAck)) on_ack(header.stream, events);

    auto done =
        header.type == Type::data ? begin_payload(header) : on_window_update(header, events);
    if (!done) return done;
    // Otherwise the FIN is behind the payload.
    if (header.has(kFin) && payload_.left == 0) on_fin(header.stream, events);
    return {};
}

/// Any number that is free will do, whichever side it belongs to: Go peers number as they like.
Result<> Yamux::on_syn(StreamId id, CoreEvents& events) {
    if (id == 0 || streams_.find(id) != nullptr)
        return violation(
            errc::bad_stream_id,
            fmt::format("yamux SYN for stream {}, which is {}", id, id == 0 ? "none" : "in use")
        );
    if (we_go_away_ || streams_.size() >= options_.streams_max) {
        send(Type::window_update, kRst, id, 0);
        events.on_refused(id);
        return {};
    }
    streams_.insert(id);
    events.on_stream(id);
    return {};
}

void Yamux::on_ack(StreamId id, CoreEvents& events) {
    YamuxStream* stream = streams_.find(id);
    if (stream == nullptr || !stream->ours || stream->acknowledged) return;
    stream->acknowledged = true;
    if (!stream->closed) stream->deadline = SteadyTime::max();
    events.on_accepted(id);
}

/// A second FIN says nothing new (a Go peer would end the session; we need not).
void Yamux::on_fin(StreamId id, CoreEvents& events) {
    YamuxStream* stream = streams_.find(id);
    if (stream == nullptr || stream->finished) return;
    stream->finished = true;
    if (stream->closed) {
        forget(id);
    } else {
        // A peer that closed before it accepted never sends the ACK.
        stream->deadline = SteadyTime::max();
    }
    events.on_finished(id);
}

Result<> Yamux::on_window_update(const Header& header, CoreEvents& events) {
    YamuxStream* stream = streams_.find(header.stream);
    if (stream == nullptr || header.length == 0) return {};
    if (header.length > std::numeric_limits<std::uint32_t>::max() - stream->send_window)
        return violation(
            errc::bad_frame,
            fmt::format(
                "yamux window update of {} for stream {}, whose window is {}: above 2^32 - 1",
                header.length,
                header.stream,
                stream->send_window
            )
        );
    const bool was_empty = stream->send_window == 0;
    stream->send_window += header.length;
    if (was_empty && !stream->closed) events.on_sendable(header.stream);
    return {};
}

Result<> Yamux::begin_payload(const Header& header) {
    if (header.length > kWindowBytes)
        return violation(
            errc::frame_too_long,
            fmt::format(
                "yamux data frame of {} bytes for stream {}; no window is above {}",
                header.length,
                header.stream,
                kWindowBytes
            )
        );
    if (header.length == 0) return {};
    payload_ = {header.stream, header.length, false, header.has(kFin)};

    YamuxStream* stream = streams_.find(header.stream);
    if (stream == nullptr) return {};
    const std::uint32_t window = kWindowBytes - stream->unconsumed - stream->credit;
    if (header.length > window)
        return violation(
            errc::window_exceeded,
            fmt::format(
                "yamux data frame of {} bytes for stream {}, whose window is {}",
                header.length,
                header.stream,
                window
            )
        );
    stream->unconsumed += header.length;
    // Data behind a FIN: Go lets them slip out, and nobody waits for them.
    payload_.delivered = !stream->closed && !stream->finished;
    if (!payload_.delivered) give_back(header.stream, *stream, header.length);
    return {};
}

void Yamux::take_payload(ByteSpan& bytes, CoreEvents& events) {
    const ByteSpan part = bytes.first(std::min<std::size_t>(bytes.size(), payload_.left));
    bytes = bytes.subspan(part.size());
    payload_.left -= static_cast<std::uint32_t>(part.size());
    if (payload_.delivered) events.on_data(payload_.id, part);
    if (payload_.left == 0 && payload_.fin) on_fin(payload_.id, events);
}

void Yamux::on_ping(const Header& header, SteadyTime now, CoreEvents& events) {
    if (header.has(kSyn)) {
        send(Type::ping, kAck, 0, header.length);
        return;
    }
    // Answers come in any order, and some were never asked for.
    const auto asked = std::find_if(pings_.begin(), pings_.end(), [&header](const Ping& ping) {
        return ping.value == header.length;
    });
    if (asked == pings_.end()) return;
    const Duration round_trip = now - asked->sent_at;
    pings_.erase(asked);
    events.on_pong(round_trip);
}

Result<> Yamux::on_go_away(const Header& header, CoreEvents& events) {
    if (header.length != static_cast<std::uint32_t>(GoAwayReason::normal)) {
        ended_ = Error(errc::peer_error, fmt::format("yamux go-away, reason {}", header.length));
        return *ended_;
    }
    if (peer_goes_away_) return {};
    peer_goes_away_ = true;
    events.on_go_away();
    return {};
}

Result<> Yamux::on_time(SteadyTime now, CoreEvents& events) {
    if (ended_) return *ended_;
    switch (liveness_.on_time(now)) {
        case detail::Liveness::Due::nothing:
            break;
        case detail::Liveness::Due::ping:
            send(Type::ping, kSyn, 0, next_ping_++);
            break;
        case detail::Liveness::Due::silent:
            ended_ = Error(errc::peer_silent);
            return *ended_;
    }
    for (const StreamId id : streams_.take_late(now)) {
        const YamuxStream* stream = streams_.find(id);
        if (stream == nullptr) continue;
        if (!stream->closed) {
            ended_ = Error(errc::open_timed_out, fmt::format("yamux stream {}: no ACK", id));
            return *ended_;
        }
        reset(id);
        events.on_reset(id, errc::close_timed_out);
    }
    return {};
}

Result<StreamId> Yamux::open(SteadyTime now) {
    if (we_go_away_ || peer_goes_away_) return Error(errc::going_away);
    if (streams_.size() >= options_.streams_max) return Error(errc::too_many_streams);
    constexpr std::uint64_t kLastId = std::numeric_limits<StreamId>::max();
    // A number of ours that the peer has taken is left out.
    while (next_id_ <= kLastId && streams_.find(static_cast<StreamId>(next_id_)) != nullptr)
        next_id_ += 2;
    if (next_id_ > kLastId) return Error(errc::ids_exhausted);

    const auto id = static_cast<StreamId>(next_id_);
    next_id_ += 2;
    YamuxStream& stream = streams_.insert(id);
    stream.ours = true;
    streams_.set_deadline(stream, now + options_.open_timeout);
    send(Type::window_update, kSyn, id, 0);
    return id;
}

void Yamux::accept(StreamId id) {
    YamuxStream* stream = streams_.find(id);
    if (stream == nullptr || stream->ours || stream->acknowledged) return;
    stream->acknowledged = true;
    send(Type::window_update, kAck, id, 0);
}

std::size_t Yamux::sendable(StreamId id) const noexcept {
    const YamuxStream* stream = streams_.find(id);
    return stream == nullptr || stream->closed ? 0 : stream->send_window;
}

void Yamux::begin_data(StreamId id, std::size_t payload_bytes) {
    if (payload_bytes == 0) return;
    SKY_ASSERT(payload_bytes <= sendable(id));
    const auto length = static_cast<std::uint32_t>(payload_bytes);
    streams_.find(id)->send_window -= length;
    accept(id);
    send(Type::data, 0, id, length);
}

void Yamux::consumed(StreamId id, std::size_t bytes) {
    YamuxStream* stream = streams_.find(id);
    // What a closed stream had not consumed was given back by `close`.
    if (stream == nullptr || stream->closed) return;
    SKY_ASSERT(bytes <= stream->unconsumed);
    give_back(id, *stream, static_cast<std::uint32_t>(bytes));
}

void Yamux::close(StreamId id, SteadyTime now) {
    YamuxStream* stream = streams_.find(id);
    if (stream == nullptr || stream->closed) return;
    accept(id);
    stream->closed = true;
    send(Type::window_update, kFin, id, 0);
    if (stream->finished) {
        forget(id);
        return;
    }
    streams_.set_deadline(*stream, now + options_.close_timeout);
    if (payload_.id == id) payload_.delivered = false;
    give_back(id, *stream, stream->unconsumed);
}

void Yamux::reset(StreamId id) {
    if (streams_.find(id) == nullptr) return;
    forget(id);
    send(Type::window_update, kRst, id, 0);
}

void Yamux::ping(SteadyTime now) {
    if (pings_.size() == kPingsMax) pings_.erase(pings_.begin());
    pings_.push_back({next_ping_, now});
    send(Type::ping, kSyn, 0, next_ping_++);
}

void Yamux::go_away() {
    if (we_go_away_) return;
    we_go_away_ = true;
    send(Type::go_away, 0, 0, static_cast<std::uint32_t>(GoAwayReason::normal));
}

void Yamux::send(Type type, std::uint16_t flags, StreamId id, std::uint32_t length) {
    output_.on_frame(encode({type, flags, id, length}));
}

/// The window is given back in halves, as Go does.
void Yamux::give_back(StreamId id, YamuxStream& stream, std::uint32_t bytes) {
    stream.unconsumed -= bytes;
    stream.credit += bytes;
    if (stream.credit < kWindowBytes / 2) return;
    send(Type::window_update, 0, id, stream.credit);
    stream.credit = 0;
}

/// The rest of a payload under way is nobody's then, even if the number is used again.
void Yamux::forget(StreamId id) {
    if (payload_.id == id) {
        payload_.delivered = false;
        payload_.fin = false;
    }
    streams_.erase(id);
}

/// Go does not read the go-away of a session that ends, other peers may.
Error Yamux::violation(errc code, std::string context) {
    send(Type::go_away, 0, 0, static_cast<std::uint32_t>(GoAwayReason::protocol_error));
    ended_ = Error(code, std::move(context));
    return *ended_;
}

}  // namespace

std::unique_ptr<Core> make_yamux(const CoreOptions& options, CoreOutput& output, SteadyTime now) {
    return std::make_unique<Yamux>(options, output, now);
}

}  // namespace skywire::mux
