#include "cxo/link.hpp"

#include "base/assert.hpp"
#include "cxo/detail/link_impl.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

using detail::Say;
using detail::text_note;

/// Nobody whose name is not known yet has more to say than it.
constexpr std::size_t kHandshakeFrameMax = 1024;
/// Of all messages but objects: a List of all feeds of a large node is longer, and not read.
constexpr std::size_t kSmallMax = std::size_t{64} << 10;

Error unexpected(std::string_view what) {
    return fail(errc::malformed, fmt::format("a peer sent {} out of place", what));
}

}  // namespace

Link::Impl::Impl(
    Role role,
    const crypto::PublicKey& own_node,
    const LinkLimits& limits,
    LinkEvents& events,
    SteadyTime now
)
    : role_(role),
      own_node_(own_node),
      limits_(limits),
      events_(events),
      now_(now),
      received_at_(now),
      handshake_until_(now + limits.handshake),
      window_(limits.window_min) {
    if (role == Role::dialer) say({Say::syn, 0, {}});
}

Result<> Link::Impl::on_bytes(ByteSpan bytes, SteadyTime now) {
    if (ended_) return *ended_;
    if (bytes.empty()) return {};
    now_ = now;
    received_at_ = now;
    if (reader_.inside_frame() && answer_comes_) progress_at_ = now;
    if (auto read = reader_.read(bytes, *this); !read) return end(read.error());
    if (ended_) return *ended_;
    return {};
}

void Link::Impl::stop() {
    (void)end(fail(errc::closed, "hung up"));
}

Error Link::Impl::end(Error error) {
    if (ended_) return *ended_;
    ended_ = std::move(error);
    // What a peer is refused with is the last that it hears; all else is in vain.
    while (!notes_.empty() && notes_.front().say != Say::err)
        notes_.pop();
    if (established_) notes_.clear();
    return *ended_;
}

std::size_t Link::Impl::frame_max() const noexcept {
    if (!established_) return kHandshakeFrameMax;
    // What an object has around it, and room for all other messages.
    return std::max(kSmallMax, std::min(limits_.object_max, kObjectMax) + (kFrameMax - kObjectMax));
}

Result<bool> Link::Impl::on_frame_head(const detail::FrameHead& head) {
    if (ended_) return *ended_;
    if (head.type < static_cast<std::uint8_t>(Type::ping) ||
        head.type > static_cast<std::uint8_t>(Type::peers))
        return fail(errc::unsupported, fmt::format("a message of type {}", head.type));
    answer_comes_ = false;
    if (!established_) return true;
    const auto type = static_cast<Type>(head.type);
    if (type == Type::object) {
        const detail::Request* const asked = pending_.find(head.rseq);
        answer_comes_ = asked != nullptr && asked->type == Type::request_object;
        if (answer_comes_) {
            progress_at_ = now_;
            return true;
        }
        if (wants_unasked(head.size)) return true;
        events_.on_count("unasked_object");
        return false;
    }
    // Each key of theirs costs more to read than to send, and nobody wants to know.
    if ((type == Type::list || type == Type::peers) && pending_.find(head.rseq) == nullptr) {
        events_.on_count(head.size <= kSmallMax ? "unasked_answer" : "long_list");
        return false;
    }
    if (head.size <= kSmallMax) return true;
    if (type != Type::list && type != Type::peers)
        return fail(
            errc::limit_reached, fmt::format("a message of type {}: {} bytes", head.type, head.size)
        );
    if (const detail::Request* const asked = pending_.find(head.rseq);
        asked != nullptr && asked->type == Type::request_list)
        pending_.erase(head.rseq);
    events_.on_count("long_list");
    return false;
}

bool Link::Impl::wants_unasked(std::size_t size) {
    const std::size_t most = std::min(limits_.unasked_max, limits_.object_max);
    if (followed_.empty() || size > most - std::min(unasked_, most)) return false;
    unasked_ += size;
    return true;
}

Result<> Link::Impl::on_frame(const detail::FrameHead& head, ByteSpan bytes) {
    if (is_of_no_feed_here(head, bytes)) return {};
    const auto message = decode_message(bytes);
    if (!message) return message.error();
    if (!established_) return on_handshake(head.seq, head.rseq, *message);
    if (const detail::Request* const found = pending_.find(head.rseq)) {
        const detail::Request request = *found;
        pending_.erase(head.rseq);
        return on_answer(request, *message);
    }
    return std::visit([&](const auto& what) { return on_message(head.seq, what); }, *message);
}

