#include "net/kcp.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace skywire::net {
namespace {

constexpr std::chrono::seconds kProbeWaitMin{7};
constexpr std::chrono::seconds kProbeWaitMax{120};

/// Serial numbers wrap around: positive where `a` comes after `b`.
std::int32_t distance(std::uint32_t a, std::uint32_t b) noexcept {
    return static_cast<std::int32_t>(a - b);
}

std::uint32_t read_u32(ByteSpan bytes, std::size_t at) noexcept {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i)
        value |= std::to_integer<std::uint32_t>(bytes[at + i]) << (8 * i);
    return value;
}

void append_u32(Bytes& out, std::uint32_t value) {
    for (unsigned shift = 0; shift < 32; shift += 8)
        out.push_back(static_cast<std::byte>((value >> shift) & 0xffU));
}

std::optional<KcpCommand> command_of(std::byte byte) noexcept {
    const auto value = std::to_integer<std::uint8_t>(byte);
    if (value < 81 || value > 84) return std::nullopt;
    return static_cast<KcpCommand>(value);
}

}  // namespace

std::optional<KcpHead> read_kcp_head(ByteSpan datagram) noexcept {
    if (datagram.size() < KcpHead::kSize) return std::nullopt;
    const auto command = command_of(datagram[4]);
    if (!command) return std::nullopt;
    KcpHead head;
    head.conversation = read_u32(datagram, 0);
    head.command = *command;
    head.fragment = std::to_integer<std::uint8_t>(datagram[5]);
    head.window = static_cast<std::uint16_t>(
        std::to_integer<unsigned>(datagram[6]) | (std::to_integer<unsigned>(datagram[7]) << 8U)
    );
    head.timestamp = read_u32(datagram, 8);
    head.sequence = read_u32(datagram, 12);
    head.unacknowledged = read_u32(datagram, 16);
    head.length = read_u32(datagram, 20);
    if (head.length > datagram.size() - KcpHead::kSize) return std::nullopt;
    return head;
}

std::optional<KcpPosition> read_kcp_position(ByteSpan datagram) noexcept {
    std::optional<KcpPosition> position;
    std::optional<std::uint32_t> conversation;
    while (!datagram.empty()) {
        const auto head = read_kcp_head(datagram);
        if (!head || head->conversation != conversation.value_or(head->conversation))
            return std::nullopt;
        conversation = head->conversation;
        datagram = datagram.subspan(KcpHead::kSize + head->length);
        if (head->command != KcpCommand::push) continue;
        if (!position || distance(head->sequence, position->receive_next) < 0)
            position = {head->conversation, head->sequence, head->unacknowledged};
    }
    return position;
}

KcpSession::KcpSession(
    std::uint32_t conversation, SteadyTime now, const KcpOptions& options, SteadyTime epoch
)
    : conversation_(conversation),
      options_(options),
      epoch_(epoch),
      next_tick_(now),
      peer_window_(options.receive_window),
      congestion_bytes_(options.mtu - KcpHead::kSize),
      rto_(options.rto_initial) {
    SKY_ASSERT(options.mtu > KcpHead::kSize && options.mtu <= 65'507);
    SKY_ASSERT(options.send_window > 0 && options.receive_window > 0);
}

KcpSession::KcpSession(
    const KcpPosition& position, SteadyTime now, const KcpOptions& options, SteadyTime epoch
)
    : KcpSession(position.conversation, now, options, epoch) {
    resumed_ = true;
    send_next_ = position.send_next;
    receive_next_ = position.receive_next;
}

std::size_t KcpSession::window() const noexcept {
    if (received_.size() >= options_.receive_window) return 0;
    return options_.receive_window - received_.size();
}

std::uint32_t KcpSession::timestamp(SteadyTime now) const noexcept {
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now - epoch_);
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(since.count()));
}

// --- what comes in

Result<> KcpSession::check(ByteSpan datagram) const {
    if (datagram.empty()) return fail(errc::malformed, "KCP: an empty datagram");
    while (!datagram.empty()) {
        const auto head = read_kcp_head(datagram);
        if (!head) return fail(errc::malformed, "KCP: these bytes are no segment");
        if (head->conversation != conversation_) {
            return fail(
                errc::malformed,
                fmt::format(
                    "KCP: a segment of conversation {:08x} in {:08x}",
                    head->conversation,
                    conversation_
                )
            );
        }
        // A message of more pieces than the window holds could never be read.
        if (head->fragment >= options_.receive_window)
            return fail(errc::malformed, fmt::format("KCP: {} more pieces", head->fragment));
        datagram = datagram.subspan(KcpHead::kSize + head->length);
    }
    return {};
}

