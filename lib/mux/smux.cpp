#include "mux/smux.hpp"

#include "base/assert.hpp"
#include "mux/detail/head_reader.hpp"
#include "mux/detail/liveness.hpp"
#include "mux/detail/stream_table.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <boost/endian/conversion.hpp>
#include <fmt/format.h>

namespace skywire::mux {
namespace smux {

namespace endian = boost::endian;

std::array<std::byte, kHeaderBytes> encode(const Header& header) noexcept {
    std::array<std::byte, kHeaderBytes> bytes;
    auto* at = reinterpret_cast<unsigned char*>(bytes.data());
    at[0] = 2;
    at[1] = static_cast<unsigned char>(header.command);
    endian::store_little_u16(at + 2, header.length);
    endian::store_little_u32(at + 4, header.stream);
    return bytes;
}

std::optional<Header> decode(const std::byte* bytes) noexcept {
    const auto* at = reinterpret_cast<const unsigned char*>(bytes);
    if (at[0] != 2 || at[1] > static_cast<unsigned char>(Command::upd)) return std::nullopt;
    return Header{
        static_cast<Command>(at[1]),
        endian::load_little_u16(at + 2),
        endian::load_little_u32(at + 4),
    };
}

std::array<std::byte, kHeaderBytes + kUpdateBytes> encode(
    StreamId stream, const Update& update
) noexcept {
    std::array<std::byte, kHeaderBytes + kUpdateBytes> bytes;
    const auto header = encode(Header{Command::upd, kUpdateBytes, stream});
    std::copy(header.begin(), header.end(), bytes.begin());
    auto* body = reinterpret_cast<unsigned char*>(bytes.data() + kHeaderBytes);
    endian::store_little_u32(body, update.consumed);
    endian::store_little_u32(body + 4, update.window);
    return bytes;
}

Update decode_update(const std::byte* bytes) noexcept {
    const auto* at = reinterpret_cast<const unsigned char*>(bytes);
    return {endian::load_little_u32(at), endian::load_little_u32(at + 4)};
}

}  // namespace smux

namespace {

using namespace smux;

/// Totals since the stream began; the wire has their last 32 bits.
struct SmuxStream {
    SteadyTime deadline = SteadyTime::max();

    // Our sending.
    std::uint64_t sent = 0;
    /// Of that, what the peer says it has consumed.
    std::uint64_t peer_consumed = 0;
    std::uint32_t peer_window = kFirstWindowBytes;

    // The peer's sending: told <= consumed <= received.
    std::uint32_t consumed_since_told = 0;
    std::uint64_t received = 0;
    std::uint64_t consumed = 0;

    /// Our FIN is sent.
    bool closed = false;
    /// The peer's FIN has come.
    bool finished = false;

    std::uint64_t under_way() const noexcept { return sent - peer_consumed; }

    std::size_t sendable() const noexcept {
        if (closed || under_way() >= peer_window) return 0;
        return std::min<std::size_t>(kPayloadMax, peer_window - under_way());
    }

    /// What the peer may still send. It may not know yet that its first, large window is over.
    std::uint64_t receivable() const noexcept {
        const std::uint64_t told = consumed - consumed_since_told;
        return std::max<std::uint64_t>(kFirstWindowBytes, told + kWindowBytes) - received;
    }
};

/// Go sends a keep-alive this often, and gives a peer up that is silent for three times as long.
constexpr Duration kKeepAliveMax = std::chrono::seconds(10);

/// More than this a peer cannot use; half of the 32-bit circle keeps old and new totals apart.
constexpr std::uint32_t kPeerWindowMax = std::numeric_limits<std::uint32_t>::max() / 2;

CoreOptions with_smux_limits(CoreOptions options) {
    options.keep_alive = std::min(options.keep_alive, kKeepAliveMax);
    if (options.first_id == 0) options.first_id = options.role == Role::client ? 3 : 2;
    return options;
}

class Smux final : public Core {
 public:
    Smux(const CoreOptions& options, CoreOutput& output, SteadyTime now)
        : options_(with_smux_limits(options)),
          output_(output),
          liveness_(options_, now),
          next_id_(options_.first_id) {}

    Result<> on_bytes(ByteSpan bytes, SteadyTime now, CoreEvents& events) override;
    Result<> on_time(SteadyTime now, CoreEvents& events) override;
    SteadyTime next_time() const noexcept override {
        return std::min(liveness_.next_time(), streams_.next_deadline());
    }

    Result<StreamId> open(SteadyTime now) override;
    /// smux does not tell the peer.
    void accept(StreamId) override {}
    std::size_t sendable(StreamId id) const noexcept override;
    void begin_data(StreamId id, std::size_t payload_bytes) override;
    void consumed(StreamId id, std::size_t bytes) override;
    void close(StreamId id, SteadyTime now) override;
    void reset(StreamId id) override;
    void ping(SteadyTime) override { send(Command::nop, 0, 0); }
    void go_away() override { going_away_ = true; }
    std::size_t streams() const noexcept override { return streams_.size(); }