/// To make a key of bytes costs more than to compare them, and what is said of feeds that are none
/// of this link's has no effect.
bool Link::Impl::is_of_no_feed_here(const detail::FrameHead& head, ByteSpan bytes) {
    const auto type = static_cast<Type>(head.type);
    if (!established_ || (type != Type::unsub && type != Type::root) ||
        bytes.size() < 1 + crypto::PublicKey::kSize || pending_.find(head.rseq) != nullptr)
        return false;
    const ByteSpan said = bytes.subspan(1, crypto::PublicKey::kSize);
    const auto is_said = [said](const crypto::PublicKey& feed) {
        return std::ranges::equal(feed.bytes(), said);
    };
    if (type == Type::unsub) return std::ranges::none_of(subscribers_, is_said, &Subscriber::feed);
    if (std::ranges::any_of(followed_, is_said)) return false;
    events_.on_count("other_feed");
    return true;
}

Result<> Link::Impl::on_handshake(std::uint32_t seq, std::uint32_t rseq, const Message& message) {
    if (role_ == Role::acceptor) {
        const Syn* const syn = std::get_if<Syn>(&message);
        if (syn == nullptr) return unexpected("something else before its Syn");
        return on_syn(seq, *syn);
    }
    // Ours was the first frame.
    if (seq_ == 0 || rseq != 1) return unexpected("something that does not answer our Syn");
    if (const Err* const err = std::get_if<Err>(&message))
        return fail(errc::closed, fmt::format("the peer said {}", quote_peer_text(err->text)));
    const Ack* const ack = std::get_if<Ack>(&message);
    if (ack == nullptr) return unexpected("something else than an answer to our Syn");
    establish(ack->node);
    return events_.on_established(node_);
}

Result<> Link::Impl::on_syn(std::uint32_t seq, const Syn& syn) {
    if (syn.protocol != kProtocolVersion) {
        const std::string why = fmt::format(
            "incompatible protocol version: {}, want {}", syn.protocol, kProtocolVersion
        );
        say(text_note(seq, why));
        return fail(errc::unsupported, why);
    }
    // In front of whatever the owner says as soon as it knows.
    say({Say::ack, seq, {}});
    establish(syn.node);
    if (auto taken = events_.on_established(node_); !taken) {
        notes_.clear();
        established_ = false;
        say(text_note(seq, taken.error().message()));
        return taken;
    }
    return {};
}

void Link::Impl::establish(const crypto::PublicKey& node) {
    node_ = node;
    established_ = true;
    keep_alive_at_ = now_ + limits_.keep_alive;
    for (const crypto::PublicKey& feed : followed_)
        say({Say::subscribe, 0, feed});
}

Result<> Link::Impl::on_answer(const detail::Request& request, const Message& message) {
    if (request.type == Type::request_object) return on_object_answer(request, message);
    const Err* const err = std::get_if<Err>(&message);
    if (request.type == Type::request_list) {
        // What feeds there are is not asked for the answer's sake.
        if (err == nullptr && !std::holds_alternative<List>(message))
            return unexpected("something else than an answer to our RequestList");
        return {};
    }
    if (err == nullptr && !std::holds_alternative<Ok>(message))
        return unexpected("something else than an answer to our Sub");
    const auto& feed = std::get<crypto::PublicKey>(request.about);
    if (!follows(feed)) return {};
    if (err == nullptr) {
        events_.on_subscribed(feed);
        return {};
    }
    std::erase(followed_, feed);
    events_.on_refused(feed, err->text);
    return {};
}

Result<> Link::Impl::on_object_answer(const detail::Request& request, const Message& message) {
    const Hash& hash = std::get<Hash>(request.about);
    SKY_ASSERT(asked_ > 0);
    --asked_;
    progress_at_ = now_;
    widen(request);
    if (std::holds_alternative<Err>(message)) {
        events_.on_no_object(hash);
        return {};
    }
    const ObjectBytes* const object = std::get_if<ObjectBytes>(&message);
    if (object == nullptr) return unexpected("something else than an answer to our RequestObject");
    if (object->bytes.size() > kObjectMax || crypto::sha256(object->bytes) != hash) {
        events_.on_count("wrong_object");
        events_.on_no_object(hash);
        return {};
    }
    events_.on_object(hash, object->bytes, /*asked=*/true);
    return {};
}