Result<> KcpSession::input(ByteSpan datagram, SteadyTime now) {
    if (const auto good = check(datagram); !good) return good.error();
    // A session that was silent keeps its rhythm: what it acknowledges waits for a tick ahead. A
    // new one, whose first tick is now, answers at once.
    if (next_tick_ < now) pass_ticks(now);
    const std::uint32_t first_before = sent_.empty() ? send_next_ : sent_.front().sequence;
    Heard heard;
    while (!datagram.empty()) {
        const auto head = read_kcp_head(datagram);
        if (!head) break;
        const ByteSpan data = datagram.subspan(KcpHead::kSize, head->length);
        datagram = datagram.subspan(KcpHead::kSize + head->length);
        peer_window_ = head->window;
        acknowledged_before(head->unacknowledged);
        switch (head->command) {
            case KcpCommand::push:
                take_push(*head, data);
                break;
            case KcpCommand::ack:
                take_ack(*head);
                heard = {true, head->timestamp};
                break;
            case KcpCommand::window_ask:
                tell_window_ = true;
                break;
            case KcpCommand::window_tell:
                break;
        }
    }
    if (heard.acknowledged) {
        const std::int32_t round_trip = distance(timestamp(now), heard.timestamp);
        if (round_trip >= 0) measured(std::chrono::milliseconds(round_trip));
    }
    const std::uint32_t first_after = sent_.empty() ? send_next_ : sent_.front().sequence;
    if (distance(first_after, first_before) > 0) grow_window();
    // What waited for the window goes at once; acknowledgements alone wait for their tick.
    const bool room =
        !queue_.empty() &&
        sent_.size() < std::min({options_.send_window, peer_window_, congestion_window_});
    const bool skipped =
        std::any_of(sent_.begin(), sent_.end(), [&](const Sent& sent) { return due(sent, now); });
    if (room || skipped) flush(now);
    return {};
}

void KcpSession::acknowledged_before(std::uint32_t sequence) {
    while (!sent_.empty() && distance(sequence, sent_.front().sequence) > 0)
        sent_.pop_front();
    // The peer has segments of the time before that it had not when it told where we stand; it
    // takes them for ours as long as we count below them.
    const std::int32_t ahead = distance(sequence, send_next_);
    const auto window = static_cast<std::int32_t>(options_.receive_window);
    if (resumed_ && ahead > 0 && ahead <= window) send_next_ = sequence;
}

void KcpSession::take_ack(const KcpHead& head) {
    const auto found = std::find_if(sent_.begin(), sent_.end(), [&](const Sent& sent) {
        return sent.sequence == head.sequence;
    });
    if (found == sent_.end()) return;
    sent_.erase(found);
    for (Sent& sent : sent_) {
        if (distance(head.sequence, sent.sequence) <= 0) break;
        // Only what was under way when the acknowledged one was sent has been overtaken.
        if (distance(head.timestamp, sent.timestamp) >= 0) ++sent.skips;
    }
}

void KcpSession::take_push(const KcpHead& head, ByteSpan data) {
    const std::int32_t ahead = distance(head.sequence, receive_next_);
    if (ahead >= static_cast<std::int32_t>(options_.receive_window)) return;
    queue_ack(head);
    if (ahead < 0) return;
    early_.try_emplace(head.sequence, Piece{head.fragment, Bytes(data.begin(), data.end())});
    deliver();
}

void KcpSession::queue_ack(const KcpHead& head) {
    std::erase_if(acks_, [&](const Ack& ack) { return ack.sequence == head.sequence; });
    // What is older than the newest two windows is covered by `unacknowledged`.
    if (acks_.size() >= 2 * options_.receive_window) acks_.erase(acks_.begin());
    acks_.push_back({head.sequence, head.timestamp});
}

