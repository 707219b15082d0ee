#include "cxo/subscription_manager.hpp"

#include "base/assert.hpp"
#include "cxo/node_counters.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::cxo {
namespace {

constexpr std::size_t kSampleMax = 5;
constexpr Duration kCloseLimit = std::chrono::seconds(5);
constexpr Duration kPauseBehindException = std::chrono::milliseconds(250);

/// A publisher's port, whose names share one copy.
struct Source {
    Route route;
    crypto::PublicKey publisher;
    /// While it is open.
    std::unique_ptr<RemoteFeed> feed;
    std::size_t references = 0;
    std::optional<SteadyTime> closes_at;
    /// Whoever has read it may come back until then.
    SteadyTime stays_until{};
    /// Of an earlier opening; what it shares with a later one is not fetched again.
    std::optional<SubscriptionManager::Reading> kept;
    SteadyTime kept_at{};
};

struct Named {
    FeedSpec spec;
    std::string missing;
    Source* source = nullptr;
    std::size_t references = 0;
    SubscriptionManager::Handle pin;
};

}  // namespace

class SubscriptionManager::Impl : public std::enable_shared_from_this<Impl> {
 public:
    Impl(const net::Context& context, Node& node, SubscriptionManagerOptions options)
        : context_(context),
          node_(node),
          options_(std::move(options)),
          timer_(context.loop, context.clock),
          scope_(context.loop, [this](std::string_view name, std::exception_ptr error) {
              note_exception(context_.logger, node_.counters(), name, error);
          }) {}
    ~Impl() { SKY_ASSERT(scope_.size() == 0); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void define(FeedSpec spec);
    void define_missing(std::string name, std::string why);
    Result<Handle> open(std::string_view name);
    Result<std::optional<Reading>> read(std::string_view name);
    Result<> pin(std::string_view name, bool pinned);
    std::vector<Row> rows() const;
    Task<std::vector<std::string>> close(SteadyTime deadline);

    std::optional<Reading> reading(const Source& source) const;
    void release(Named& named, Duration linger);
    Duration linger() const noexcept { return options_.linger; }

 private:
    Result<Named*> find(std::string_view name);
    void start(Source& source);
    void expire(Source& source);
    Row row(const Named& named) const;
    Task<> close_unused();
    Task<> close_next();
    void begin_closing(Source& source);
    Task<std::vector<std::string>> close_begun(SteadyTime deadline);
    Task<std::vector<std::string>> close_all(SteadyTime deadline);

    net::Context context_;
    Node& node_;
    SubscriptionManagerOptions options_;
    std::map<std::pair<crypto::PublicKey, std::uint16_t>, Source> sources_;
    std::map<std::string, Named, std::less<>> names_;
    /// One after the other: the one that is being closed. Who opens it meanwhile gets another one.
    std::unique_ptr<RemoteFeed> closing_;
    bool closes_unused_ = false;
    bool closed_ = false;
    net::Timer timer_;
    net::Scope scope_;
};

struct SubscriptionManager::Handle::Held {
    std::weak_ptr<Impl> manager;
    Named* named = nullptr;
    Duration linger{};

    Held(std::weak_ptr<Impl> manager_in, Named* named_in, Duration linger_in)
        : manager(std::move(manager_in)), named(named_in), linger(linger_in) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
        if (const auto alive = manager.lock()) alive->release(*named, linger);
    }
};

void SubscriptionManager::Impl::define(FeedSpec spec) {
    Source& source = sources_[{spec.publisher, spec.port}];
    source.publisher = spec.publisher;
    source.route = options_.route(spec.publisher, spec.port);
    Named& named = names_[spec.name];
    SKY_ASSERT(named.source == nullptr);
    named.source = &source;
    named.missing.clear();
    named.spec = std::move(spec);
}

void SubscriptionManager::Impl::define_missing(std::string name, std::string why) {
    Named& named = names_[name];
    SKY_ASSERT(named.source == nullptr);
    named.spec.name = std::move(name);
    named.missing = std::move(why);
}

Result<Named*> SubscriptionManager::Impl::find(std::string_view name) {
    if (closed_) return fail(errc::closed, "subscriptions have been closed");
    const auto found = names_.find(name);
    if (found == names_.end())
        return fail(errc::not_found, fmt::format("no feed is called {}", quote_peer_text(name)));
    if (found->second.source == nullptr)
        return fail(errc::unavailable, fmt::format("feed {}: {}", name, found->second.missing));
    return &found->second;
}

Result<SubscriptionManager::Handle> SubscriptionManager::Impl::open(std::string_view name) {
    const auto named = find(name);
    if (!named) return named.error();
    ++(*named)->references;
    ++(*named)->source->references;
    start(*(*named)->source);
    return Handle(std::make_shared<Handle::Held>(weak_from_this(), *named, linger()));
}

