#include "cxo/remote_feed.hpp"

#include "base/assert.hpp"
#include "cxo/feed_copy.hpp"
#include "cxo/node_counters.hpp"
#include "cxo/retry.hpp"
#include "net/deadline.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::cxo {
namespace {

LinkLimits link_limits(const FollowTimes& times, const ReplicaLimits& replica) {
    LinkLimits limits;
    limits.object_max = std::min(limits.object_max, replica.bytes_max);
    limits.keep_alive = times.keep_alive;
    limits.idle = times.idle;
    limits.handshake = std::min(limits.handshake, times.idle);
    return limits;
}

FeedCopy::Options copy_options(const RemoteFeedOptions& options) {
    return {options.feed, options.publisher_only, options.limits, options.times};
}

}  // namespace

class RemoteFeed::Impl {
 public:
    Impl(const net::Context& context, Node& node, RemoteFeedOptions options)
        : context_(context),
          node_(node),
          options_(std::move(options)),
          live_(std::make_shared<Live>(context.loop)),
          timer_(context.loop, context.clock),
          copy_(context_, node, copy_options(options_), [this] { on_change(); }),
          scope_(context.loop, [this](std::string_view name, std::exception_ptr error) {
              note_exception(context_.logger, node_.counters(), name, error);
          }) {}
    ~Impl() { SKY_ASSERT(scope_.size() == 0); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    const crypto::PublicKey& key() const noexcept { return options_.feed; }
    FeedCopy& copy() noexcept { return copy_; }
    const FeedCopy& copy() const noexcept { return copy_; }

    void start();
    Task<Result<>> connect_and_wait_for_root(SteadyTime deadline);
    State state() const;
    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    /// What those who wait look at; they may outlive the feed.
    struct Live {
        explicit Live(const Executor& loop) : changed(loop) {}
        net::Event changed;
        bool whole = false;
        bool closed = false;
        std::string error;
    };

    static Task<Result<>> wait(std::shared_ptr<Live> live);
    void on_change();
    Task<> follow();
    /// False: to be ended.
    Task<bool> attempt();
    Task<bool> attend();
    Task<bool> pause(SteadyTime until);

    net::Context context_;
    Node& node_;
    RemoteFeedOptions options_;
    std::shared_ptr<Live> live_;
    net::Timer timer_;
    bool hurry_ = false;
    bool started_ = false;
    unsigned failures_ = 0;
    std::uint64_t attempts_ = 0;
    std::uint64_t connections_ = 0;
    FeedCopy copy_;
    net::Scope scope_;
};

void RemoteFeed::Impl::start() {
    if (std::exchange(started_, true)) return;
    scope_.spawn("following " + options_.route.name, [this] { return follow(); });
}

void RemoteFeed::Impl::on_change() {
    timer_.cancel();
    live_->whole = copy_.whole();
    live_->error = copy_.error();
    if (live_->whole) live_->changed.notify();
}

Task<> RemoteFeed::Impl::follow() {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    bool threw = false;
    for (bool goes_on = true; goes_on;) {
        try {
            goes_on = std::exchange(threw, false)
                          ? co_await pause(context_.clock.now() + options_.times.retry_max)
                          : co_await attempt();
        } catch (...) {
            // The pause behind an exception, too, may have thrown it.
            threw = true;
            note_exception(
                context_.logger, node_.counters(), options_.route.name, std::current_exception()
            );
        }
        if (!threw) continue;
        copy_.detach();
        copy_.set_error("an exception");
        co_await asio::post(context_.loop, use_tuple);
        goes_on = state.cancelled() == asio::cancellation_type::none;
    }
    copy_.detach();
}

/// One connection, to its end, and the pause behind it.
Task<bool> RemoteFeed::Impl::attempt() {
    Clock& clock = context_.clock;
    const FollowTimes& times = options_.times;
    const SteadyTime began = clock.now();
    ++attempts_;
    const bool dmsg = options_.route.carrier == Carrier::dmsg;
    auto connected = co_await node_.connect(
        {options_.route, options_.keys, link_limits(times, options_.limits)},
        copy_,
        began + (dmsg ? times.attach_dmsg : times.attach)
    );
    SteadyTime from = began;
    if (connected) {
        ++connections_;
        const bool goes_on = co_await attend();
        if (!goes_on) co_return false;
        from = clock.now();
        if (copy_.was_whole()) failures_ = 0;
    } else {
        if (connected.error() == errc::cancelled) co_return false;
        copy_.set_error(connected.error().message());
        live_->error = copy_.error();
    }
    ++failures_;
    const bool refused = connected && copy_.was_refused();
    node_.counters().reconnects.add(connected ? (refused ? "refused" : "lost") : "not_attached");
    log::debug(
        context_.logger,
        "cxo.feed.lost",
        log::kv("route", options_.route.name),
        log::kv("failures", failures_),
        log::kv("reason", copy_.error())
    );
    const Duration most = refused ? times.refused_max : times.retry_max;
    const bool goes_on =
        co_await pause(from + retry_delay(failures_, times.retry_min, most, context_.random));
    co_return goes_on;
}

/// Keeps the copy's time as long as there is a connection.
Task<bool> RemoteFeed::Impl::attend() {
    const auto state = co_await asio::this_coro::cancellation_state;
    while (copy_.attached() && state.cancelled() == asio::cancellation_type::none) {
        const bool reached = co_await timer_.wait_until(copy_.next_time());
        if (reached) copy_.on_time();
    }
    co_return state.cancelled() == asio::cancellation_type::none;
}

/// Returns early where somebody is in a hurry.
Task<bool> RemoteFeed::Impl::pause(SteadyTime until) {
    const auto state = co_await asio::this_coro::cancellation_state;
    while (!hurry_ && context_.clock.now() < until &&
           state.cancelled() == asio::cancellation_type::none)
        co_await timer_.wait_until(until);
    hurry_ = false;
    co_return state.cancelled() == asio::cancellation_type::none;
}

Task<Result<>> RemoteFeed::Impl::wait(std::shared_ptr<Live> live) {
    while (!live->whole) {
        if (live->closed) co_return fail(errc::closed, "the feed is not followed any more");
        const bool notified = co_await live->changed.wait();
        if (!notified) co_return fail(errc::cancelled, {});
    }
    co_return Result<>();
}

Task<Result<>> RemoteFeed::Impl::connect_and_wait_for_root(SteadyTime deadline) {
    start();
    if (!copy_.attached()) {
        hurry_ = true;
        timer_.cancel();
    }
    const auto live = live_;
    const std::string name = options_.route.name;
    const auto waited = co_await net::with_deadline(context_.clock, deadline, wait(live));
    if (waited || waited.error() != errc::timed_out || live->error.empty()) co_return waited;
    co_return fail(errc::timed_out, name + ": " + live->error);
}

RemoteFeed::State RemoteFeed::Impl::state() const {
    State state;
    state.feed = options_.feed;
    state.route = options_.route.name;
    state.connected = copy_.connected();
    state.live = copy_.live();
    state.age = copy_.age();
    state.leaves = copy_.tree().count();
    if (const auto& root = copy_.root()) {
        state.nonce = root->nonce;
        state.seq = root->seq;
    }
    state.error = copy_.error();
    state.attempts = attempts_;
    state.connections = connections_;
    state.resubscribes = copy_.resubscribes();
    state.restarts = copy_.restarts();
    state.counts = copy_.counts();
    return state;
}

Task<std::vector<std::string>> RemoteFeed::Impl::close(SteadyTime deadline) {
    live_->closed = true;
    live_->changed.notify();
    co_return co_await scope_.close(context_.clock, context_.clock.now(), deadline);
}

RemoteFeed::RemoteFeed(const net::Context& context, Node& node, RemoteFeedOptions options)
    : impl_(std::make_unique<Impl>(context, node, std::move(options))) {}

RemoteFeed::~RemoteFeed() = default;

const crypto::PublicKey& RemoteFeed::key() const noexcept {
    return impl_->key();
}

void RemoteFeed::start() {
    impl_->start();
}

Task<Result<>> RemoteFeed::connect_and_wait_for_root(SteadyTime deadline) {
    return impl_->connect_and_wait_for_root(deadline);
}

const Tree& RemoteFeed::tree() const noexcept {
    return impl_->copy().tree();
}

const std::optional<Root>& RemoteFeed::root() const noexcept {
    return impl_->copy().root();
}

Subscription RemoteFeed::subscribe(std::string prefix, OnFeedUpdate on_update) {
    return impl_->copy().subscribe(std::move(prefix), std::move(on_update));
}

RemoteFeed::State RemoteFeed::state() const {
    return impl_->state();
}

Task<std::vector<std::string>> RemoteFeed::close(SteadyTime deadline) {
    return impl_->close(deadline);
}

}  // namespace skywire::cxo