void KcpSession::deliver() {
    while (received_.size() < options_.receive_window) {
        const auto next = early_.find(receive_next_);
        if (next == early_.end()) return;
        received_.push_back(std::move(next->second));
        early_.erase(next);
        ++receive_next_;
    }
}

bool KcpSession::readable() const noexcept {
    return !received_.empty() && received_.size() > received_.front().fragment;
}

std::optional<Bytes> KcpSession::read() {
    if (!readable()) return std::nullopt;
    const bool was_full = window() == 0;
    Bytes message = std::move(received_.front().data);
    const std::uint8_t more = received_.front().fragment;
    received_.pop_front();
    for (std::uint8_t i = 0; i < more; ++i) {
        const Bytes& piece = received_.front().data;
        message.insert(message.end(), piece.begin(), piece.end());
        received_.pop_front();
    }
    deliver();
    if (was_full && window() > 0) tell_window_ = true;
    return message;
}

void KcpSession::measured(Duration round_trip) {
    round_trip = std::min<Duration>(round_trip, options_.rto_max);
    if (smoothed_round_trip_ == Duration(0)) {
        smoothed_round_trip_ = round_trip;
        round_trip_variation_ = round_trip / 2;
    } else {
        const Duration off = std::chrono::abs(round_trip - smoothed_round_trip_);
        round_trip_variation_ = (3 * round_trip_variation_ + off) / 4;
        smoothed_round_trip_ = (7 * smoothed_round_trip_ + round_trip) / 8;
    }
    smoothed_round_trip_ = std::max<Duration>(smoothed_round_trip_, std::chrono::milliseconds(1));
    const Duration spread = std::max<Duration>(options_.interval, 4 * round_trip_variation_);
    rto_ = std::clamp<Duration>(smoothed_round_trip_ + spread, options_.rto_min, options_.rto_max);
}

void KcpSession::grow_window() {
    const std::size_t segment = segment_bytes_max();
    if (congestion_window_ >= peer_window_) return;
    if (congestion_window_ < slow_start_threshold_) {
        ++congestion_window_;
        congestion_bytes_ += segment;
    } else {
        congestion_bytes_ = std::max(congestion_bytes_, segment);
        congestion_bytes_ += segment * segment / congestion_bytes_ + segment / 16;
        if ((congestion_window_ + 1) * segment <= congestion_bytes_)
            congestion_window_ = (congestion_bytes_ + segment - 1) / segment;
    }
    if (congestion_window_ <= peer_window_) return;
    congestion_window_ = peer_window_;
    congestion_bytes_ = peer_window_ * segment;
}

// --- what goes out

void KcpSession::write(ByteSpan message, SteadyTime now) {
    SKY_ASSERT(message.size() <= segment_bytes_max());
    queue_.emplace_back(message.begin(), message.end());
    flush(now);
}

SteadyTime KcpSession::next_time() const noexcept {
    if (dead_) return SteadyTime::max();
    SteadyTime next = SteadyTime::max();
    if (!acks_.empty() || tell_window_) next = next_tick_;
    if (probe_at_) next = std::min(next, *probe_at_);
    // The peer has just said that it has no room: asking begins at the next tick.
    if (peer_window_ == 0 && !probe_at_ && !queue_.empty()) next = std::min(next, next_tick_);
    for (const Sent& sent : sent_)
        next = std::min(next, sent.resend_at);
    return next;
}

void KcpSession::on_time(SteadyTime now) {
    if (next_time() <= now) flush(now);
}

void KcpSession::pass_ticks(SteadyTime now) {
    if (next_tick_ > now) return;
    const Duration interval = options_.interval;
    next_tick_ += ((now - next_tick_) / interval + 1) * interval;
}

void KcpSession::flush(SteadyTime now) {
    if (dead_) return;
    flush_acks();
    flush_probes(now);
    flush_segments(now);
    end_datagram();
    pass_ticks(now);
}

KcpHead KcpSession::head(KcpCommand command) const noexcept {
    KcpHead head;
    head.conversation = conversation_;
    head.command = command;
    head.window = static_cast<std::uint16_t>(window());
    head.unacknowledged = receive_next_;
    return head;
}