void SubscriptionManager::Impl::start(Source& source) {
    source.closes_at.reset();
    if (source.feed) return;
    RemoteFeedOptions options(source.publisher, source.route);
    options.keys = options_.keys;
    options.limits = options_.limits;
    options.times = options_.times;
    source.feed = std::make_unique<RemoteFeed>(context_, node_, std::move(options));
    source.feed->start();
}

void SubscriptionManager::Impl::release(Named& named, Duration linger) {
    Source& source = *named.source;
    --named.references;
    source.stays_until = std::max(source.stays_until, context_.clock.now() + linger);
    if (--source.references != 0 || closed_) return;
    try {
        expire(source);
    } catch (...) {
        // Whose reader is gone hears of nothing; the next to be released closes this one as well.
        note_exception(
            context_.logger, node_.counters(), "releasing a feed", std::current_exception()
        );
    }
}

void SubscriptionManager::Impl::expire(Source& source) {
    source.closes_at = source.stays_until;
    if (closes_unused_) {
        timer_.cancel();
        return;
    }
    scope_.spawn("closing feeds that nobody reads", [this] { return close_unused(); });
    closes_unused_ = true;
}

Task<> SubscriptionManager::Impl::close_unused() {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    bool threw = false;
    while (state.cancelled() == asio::cancellation_type::none) {
        try {
            if (std::exchange(threw, false)) {
                (void)co_await timer_.wait_for(kPauseBehindException);
            } else {
                co_await close_next();
            }
        } catch (...) {
            // The pause behind an exception, too, may have thrown it.
            threw = true;
            note_exception(
                context_.logger, node_.counters(), "closing a feed", std::current_exception()
            );
        }
        if (threw) co_await asio::post(context_.loop, use_tuple);
    }
}

/// Waits for the next feed that nobody has read for long enough, and closes it.
Task<> SubscriptionManager::Impl::close_next() {
    if (closing_) {
        // As long as it takes: a feed cannot be left behind.
        const auto late = co_await close_begun(context_.clock.now() + kCloseLimit);
        if (!late.empty())
            log::warn(context_.logger, "cxo.feed.close_late", log::kv("what", late.front()));
        co_return;
    }
    Source* first = nullptr;
    SteadyTime at = SteadyTime::max();
    for (auto& [key, source] : sources_) {
        if (source.closes_at.value_or(SteadyTime::max()) >= at) continue;
        first = &source;
        at = source.closes_at.value_or(SteadyTime::max());
    }
    if (first != nullptr && at <= context_.clock.now()) {
        begin_closing(*first);
    } else {
        co_await timer_.wait_until(at);
    }
}

void SubscriptionManager::Impl::begin_closing(Source& source) {
    if (auto reading = this->reading(source)) {
        source.kept = std::move(reading);
        source.kept_at = context_.clock.now();
    }
    source.closes_at.reset();
    closing_ = std::move(source.feed);
}

Task<std::vector<std::string>> SubscriptionManager::Impl::close_begun(SteadyTime deadline) {
    auto late = co_await closing_->close(deadline);
    if (late.empty()) closing_.reset();
    co_return late;
}

std::optional<SubscriptionManager::Reading> SubscriptionManager::Impl::reading(const Source& source
) const {
    if (source.feed && source.feed->root()) {
        const auto state = source.feed->state();
        const auto& root = source.feed->root();
        if (!root) return std::nullopt;
        return Reading{
            state.route, source.feed->tree(), *root, state.age.value_or(Duration()), state.live
        };
    }
    if (!source.kept) return std::nullopt;
    Reading kept = *source.kept;
    kept.age += context_.clock.now() - source.kept_at;
    kept.live = false;
    return kept;
}

Result<std::optional<SubscriptionManager::Reading>> SubscriptionManager::Impl::read(
    std::string_view name
) {
    const auto handle = open(name);
    if (!handle) return handle.error();
    return handle->read();
}

Result<> SubscriptionManager::Impl::pin(std::string_view name, bool pinned) {
    const auto named = find(name);
    if (!named) return named.error();
    if (!pinned) {
        (*named)->pin.reset();
        return {};
    }
    if ((*named)->pin) return {};
    auto handle = open(name);
    if (!handle) return handle.error();
    (*named)->pin = std::move(*handle);
    return {};
}

SubscriptionManager::Row SubscriptionManager::Impl::row(const Named& named) const {
    Row row;
    row.name = named.spec.name;
    row.publisher = named.spec.publisher;
    row.port = named.spec.port;
    row.prefix = named.spec.prefix;
    row.references = named.references;
    row.pinned = static_cast<bool>(named.pin);
    row.error = named.missing;
    if (named.source == nullptr) return row;
    const Source& source = *named.source;
    row.route = source.route.name;
    row.running = source.feed != nullptr;
    if (source.feed) {
        const auto state = source.feed->state();
        row.connected = state.connected;
        row.error = state.error;
    }
    const auto reading = this->reading(source);
    if (!reading) return row;
    row.live = reading->live;
    row.age = reading->age;
    row.seq = reading->root.seq;
    reading->tree.walk(row.prefix, [&row](std::string_view path, ByteSpan leaf) {
        ++row.paths;
        row.bytes += leaf.size();
        if (row.sample.size() < kSampleMax) row.sample.emplace_back(path);
        return true;
    });
    return row;
}