void Link::Impl::widen(const detail::Request& request) {
    if (now_ - request.at > limits_.quick_answer) {
        quick_ = 0;
        return;
    }
    if (++quick_ < window_) return;
    window_ = std::min(2 * window_, limits_.window_max);
    quick_ = 0;
}

Result<> Link::Impl::on_message(std::uint32_t, const Ping&) {
    events_.on_count("ping");
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t, const Pong&) {
    events_.on_count("ping");
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t, const Syn&) {
    return unexpected("a second Syn");
}

Result<> Link::Impl::on_message(std::uint32_t, const Ack&) {
    return unexpected("an Ack");
}

Result<> Link::Impl::on_message(std::uint32_t, const Ok&) {
    events_.on_count("unasked_answer");
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t, const Err&) {
    events_.on_count("unasked_answer");
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t, const List&) {
    events_.on_count("unasked_answer");
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t, const Peers&) {
    events_.on_count("unasked_answer");
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t seq, const Sub& sub) {
    const bool known = find(sub.feed) != nullptr;
    if (!known && subscribers_.size() >= limits_.feeds_max) {
        events_.on_count("too_many_feeds");
        return answer(text_note(seq, "too many feeds on this connection"));
    }
    auto version = events_.on_subscribe(sub.feed);
    if (!version) {
        if (forget(sub.feed)) events_.on_unsubscribe(sub.feed);
        return answer(text_note(seq, version.error().message()));
    }
    if (known) events_.on_count("subscribed_again");
    // What it was told before does not count: it may have been lost.
    forget(sub.feed);
    Subscriber subscriber;
    subscriber.feed = sub.feed;
    subscriber.next = std::move(*version);
    subscribers_.push_back(std::move(subscriber));
    return answer({Say::ok, seq, sub.feed});
}

Result<> Link::Impl::on_message(std::uint32_t, const Unsub& unsub) {
    if (forget(unsub.feed)) events_.on_unsubscribe(unsub.feed);
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t seq, const RequestList&) {
    return answer({Say::list, seq, {}});
}

Result<> Link::Impl::on_message(std::uint32_t, const SignedRoot& root) {
    if (!follows(root.feed)) {
        events_.on_count("other_feed");
        return {};
    }
    unasked_ = 0;
    events_.on_root(root);
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t seq, const RequestObject& request) {
    if (request.hash == registry_hash()) return answer({Say::object, seq, {}});
    pipelines_ = pipelines_ || objects_waiting_ > 0;
    remember_fill(request.hash);
    if (const ObjectPtr object = events_.find_object(request.hash))
        return answer({Say::object, seq, std::weak_ptr<const Object>(object)});
    events_.on_count("unknown_object");
    return answer(text_note(seq, ""));
}

Result<> Link::Impl::on_message(std::uint32_t, const ObjectBytes& object) {
    events_.on_object(crypto::sha256(object.bytes), object.bytes, /*asked=*/false);
    return {};
}

Result<> Link::Impl::on_message(std::uint32_t seq, const RequestPreview& request) {
    return answer({Say::preview, seq, request.feed});
}

Result<> Link::Impl::on_message(std::uint32_t seq, const RequestPeers& request) {
    // Nodes of a swarm ask it. None knows of peers here, and to say so offends nobody.
    events_.on_count("request_peers");
    return answer({Say::peers, seq, request.feed});
}

bool Link::Impl::follows(const crypto::PublicKey& feed) const noexcept {
    return std::ranges::find(followed_, feed) != followed_.end();
}

Link::Impl::Subscriber* Link::Impl::find(const crypto::PublicKey& feed) noexcept {
    const auto found = std::ranges::find(subscribers_, feed, &Subscriber::feed);
    return found == subscribers_.end() ? nullptr : &*found;
}