 private:
    // Input: a header, then what it announces: payload, or the body of an update.
    Result<> on_header(const Header& header, CoreEvents& events);
    Result<> on_syn(StreamId id, CoreEvents& events);
    void on_fin(StreamId id, CoreEvents& events);
    Result<> begin_payload(const Header& header);
    void take_payload(ByteSpan& bytes, CoreEvents& events);
    Result<> on_update(StreamId id, const Update& update, CoreEvents& events);

    // Output.
    void send(Command command, StreamId id, std::uint16_t length);
    void give_back(StreamId id, SmuxStream& stream, std::uint64_t bytes);
    void forget(StreamId id);
    Error violation(errc code, std::string context);

    struct Payload {
        StreamId id = 0;
        std::uint16_t left = 0;
        /// Else it is discarded.
        bool delivered = false;
    };

    CoreOptions options_;
    CoreOutput& output_;
    detail::Liveness liveness_;
    detail::StreamTable<SmuxStream> streams_;
    detail::HeadReader<kHeaderBytes> header_reader_;
    Payload payload_;
    detail::HeadReader<kUpdateBytes> update_reader_;
    /// The stream whose update's body comes next.
    std::optional<StreamId> update_of_;
    /// Wider than an id, so that it can stand behind the last one.
    std::uint64_t next_id_;
    bool going_away_ = false;
    std::optional<Error> ended_;
};

Result<> Smux::on_bytes(ByteSpan bytes, SteadyTime now, CoreEvents& events) {
    if (ended_) return *ended_;
    if (!bytes.empty()) liveness_.on_received(now);
    while (!bytes.empty()) {
        if (payload_.left > 0) {
            take_payload(bytes, events);
            continue;
        }
        if (update_of_) {
            const std::byte* body = update_reader_.take(bytes);
            if (body == nullptr) break;
            const StreamId id = *std::exchange(update_of_, std::nullopt);
            if (auto done = on_update(id, decode_update(body), events); !done) return done;
            continue;
        }
        const std::byte* head = header_reader_.take(bytes);
        if (head == nullptr) break;
        const auto header = decode(head);
        if (!header)
            return violation(
                errc::bad_frame,
                fmt::format(
                    "smux frame of version {} and command {}; version 2 and commands 0 to 4 are "
                    "known",
                    std::to_integer<int>(head[0]),
                    std::to_integer<int>(head[1])
                )
            );
        if (auto done = on_header(*header, events); !done) return done;
    }
    return {};
}

Result<> Smux::on_header(const Header& header, CoreEvents& events) {
    const auto refuse_length = [this, &header] {
        return violation(
            errc::bad_frame,
            fmt::format(
                "smux frame of command {} and length {}",
                static_cast<int>(header.command),
                header.length
            )
        );
    };
    switch (header.command) {
        case Command::syn:
            if (header.length != 0) return refuse_length();
            return on_syn(header.stream, events);
        case Command::fin:
            if (header.length != 0) return refuse_length();
            on_fin(header.stream, events);
            return {};
        case Command::psh:
            return begin_payload(header);
        case Command::nop:
            if (header.length != 0) return refuse_length();
            return {};
        case Command::upd:
            if (header.length != kUpdateBytes) return refuse_length();
            update_of_ = header.stream;
            return {};
    }
    return {};
}

Result<> Smux::on_syn(StreamId id, CoreEvents& events) {
    const bool of_client = id % 2 == 1;
    const bool of_peer = of_client == (options_.role == Role::server);
    if (id == 0 || !of_peer || streams_.find(id) != nullptr)
        return violation(
            errc::bad_stream_id,
            fmt::format(
                "smux SYN for stream {}, which is {}", id, of_peer ? "in use" : "not the peer's"
            )
        );
    if (going_away_ || streams_.size() >= options_.streams_max) {
        send(Command::fin, id, 0);
        events.on_refused(id);
        return {};
    }
    streams_.insert(id);
    events.on_stream(id);
    return {};
}

void Smux::on_fin(StreamId id, CoreEvents& events) {
    SmuxStream* stream = streams_.find(id);
    if (stream == nullptr || stream->finished) return;
    stream->finished = true;
    if (stream->closed) forget(id);
    events.on_finished(id);
}

Result<> Smux::begin_payload(const Header& header) {
    payload_ = {header.stream, header.length, false};
    SmuxStream* stream = streams_.find(header.stream);
    if (stream == nullptr) return {};
    if (header.length > stream->receivable())
        return violation(
            errc::window_exceeded,
            fmt::format(
                "smux frame of {} bytes for stream {}, whose window is {}",
                header.length,
                header.stream,
                stream->receivable()
            )
        );
    stream->received += header.length;
    payload_.delivered = !stream->closed && !stream->finished;
    if (!payload_.delivered) give_back(header.stream, *stream, header.length);
    return {};
}

void Smux::take_payload(ByteSpan& bytes, CoreEvents& events) {
    const ByteSpan part = bytes.first(std::min<std::size_t>(bytes.size(), payload_.left));
    bytes = bytes.subspan(part.size());
    payload_.left = static_cast<std::uint16_t>(payload_.left - part.size());
    if (payload_.delivered) events.on_data(payload_.id, part);
}

/// An update that is older than the last one is no news: two readers of a peer may have overtaken
/// each other.
Result<> Smux::on_update(StreamId id, const Update& update, CoreEvents& events) {
    SmuxStream* stream = streams_.find(id);
    if (stream == nullptr) return {};
    const std::uint32_t news = update.consumed - static_cast<std::uint32_t>(stream->peer_consumed);
    if (news > std::numeric_limits<std::uint32_t>::max() / 2) return {};
    if (news > stream->under_way())
        return violation(
            errc::bad_frame,
            fmt::format(
                "smux update for stream {} takes {} bytes of {} under way",
                id,
                news,
                stream->under_way()
            )
        );
    const bool was_empty = stream->sendable() == 0;
    stream->peer_consumed += news;
    stream->peer_window = std::min(update.window, kPeerWindowMax);
    if (was_empty && stream->sendable() > 0) events.on_sendable(id);
    return {};
}

Result<> Smux::on_time(SteadyTime now, CoreEvents& events) {
    if (ended_) return *ended_;
    switch (liveness_.on_time(now)) {
        case detail::Liveness::Due::nothing:
            break;
        case detail::Liveness::Due::ping:
            // There is no answer to it, but a peer that lives sends its own.
            send(Command::nop, 0, 0);
            break;
        case detail::Liveness::Due::silent:
            ended_ = Error(errc::peer_silent);
            return *ended_;
    }
    for (const StreamId id : streams_.take_late(now)) {
        if (streams_.find(id) == nullptr) continue;
        reset(id);
        events.on_reset(id, errc::close_timed_out);
    }
    return {};
}

Result<StreamId> Smux::open(SteadyTime) {
    if (going_away_) return Error(errc::going_away);
    if (streams_.size() >= options_.streams_max) return Error(errc::too_many_streams);
    if (next_id_ > std::numeric_limits<StreamId>::max()) return Error(errc::ids_exhausted);

    const auto id = static_cast<StreamId>(next_id_);
    next_id_ += 2;
    streams_.insert(id);
    send(Command::syn, id, 0);
    return id;
}

std::size_t Smux::sendable(StreamId id) const noexcept {
    const SmuxStream* stream = streams_.find(id);
    return stream == nullptr ? 0 : stream->sendable();
}

void Smux::begin_data(StreamId id, std::size_t payload_bytes) {
    if (payload_bytes == 0) return;
    SKY_ASSERT(payload_bytes <= sendable(id));
    streams_.find(id)->sent += payload_bytes;
    send(Command::psh, id, static_cast<std::uint16_t>(payload_bytes));
}

void Smux::consumed(StreamId id, std::size_t bytes) {
    SmuxStream* stream = streams_.find(id);
    // What a closed stream had not consumed was given back by `close`.
    if (stream == nullptr || stream->closed) return;
    SKY_ASSERT(bytes <= stream->received - stream->consumed);
    give_back(id, *stream, bytes);
}

void Smux::close(StreamId id, SteadyTime now) {
    SmuxStream* stream = streams_.find(id);
    if (stream == nullptr || stream->closed) return;
    stream->closed = true;
    send(Command::fin, id, 0);
    if (stream->finished) {
        forget(id);
        return;
    }
    streams_.set_deadline(*stream, now + options_.close_timeout);
    if (payload_.id == id) payload_.delivered = false;
    give_back(id, *stream, stream->received - stream->consumed);
}

/// There is no RST: a FIN, where it was not sent before.
void Smux::reset(StreamId id) {
    const SmuxStream* stream = streams_.find(id);
    if (stream == nullptr) return;
    const bool told = stream->closed;
    forget(id);
    if (!told) send(Command::fin, id, 0);
}

void Smux::send(Command command, StreamId id, std::uint16_t length) {
    output_.on_frame(encode(Header{command, length, id}));
}

/// At the first bytes, which ends the sender's first window, and at each half window further.
void Smux::give_back(StreamId id, SmuxStream& stream, std::uint64_t bytes) {
    if (bytes == 0) return;
    const bool first = stream.consumed == 0;
    stream.consumed += bytes;
    stream.consumed_since_told += static_cast<std::uint32_t>(bytes);
    if (!first && stream.consumed_since_told < kWindowBytes / 2) return;
    stream.consumed_since_told = 0;
    output_.on_frame(encode(id, Update{static_cast<std::uint32_t>(stream.consumed), kWindowBytes}));
}

/// The rest of a payload under way is nobody's then, even if the number is used again.
void Smux::forget(StreamId id) {
    if (payload_.id == id) payload_.delivered = false;
    streams_.erase(id);
}

/// smux has no word for it.
Error Smux::violation(errc code, std::string context) {
    ended_ = Error(code, std::move(context));
    return *ended_;
}

}  // namespace

std::unique_ptr<Core> make_smux(const CoreOptions& options, CoreOutput& output, SteadyTime now) {
    return std::make_unique<Smux>(options, output, now);
}

}  // namespace skywire::mux
