#include "cxo/node_connection.hpp"

#include "base/assert.hpp"
#include "net/deadline.hpp"

#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::cxo {
namespace {

constexpr std::size_t kSpareBuffers = 2;
/// What one connection may read without giving others of its loop a turn.
constexpr std::size_t kTurnBytes = std::size_t{1} << 20;
/// To say why we hang up.
constexpr Duration kLastWords = std::chrono::seconds(1);

Task<bool> is_cancelled() {
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

}  // namespace

ReadBuffers::Buffer ReadBuffers::take() {
    if (spare_.empty()) return std::make_unique_for_overwrite<std::byte[]>(kSize);
    Buffer buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
}

void ReadBuffers::give_back(Buffer buffer) {
    if (spare_.size() < kSpareBuffers) spare_.push_back(std::move(buffer));
}

Connection::Connection(ConnectionShared shared, Begin begin)
    : shared_(shared),
      id_(begin.id),
      stream_(std::move(begin.carried.stream)),
      handshake_(std::move(begin.handshake)),
      link_(begin.role, begin.own_node, begin.limits, *this, shared.context.clock.now()),
      writable_(shared.context.loop) {
    peer_.key = begin.carried.key;
    peer_.address = stream_->remote();
    peer_.accepted = begin.role == Link::Role::acceptor;
}

Connection::~Connection() {
    SKY_ASSERT(coroutines_ == 0 && subscriptions_.empty());
}

void Connection::threw(const std::exception_ptr& error) noexcept {
    const log::Logger& logger = shared_.context.logger;
    note_exception(logger, shared_.counters, "connection", error);
    polite_end_ = false;
    try {
        end(fail(errc::wrong_state, "an exception"), "exception");
    } catch (...) {
        note_exception(logger, shared_.counters, "end of a connection", std::current_exception());
    }
}

Task<> Connection::read() {
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        co_await read_to_end();
    } catch (...) {
        threw(std::current_exception());
    }
    coroutine_over();
}

Task<> Connection::read_to_end() {
    while (!ended()) {
        const auto ready = co_await stream_->wait_readable();
        if (ended()) break;
        if (!ready) {
            end(ready.error(), end_reason(ready.error()));
            break;
        }
        co_await read_available();
        const bool cancelled = co_await is_cancelled();
        if (cancelled) end(fail(errc::cancelled, "the node has stopped"), "stopped");
    }
}

Task<> Connection::read_available() {
    ReadBuffers::Buffer buffer = shared_.buffers.take();
    const std::span<std::byte> room(buffer.get(), ReadBuffers::kSize);
    for (std::size_t turn = 0; !ended();) {
        const auto size = co_await stream_->read_some(room);
        if (!take(size, room) || *size < room.size()) break;
        turn += *size;
        if (turn >= kTurnBytes) {
            turn = 0;
            co_await asio::post(shared_.context.loop, use_tuple);
        }
    }
    shared_.buffers.give_back(std::move(buffer));
}

bool Connection::take(const Result<std::size_t>& size, ByteSpan buffer) {
    if (ended()) return false;
    if (!size) {
        end(size.error(), end_reason(size.error()));
        return false;
    }
    if (*size == 0) {
        end(fail(errc::closed, "the peer closed the connection"), "closed");
        return false;
    }
    shared_.counters.bytes_in.add(*size);
    settle(link_.on_bytes(buffer.first(*size), now()));
    return !ended();
}

/// After every call that may have moved the link: what it has to say, when it wants to be called,
/// and what its follower can do now.
void Connection::settle(const Result<>& result) {
    if (ended()) return;
    if (!result) {
        const Error error = result.error();
        polite_end_ = true;
        end(error, error == errc::closed ? "refused" : end_reason(error));
        return;
    }
    if (established_ && follower_ != nullptr && !std::exchange(attached_, true)) {
        follower_->on_attached();
    }
    if (attached_ && follower_ != nullptr && !ended()) follower_->on_settled();
    if (ended()) return;
    if (link_.has_output()) writable_.notify();
    shared_.owner.reschedule(*this);
}

Task<> Connection::write() {
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        co_await write_to_end();
    } catch (...) {
        threw(std::current_exception());
    }
    stream_->close();
    coroutine_over();
}

Task<> Connection::write_to_end() {
    while (!ended()) {
        const std::span<const ByteSpan> parts =
            link_.has_output() ? link_.gather(now()) : std::span<const ByteSpan>();
        if (parts.empty()) {
            const bool woken = co_await writable_.wait();
            if (!woken && !ended()) end(fail(errc::cancelled, "the node has stopped"), "stopped");
            continue;
        }
        std::size_t size = 0;
        for (const ByteSpan part : parts)
            size += part.size();
        writing_since_ = now();
        shared_.owner.reschedule(*this);
        const auto written = co_await stream_->write_all(parts);
        writing_since_.reset();
        if (ended()) break;
        if (!written) {
            end(written.error(), end_reason(written.error()));
            break;
        }
        shared_.counters.bytes_out.add(size);
        link_.wrote(now());
        settle(Result<>());
    }
    if (polite_end_) co_await last_words();
}

/// A link that has failed gathers once more: why.
Task<> Connection::last_words() {
    if (!link_.has_output()) co_return;
    Clock& clock = shared_.context.clock;
    (void)co_await net::with_deadline(
        clock, clock.now() + kLastWords, stream_->write_all(link_.gather(clock.now()))
    );
}