std::vector<SubscriptionManager::Row> SubscriptionManager::Impl::rows() const {
    std::vector<Row> rows;
    rows.reserve(names_.size());
    for (const auto& [name, named] : names_)
        rows.push_back(row(named));
    return rows;
}

Task<std::vector<std::string>> SubscriptionManager::Impl::close(SteadyTime deadline) {
    closed_ = true;
    for (auto& [name, named] : names_)
        named.pin.reset();
    // Not to be interrupted: an owner that goes away half-way would leave feeds open.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto late = co_await close_all(deadline);
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return late;
}

Task<std::vector<std::string>> SubscriptionManager::Impl::close_all(SteadyTime deadline) {
    // Before anything else what closes feeds by itself: two that close the same one would not
    // notice that it is gone.
    Clock& clock = context_.clock;
    auto late = co_await scope_.close(clock, clock.now(), deadline);
    if (late.empty() && closing_) late = co_await close_begun(deadline);
    if (!late.empty()) co_return late;
    for (auto& [key, source] : sources_) {
        if (!source.feed) continue;
        auto left = co_await source.feed->close(deadline);
        if (left.empty()) source.feed.reset();
        std::move(left.begin(), left.end(), std::back_inserter(late));
    }
    co_return late;
}

SubscriptionManager::Handle& SubscriptionManager::Handle::operator=(Handle&& other) noexcept {
    held_ = std::move(other.held_);
    return *this;
}

void SubscriptionManager::Handle::reset() noexcept {
    held_.reset();
}

std::optional<SubscriptionManager::Reading> SubscriptionManager::Handle::read() const {
    const auto manager = held_ ? held_->manager.lock() : nullptr;
    return manager ? manager->reading(*held_->named->source) : std::nullopt;
}

Subscription SubscriptionManager::Handle::subscribe(OnFeedUpdate on_update) const {
    const auto manager = held_ ? held_->manager.lock() : nullptr;
    if (!manager || !held_->named->source->feed) return {};
    const Named& named = *held_->named;
    return named.source->feed->subscribe(named.spec.prefix, std::move(on_update));
}

std::optional<RemoteFeed::State> SubscriptionManager::Handle::state() const {
    const auto manager = held_ ? held_->manager.lock() : nullptr;
    if (!manager || !held_->named->source->feed) return std::nullopt;
    return held_->named->source->feed->state();
}

Task<Result<>> SubscriptionManager::Handle::wait_live(SteadyTime deadline) const {
    // Neither the handle nor the manager need outlive the wait.
    RemoteFeed* feed = nullptr;
    if (const auto manager = held_ ? held_->manager.lock() : nullptr)
        feed = held_->named->source->feed.get();
    if (feed == nullptr) co_return fail(errc::closed, "subscriptions have been closed");
    co_return co_await feed->connect_and_wait_for_root(deadline);
}

SubscriptionManager::SubscriptionManager(
    const net::Context& context, Node& node, SubscriptionManagerOptions options
)
    : impl_(std::make_shared<Impl>(context, node, std::move(options))) {}

SubscriptionManager::~SubscriptionManager() = default;

void SubscriptionManager::define(FeedSpec spec) {
    impl_->define(std::move(spec));
}

void SubscriptionManager::define_missing(std::string name, std::string why) {
    impl_->define_missing(std::move(name), std::move(why));
}

Result<SubscriptionManager::Handle> SubscriptionManager::open(std::string_view name) {
    return impl_->open(name);
}

Result<std::optional<SubscriptionManager::Reading>> SubscriptionManager::read(std::string_view name
) {
    return impl_->read(name);
}

Result<> SubscriptionManager::pin(std::string_view name, bool pinned) {
    return impl_->pin(name, pinned);
}

Task<Result<SubscriptionManager::Reading>> SubscriptionManager::read_once(
    std::string name, SteadyTime deadline
) {
    auto handle = open(name);
    if (!handle) co_return handle.error();
    handle->held_->linger = Duration();
    const auto live = co_await handle->wait_live(deadline);
    if (!live) co_return live.error();
    auto reading = handle->read();
    if (!reading) co_return fail(errc::closed, "subscriptions have been closed");
    co_return std::move(*reading);
}

std::vector<SubscriptionManager::Row> SubscriptionManager::rows() const {
    return impl_->rows();
}

Task<std::vector<std::string>> SubscriptionManager::close(SteadyTime deadline) {
    return impl_->close(deadline);
}

}  // namespace skywire::cxo