void KcpSession::flush_acks() {
    for (std::size_t i = 0; i < acks_.size(); ++i) {
        // Those before receive_next_ are covered by it; the last one carries the timestamp.
        if (distance(acks_[i].sequence, receive_next_) < 0 && i + 1 != acks_.size()) continue;
        KcpHead segment = head(KcpCommand::ack);
        segment.sequence = acks_[i].sequence;
        segment.timestamp = acks_[i].timestamp;
        append(segment, {});
    }
    acks_.clear();
}

void KcpSession::flush_probes(SteadyTime now) {
    if (peer_window_ > 0 || queue_.empty()) {
        probe_at_.reset();
        probe_wait_ = Duration(0);
    } else if (!probe_at_) {
        probe_wait_ = kProbeWaitMin;
        probe_at_ = now + probe_wait_;
    } else if (*probe_at_ <= now) {
        probe_wait_ = std::min<Duration>(probe_wait_ + probe_wait_ / 2, kProbeWaitMax);
        probe_at_ = now + probe_wait_;
        append(head(KcpCommand::window_ask), {});
    }
    if (std::exchange(tell_window_, false)) append(head(KcpCommand::window_tell), {});
}

bool KcpSession::due(const Sent& sent, SteadyTime now) const noexcept {
    if (sent.transmissions == 0 || sent.resend_at <= now) return true;
    return options_.fast_resend_skips > 0 && sent.skips >= options_.fast_resend_skips;
}

void KcpSession::flush_segments(SteadyTime now) {
    const std::size_t room = std::min({options_.send_window, peer_window_, congestion_window_});
    const std::uint32_t first = sent_.empty() ? send_next_ : sent_.front().sequence;
    while (!queue_.empty() && distance(send_next_, first) < static_cast<std::int32_t>(room)) {
        Sent sent;
        sent.sequence = send_next_++;
        sent.data = std::move(queue_.front());
        queue_.pop_front();
        sent_.push_back(std::move(sent));
    }
    bool lost = false;
    bool overtaken = false;
    for (Sent& sent : sent_) {
        if (!due(sent, now)) continue;
        if (sent.transmissions == 0) {
            sent.rto = rto_;
        } else if (sent.resend_at <= now) {
            sent.rto = std::min<Duration>(sent.rto + rto_, options_.rto_max);
            lost = true;
        } else {
            sent.rto = rto_;
            overtaken = true;
        }
        if (sent.transmissions++ > 0) ++resent_;
        sent.skips = 0;
        sent.timestamp = timestamp(now);
        sent.resend_at = now + sent.rto;
        KcpHead segment = head(KcpCommand::push);
        segment.timestamp = sent.timestamp;
        segment.sequence = sent.sequence;
        segment.length = static_cast<std::uint32_t>(sent.data.size());
        append(segment, sent.data);
        if (options_.dead_link > 0 && sent.transmissions >= options_.dead_link) dead_ = true;
    }
    if (overtaken) {
        slow_start_threshold_ = std::max<std::size_t>(sent_.size() / 2, 2);
        congestion_window_ = slow_start_threshold_ + options_.fast_resend_skips;
        congestion_bytes_ = congestion_window_ * segment_bytes_max();
    }
    if (lost) {
        slow_start_threshold_ = std::max<std::size_t>(congestion_window_ / 2, 2);
        congestion_window_ = 1;
        congestion_bytes_ = segment_bytes_max();
    }
}

void KcpSession::append(const KcpHead& head, ByteSpan data) {
    const std::size_t size = KcpHead::kSize + data.size();
    if (datagram_.size() + size > options_.mtu) end_datagram();
    datagram_.reserve(datagram_.size() + size);
    append_u32(datagram_, head.conversation);
    datagram_.push_back(static_cast<std::byte>(head.command));
    datagram_.push_back(static_cast<std::byte>(head.fragment));
    datagram_.push_back(static_cast<std::byte>(head.window & 0xffU));
    datagram_.push_back(static_cast<std::byte>(head.window >> 8U));
    append_u32(datagram_, head.timestamp);
    append_u32(datagram_, head.sequence);
    append_u32(datagram_, head.unacknowledged);
    append_u32(datagram_, head.length);
    datagram_.insert(datagram_.end(), data.begin(), data.end());
}

void KcpSession::end_datagram() {
    if (!datagram_.empty()) output_.push_back(std::exchange(datagram_, {}));
}

}  // namespace skywire::net