const Link::Impl::Subscriber* Link::Impl::find(const crypto::PublicKey& feed) const noexcept {
    const auto found = std::ranges::find(subscribers_, feed, &Subscriber::feed);
    return found == subscribers_.end() ? nullptr : &*found;
}

void Link::Impl::remember_fill(const Hash& hash) {
    const auto is_of = [&hash](const AnnouncementPtr& version) {
        return version && version->tree.hash() == hash;
    };
    // What passed before the first request of a fill, of whichever feed, is nobody's pace.
    const bool begins = std::ranges::any_of(subscribers_, [&](const Subscriber& subscriber) {
        return is_of(subscriber.sent) || is_of(subscriber.before);
    });
    for (Subscriber& subscriber : subscribers_) {
        const Duration pause = now_ - subscriber.busy_at;
        const bool goes_on = !begins && subscriber.filling && pause <= detail::kFillSilence &&
                             (subscriber.fetches || subscriber.told_at <= subscriber.busy_at);
        if (goes_on) subscriber.pace = std::max(pause, subscriber.pace / 2);
        subscriber.busy_at = now_;
        subscriber.is_silent = false;
        if (is_of(subscriber.sent)) {
            subscriber.filling = subscriber.sent;
            subscriber.fetches = subscriber.fetches || subscriber.sent_ahead;
            subscriber.is_awaited = false;
            subscriber.may_repeat = false;
            subscriber.again_at = SteadyTime::max();
        } else if (is_of(subscriber.before)) {
            subscriber.filling = subscriber.before;
            subscriber.fetches = subscriber.fetches || subscriber.before_ahead;
        }
        if (pipelines_) subscriber.fetches = false;
        // It is not done yet with what it fills, and forgets a newer one that came meanwhile.
        const bool is_older = subscriber.filling && subscriber.filling != subscriber.sent;
        if (is_older || subscriber.again_at != SteadyTime::max())
            subscriber.again_at = now_ + quiet_time(subscriber, limits_.root_again);
    }
}

bool Link::Impl::forget(const crypto::PublicKey& feed) {
    const auto found = std::ranges::find(subscribers_, feed, &Subscriber::feed);
    if (found == subscribers_.end()) return false;
    if (found->queued) {
        notes_.forget_root(feed);
        --bulk_waiting_;
    }
    subscribers_.erase(found);
    return true;
}

// The public face.

Link::Link(
    Role role,
    const crypto::PublicKey& own_node,
    const LinkLimits& limits,
    LinkEvents& events,
    SteadyTime now
)
    : impl_(std::make_unique<Impl>(role, own_node, limits, events, now)) {}

Link::~Link() = default;

Result<> Link::on_bytes(ByteSpan bytes, SteadyTime now) {
    return impl_->on_bytes(bytes, now);
}
Result<> Link::on_time(SteadyTime now) {
    return impl_->on_time(now);
}
SteadyTime Link::next_time() const noexcept {
    return impl_->next_time();
}
void Link::stop() {
    impl_->stop();
}
bool Link::established() const noexcept {
    return impl_->established();
}
const crypto::PublicKey& Link::node() const noexcept {
    return impl_->node();
}
void Link::subscribe(const crypto::PublicKey& feed, SteadyTime now) {
    impl_->subscribe(feed, now);
}
void Link::unsubscribe(const crypto::PublicKey& feed) {
    impl_->unsubscribe(feed);
}
std::size_t Link::window() const noexcept {
    return impl_->window();
}
void Link::request(const Hash& hash, SteadyTime) {
    impl_->request(hash);
}
SteadyTime Link::progress() const noexcept {
    return impl_->progress();
}
void Link::announce(const AnnouncementPtr& version, SteadyTime now) {
    impl_->announce(version, now);
}
void Link::drop_subscription(const crypto::PublicKey& feed) {
    impl_->drop_subscription(feed);
}
bool Link::has_subscriber(const crypto::PublicKey& feed) const noexcept {
    return impl_->has_subscriber(feed);
}
bool Link::has_output() const noexcept {
    return impl_->has_output();
}
std::span<const ByteSpan> Link::gather(SteadyTime now) {
    return impl_->gather(now);
}
void Link::wrote(SteadyTime now) {
    impl_->wrote(now);
}
std::size_t Link::memory() const noexcept {
    return impl_->memory();
}

}  // namespace skywire::cxo
