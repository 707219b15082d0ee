#include "cxo/feed.hpp"

#include "base/assert.hpp"
#include "cxo/node_counters.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include <boost/asio/this_coro.hpp>

namespace skywire::cxo {
namespace {

constexpr std::size_t kDeniedMax = 16;
/// A change that is not published after so long is stuck.
constexpr Duration kStuck = std::chrono::seconds(10);

}  // namespace

class Feed::Impl final : public FeedSource {
 public:
    Impl(const net::Context& context, Node& node, FeedOptions options);
    ~Impl() override { SKY_ASSERT(closed_); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    // FeedSource.
    const crypto::PublicKey& feed() const noexcept override { return publisher_.feed(); }
    Result<> admit(const Peer& peer) override;
    AnnouncementPtr last() const override { return publisher_.last(); }

    Result<> batch(std::vector<Change> changes);
    Result<> remove_below(std::string_view path);
    void publish_even_if_empty();
    const Tree& tree() const noexcept { return publisher_.tree(); }
    Subscription subscribe(std::string prefix, OnFeedUpdate on_update) {
        return subscribers_.add(std::move(prefix), std::move(on_update));
    }
    void set_allowed(std::optional<std::set<crypto::PublicKey>> allowed);
    State state() const;
    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    Result<> check_size(const std::vector<Change>& changes) const;
    Result<> changed(Result<> result, std::size_t changes);
    void publish_due();
    Task<> keep_time();
    void deny(const crypto::PublicKey& key);

    net::Context context_;
    Node& node_;
    FeedOptions options_;
    Publisher publisher_;
    Subscribers subscribers_;
    std::uint64_t versions_ = 0;
    std::optional<SteadyTime> published_at_;
    std::optional<SteadyTime> dirty_since_;
    std::string error_;
    SteadyTime error_at_{};
    std::deque<crypto::PublicKey> denied_;
    bool closed_ = false;
    net::Timer timer_;
    net::Scope scope_;
};

Feed::Impl::Impl(const net::Context& context, Node& node, FeedOptions options)
    : context_(context),
      node_(node),
      options_(std::move(options)),
      publisher_(
          options_.keys,
          node.index(),
          options_.pace,
          context.clock.wall().time_since_epoch().count()
      ),
      timer_(context.loop, context.clock),
      scope_(context.loop, [this](std::string_view name, std::exception_ptr error) {
          note_exception(context_.logger, node_.counters(), name, error);
      }) {
    node_.publish(*this);
    scope_.spawn("publishing of a feed", [this] { return keep_time(); });
}

Result<> Feed::Impl::admit(const Peer& peer) {
    if (!options_.allowed) return {};
    if (!peer.key.is_null() && options_.allowed->contains(peer.key)) return {};
    deny(peer.key);
    return fail(errc::forbidden, "subscription denied");
}

void Feed::Impl::deny(const crypto::PublicKey& key) {
    std::erase(denied_, key);
    denied_.push_front(key);
    if (denied_.size() > kDeniedMax) denied_.pop_back();
}

Result<> Feed::Impl::check_size(const std::vector<Change>& changes) const {
    std::size_t added = 0;
    for (const Change& change : changes)
        added += change.value ? change.value->size() : 0;
    if (tree().leaf_bytes() + added <= options_.bytes_max) return {};
    // Rarely: what the last change of each path makes of it.
    std::map<std::string_view, std::size_t> sizes;
    for (const Change& change : changes)
        sizes[change.path] = change.value ? change.value->size() : 0;
    std::size_t bytes = tree().leaf_bytes();
    for (const auto& [path, size] : sizes) {
        const auto before = tree().get(path);
        bytes = bytes - (before ? before->size() : 0) + size;
    }
    if (bytes <= options_.bytes_max) return {};
    return fail(
        errc::limit_reached,
        fmt::format("{} bytes in a feed that may have {}", bytes, options_.bytes_max)
    );
}

Result<> Feed::Impl::batch(std::vector<Change> changes) {
    if (closed_) return fail(errc::closed, "the feed is closed");
    const std::size_t count = changes.size();
    if (const auto fits = check_size(changes); !fits) return changed(fits, count);
    return changed(publisher_.batch(std::move(changes), context_.clock.now()), count);
}

Result<> Feed::Impl::remove_below(std::string_view path) {
    if (closed_) return fail(errc::closed, "the feed is closed");
    return changed(publisher_.remove_below(path, context_.clock.now()), 1);
}

Result<> Feed::Impl::changed(Result<> result, std::size_t changes) {
    if (!result) {
        error_ = result.error().message();
        error_at_ = context_.clock.now();
        node_.counters().changes_refused.add(
            result.error() == errc::limit_reached ? "limit" : "malformed"
        );
        return result;
    }
    error_.clear();
    node_.counters().changes.add(changes);
    const auto& last = publisher_.last();
    const bool dirty = last ? last->tree.hash() != tree().hash() : !tree().empty();
    if (!dirty) {
        dirty_since_.reset();
    } else if (!dirty_since_) {
        dirty_since_ = context_.clock.now();
    }
    timer_.cancel();
    return result;
}

void Feed::Impl::publish_even_if_empty() {
    publisher_.publish_even_if_empty(context_.clock.now());
    timer_.cancel();
}

void Feed::Impl::publish_due() {
    const SteadyTime now = context_.clock.now();
    const AnnouncementPtr version =
        publisher_.on_time(now, context_.clock.wall().time_since_epoch().count());
    if (!version) return;
    ++versions_;
    published_at_ = now;
    dirty_since_.reset();
    node_.counters().versions.add();
    node_.announce(feed(), version);
    const auto root = decode_root(version->root.value);
    SKY_ASSERT(root.has_value());
    subscribers_.tell(*root, version->tree);
}

Task<> Feed::Impl::keep_time() {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    while (state.cancelled() == asio::cancellation_type::none) {
        const SteadyTime at = publisher_.next_time();
        // Also where it is time already: what is changed in one go is published together.
        co_await timer_.wait_until(at);
        if (state.cancelled() != asio::cancellation_type::none) break;
        try {
            publish_due();
        } catch (...) {
            note_exception(
                context_.logger, node_.counters(), "publishing", std::current_exception()
            );
        }
    }
}

void Feed::Impl::set_allowed(std::optional<std::set<crypto::PublicKey>> allowed) {
    options_.allowed = std::move(allowed);
    node_.judge_again(feed());
}

Feed::State Feed::Impl::state() const {
    const SteadyTime now = context_.clock.now();
    State state;
    state.feed = feed();
    state.dirty = dirty_since_.has_value();
    state.leaves = tree().count();
    state.bytes = tree().leaf_bytes();
    state.subscribers = node_.subscribers(feed());
    state.versions = versions_;
    if (const auto& last = publisher_.last()) {
        state.nonce = last->root.nonce;
        state.seq = last->root.seq;
    }
    if (published_at_) state.since_published = now - *published_at_;
    state.error = error_;
    if (!error_.empty()) state.since_error = now - error_at_;
    state.stuck = dirty_since_ && now - *dirty_since_ > kStuck + options_.pace.interval;
    state.denied.assign(denied_.begin(), denied_.end());
    return state;
}

Task<std::vector<std::string>> Feed::Impl::close(SteadyTime deadline) {
    if (!std::exchange(closed_, true)) node_.withdraw(*this);
    co_return co_await scope_.close(context_.clock, context_.clock.now(), deadline);
}

Feed::Feed(const net::Context& context, Node& node, FeedOptions options)
    : impl_(std::make_unique<Impl>(context, node, std::move(options))) {}

Feed::~Feed() = default;

const crypto::PublicKey& Feed::key() const noexcept {
    return impl_->feed();
}

Result<> Feed::put(std::string_view path, Bytes value) {
    std::vector<Change> changes;
    changes.push_back({std::string(path), std::move(value)});
    return impl_->batch(std::move(changes));
}

Result<> Feed::remove(std::string_view path) {
    std::vector<Change> changes;
    changes.push_back({std::string(path), std::nullopt});
    return impl_->batch(std::move(changes));
}

Result<> Feed::remove_below(std::string_view path) {
    return impl_->remove_below(path);
}

Result<> Feed::batch(std::vector<Change> changes) {
    return impl_->batch(std::move(changes));
}

void Feed::publish_even_if_empty() {
    impl_->publish_even_if_empty();
}

const Tree& Feed::tree() const noexcept {
    return impl_->tree();
}

Subscription Feed::subscribe(std::string prefix, OnFeedUpdate on_update) {
    return impl_->subscribe(std::move(prefix), std::move(on_update));
}

void Feed::set_allowed(std::optional<std::set<crypto::PublicKey>> allowed) {
    impl_->set_allowed(std::move(allowed));
}

Feed::State Feed::state() const {
    return impl_->state();
}

Task<std::vector<std::string>> Feed::close(SteadyTime deadline) {
    return impl_->close(deadline);
}

}  // namespace skywire::cxo