void Connection::end(const Error& why, std::string_view reason) {
    if (ended()) return;
    why_ = why;
    // It may be in the middle of what was read.
    link_.stop();
    handshake_.reset();
    // A write under way is in the way of last words.
    if (writing_since_) polite_end_ = false;
    if (!polite_end_) stream_->close();
    writable_.notify();
    // Before what may throw: it is entered nowhere any more.
    shared_.owner.on_end(*this);
    subscriptions_.clear();
    if (established_) {
        shared_.counters.ended.add(reason);
    } else {
        shared_.counters.refused.add(reason);
    }
    log::debug(
        shared_.context.logger,
        "cxo.connection.ended",
        log::kv("peer", peer_.node),
        log::kv("address", peer_.address.to_string()),
        log::kv("reason", why.message())
    );
}

void Connection::coroutine_over() {
    if (--coroutines_ > 0) return;
    SKY_ASSERT(why_);
    if (follower_ != nullptr) std::exchange(follower_, nullptr)->on_ended(*why_);
    shared_.owner.on_gone(*this);
}

SteadyTime Connection::next_time() const noexcept {
    const SteadyTime at = link_.next_time();
    return writing_since_ ? std::min(at, *writing_since_ + shared_.stall) : at;
}

void Connection::on_time() {
    if (ended()) return;
    try {
        if (writing_since_ && now() >= *writing_since_ + shared_.stall) {
            end(fail(errc::timed_out, "the peer takes nothing"), "stalled");
            return;
        }
        settle(link_.on_time(now()));
    } catch (...) {
        threw(std::current_exception());
    }
}

void Connection::follow(Follower& follower) {
    SKY_ASSERT(follower_ == nullptr);
    follower_ = &follower;
    follower.on_begun(*this);
}

void Connection::announce(const AnnouncementPtr& version) {
    if (ended()) return;
    shared_.counters.announced.add();
    try {
        link_.announce(version, now());
        settle(Result<>());
    } catch (...) {
        threw(std::current_exception());
    }
}

void Connection::drop_subscription(const crypto::PublicKey& feed) {
    if (subscriptions_.erase(feed) == 0) return;
    link_.drop_subscription(feed);
    shared_.owner.on_no_subscriber(*this, feed);
}

Result<> Connection::on_established(const crypto::PublicKey& node) {
    if (why_) return *why_;
    peer_.node = node;
    if (follower_ != nullptr) {
        if (const auto admitted = follower_->admit(peer_); !admitted) return admitted.error();
    }
    if (const auto taken = shared_.owner.on_established(*this); !taken) return taken.error();
    established_ = true;
    handshake_.reset();
    return {};
}

ObjectPtr Connection::find_object(const Hash& hash) {
    if (ended()) return nullptr;
    ObjectPtr object = shared_.index.find(hash);
    (object ? shared_.counters.objects_served : shared_.counters.objects_unknown).add();
    return object;
}

Result<AnnouncementPtr> Connection::on_subscribe(const crypto::PublicKey& feed) {
    if (why_) return *why_;
    FeedSource* const source = shared_.owner.source(feed);
    if (source == nullptr) {
        shared_.counters.subscriptions_refused.add("unknown_feed");
        return fail(errc::not_found, "do not share the feed");
    }
    if (const auto admitted = source->admit(peer_); !admitted) {
        shared_.counters.subscriptions_refused.add("not_allowed");
        return admitted.error();
    }
    if (subscriptions_.insert(feed).second) shared_.owner.on_subscriber(*this, feed);
    return source->last();
}

void Connection::on_unsubscribe(const crypto::PublicKey& feed) {
    if (ended()) return;
    if (subscriptions_.erase(feed) > 0) shared_.owner.on_no_subscriber(*this, feed);
}

AnnouncementPtr Connection::on_preview(const crypto::PublicKey& feed) {
    if (ended()) return nullptr;
    FeedSource* const source = shared_.owner.source(feed);
    return source != nullptr && source->admit(peer_) ? source->last() : nullptr;
}

void Connection::on_subscribed(const crypto::PublicKey&) {
    if (ended()) return;
    if (follower_ != nullptr) follower_->on_subscribed();
}

void Connection::on_refused(const crypto::PublicKey&, std::string_view why) {
    if (ended()) return;
    if (follower_ != nullptr) follower_->on_refused(why);
}

void Connection::on_root(const SignedRoot& root) {
    if (ended()) return;
    if (follower_ != nullptr) follower_->on_root(root);
}

void Connection::on_object(const Hash& hash, ByteSpan bytes, bool asked) {
    if (ended()) return;
    (asked ? shared_.counters.objects_received : shared_.counters.objects_unasked).add();
    if (follower_ != nullptr) follower_->on_object(hash, bytes, asked);
}

void Connection::on_no_object(const Hash& hash) {
    if (ended()) return;
    shared_.counters.objects_missing.add();
    if (follower_ != nullptr) follower_->on_no_object(hash);
}

void Connection::on_count(std::string_view reason) {
    shared_.counters.link.add(reason);
}

void Connection::subscribe(const crypto::PublicKey& feed) {
    if (ended()) return;
    link_.subscribe(feed, now());
    if (link_.has_output()) writable_.notify();
    shared_.owner.reschedule(*this);
}

void Connection::unsubscribe(const crypto::PublicKey& feed) {
    if (ended()) return;
    link_.unsubscribe(feed);
    if (link_.has_output()) writable_.notify();
}

std::size_t Connection::window() const noexcept {
    return ended() ? 0 : link_.window();
}

void Connection::request(const Hash& hash) {
    if (ended()) return;
    shared_.counters.objects_requested.add();
    link_.request(hash, now());
    if (link_.has_output()) writable_.notify();
}

void Connection::hang_up(std::string_view reason) {
    end(fail(errc::closed, std::string(reason)), reason);
}

void Connection::detach(std::string_view reason) {
    follower_ = nullptr;
    hang_up(reason);
}

}  // namespace skywire::cxo
