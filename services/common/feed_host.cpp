#include "services/common/feed_host.hpp"

#include "cxo/leaf.hpp"
#include "cxo/node_counters.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::services {
namespace {

/// A payload above this is compressed by a worker: about a millisecond of the loop.
constexpr std::size_t kOwnLoopMax = std::size_t{64} << 10;
/// Of the time that a version has taken to make, so much rest behind it: large leaves come less
/// often, to those who receive them, too.
constexpr int kRest = 5;
/// Changes that a feed takes without others having their turn.
constexpr std::size_t kTogetherMax = 256;
/// Paths that a feed cannot have, as far as they are remembered.
constexpr std::size_t kLeftOutMax = 1000;
/// Where an address or a port was taken.
constexpr std::chrono::seconds kListenAgain{5};

Result<Bytes> packed(const std::string& payload, LeafForm form) {
    switch (form) {
        case LeafForm::frame:
            return cxo::write_frame(payload);
        case LeafForm::gzip:
            return cxo::write_gzip(payload);
    }
    return Bytes();
}

}  // namespace

Task<Result<Bytes>> pack_leaf(net::Context context, std::string payload, LeafForm form) {
    if (payload.size() <= kOwnLoopMax) co_return packed(payload, form);
    co_return co_await context.workers.run([payload = std::move(payload), form] {
        return packed(payload, form);
    });
}

FeedHost::FeedHost(
    const net::Context& context, DmsgPresence* presence, FeedContent& content, Options options
)
    : context_(context),
      presence_(presence),
      content_(content),
      options_(std::move(options)),
      node_(context_, cxo::NodeOptions(options_.keys)),
      feed_(context_, node_, cxo::FeedOptions(options_.keys)),
      failures_(context_.metrics.counter(
          "feed_content_failures_total",
          "Times that what a feed should have could not be told.",
          {{"feed", options_.feed}}
      )),
      refused_(context_.metrics.counter(
          "feed_changes_refused_total",
          "Changes that a feed cannot have: too large, or a path that is none.",
          {{"feed", options_.feed}}
      )),
      leaves_(context_.metrics.gauge("feed_leaves", "Leaves of a feed.", {{"feed", options_.feed}})
      ),
      bytes_(context_.metrics.gauge(
          "feed_bytes", "Bytes of a feed's leaves.", {{"feed", options_.feed}}
      )),
      subscribers_(context_.metrics.gauge(
          "feed_subscribers", "Who is subscribed to a feed.", {{"feed", options_.feed}}
      )),
      timer_(context_.loop, context_.clock),
      scope_(context_.loop, [this](std::string_view, std::exception_ptr) {
          note_failure(fail(errc::wrong_state, "ended with an exception"));
      }) {}

FeedHost::~FeedHost() = default;

void FeedHost::start() {
    const FeedConfig& config = options_.config;
    if (config.port != 0 && presence_ != nullptr)
        doors_.push_back({cxo::Carrier::dmsg, fmt::format("dmsg {}", config.port), false, {}});
    if (config.tcp) doors_.push_back({cxo::Carrier::plain, config.tcp->to_string(), false, {}});
    listen();
    scope_.spawn("feed", [this] { return publish(); });
}

Result<std::unique_ptr<net::Listener>> FeedHost::open(const Door& door) {
    if (door.carrier == cxo::Carrier::dmsg) return presence_->client().listen(options_.config.port);
    return context_.network.listen(context_.loop, options_.config.tcp.value_or(net::Address()));
}

/// Tells of each trouble once.
void FeedHost::listen() {
    listen_again_ = context_.clock.now() + kListenAgain;
    for (Door& door : doors_) {
        if (door.open) continue;
        auto listener = open(door);
        const std::string trouble = listener ? std::string() : listener.error().message();
        const auto feed = log::kv("feed", options_.feed);
        const auto at = log::kv("at", door.name);
        if (listener) {
            node_.serve(std::move(*listener), door.carrier);
            door.open = true;
            log::info(context_.logger, "feed.listening", feed, at);
        } else if (trouble != door.trouble) {
            log::warn(context_.logger, "feed.deaf", feed, at, log::kv("error", trouble));
        }
        door.trouble = trouble;
    }
}

void FeedHost::changed() {
    woken_ = true;
    timer_.cancel();
}

Task<> FeedHost::publish() {
    while (true) {
        const bool woken = std::exchange(woken_, false);
        const SteadyTime begun = context_.clock.now();
        bool news = true;
        std::exception_ptr error;
        try {
            news = co_await look();
        } catch (...) {
            error = std::current_exception();
        }
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) co_return;
        if (error) {
            cxo::note_exception(context_.logger, node_.counters(), options_.feed, error);
            note_failure(fail(errc::wrong_state, "an exception"));
        }
        show_figures();
        const Duration pause =
            std::max(rest_behind(woken, news), kRest * (context_.clock.now() - begun));
        if (pause > Duration(0)) {
            const bool paused = co_await net::sleep_for(context_.clock, pause);
            if (!paused) co_return;
        }
        if (woken_) continue;
        const bool waited = co_await timer_.wait_for(content_.period());
        if (!waited && !woken_) co_return;
    }
}

/// Whoever has had nothing to say for long says the next thing at once: behind a look that nobody
/// asked for and that has found nothing there is no rest.
Duration FeedHost::rest_behind(bool woken, bool news) const {
    if (news) return content_.pause();
    return woken ? std::min(content_.pause(), content_.FeedContent::pause()) : Duration(0);
}

/// False where there is nothing new.
Task<bool> FeedHost::look() {
    if (context_.clock.now() >= listen_again_) listen();
    if (untaken_.empty()) {
        auto changes = co_await content_.changes();
        if (!changes) {
            note_failure(changes.error());
            co_return true;
        }
        untaken_ = std::move(*changes);
    }
    const bool news = !untaken_.empty();
    co_await take();
    failure_.clear();
    // From now on it is known to be complete.
    if (!std::exchange(complete_, true)) feed_.publish_even_if_empty();
    co_return news;
}

/// The first ones at once, since nobody wants half a snapshot; later ones in pieces, between which
/// others have their turn.
Task<> FeedHost::take() {
    const std::span<const cxo::Change> changes = untaken_;
    const std::size_t most = complete_ ? kTogetherMax : changes.size();
    for (std::size_t at = 0; at < changes.size();) {
        const auto piece = changes.subspan(at, std::min(most, changes.size() - at));
        take_together(piece);
        at += piece.size();
        if (at < changes.size()) co_await asio::post(context_.loop, asio::use_awaitable);
    }
    untaken_ = std::vector<cxo::Change>();
}

void FeedHost::take_together(std::span<const cxo::Change> changes) {
    if (changes.empty()) return;
    if (feed_.batch({changes.begin(), changes.end()})) {
        for (const cxo::Change& change : changes)
            if (!left_out_.empty()) left_out_.erase(change.path);
        return;
    }
    // One that cannot be does not keep the others out.
    for (const cxo::Change& change : changes)
        take_alone(change);
}

/// Where there cannot be what there is now, there is nothing: readers go by HTTP rather than by
/// what was.
void FeedHost::take_alone(const cxo::Change& change) {
    const bool removes = !change.value;
    const auto done = feed_.batch({change});
    if (done || removes) left_out_.erase(change.path);
    if (done) return;
    refused_.add();
    if (removes) return;
    const auto removed = feed_.remove(change.path);
    const bool known = left_out_.contains(change.path);
    if (known || left_out_.size() >= kLeftOutMax) return;
    left_out_.insert(change.path);
    log::warn(
        context_.logger,
        "feed.change_refused",
        log::kv("feed", options_.feed),
        log::kv("path", quote_peer_text(change.path)),
        log::kv("error", done.error().message()),
        log::kv("removed", removed.has_value())
    );
}

void FeedHost::note_failure(const Error& error) {
    failures_.add();
    const std::string why = error.message();
    if (failure_ == why) return;
    failure_ = why;
    log::warn(
        context_.logger,
        "feed.no_content",
        log::kv("feed", options_.feed),
        log::kv("error", failure_)
    );
}

void FeedHost::show_figures() {
    const cxo::Feed::State state = feed_.state();
    leaves_.set(static_cast<double>(state.leaves));
    bytes_.set(static_cast<double>(state.bytes));
    subscribers_.set(static_cast<double>(state.subscribers));
}

framework::Check FeedHost::check() const {
    using Status = framework::Check::Status;
    const auto said = [this](Status status, std::string why) {
        return framework::Check{options_.name, status, std::move(why)};
    };
    for (const Door& door : doors_)
        if (!door.open) return said(Status::fail, fmt::format("{}: {}", door.name, door.trouble));
    if (!failure_.empty()) return said(Status::fail, "content: " + failure_);
    const cxo::Feed::State state = feed_.state();
    if (state.stuck) return said(Status::fail, "changes are not published");
    if (!state.error.empty()) return said(Status::warn, state.error);
    if (!left_out_.empty())
        return said(
            Status::warn,
            fmt::format(
                "{} leaves cannot be published: {}",
                left_out_.size(),
                quote_peer_text(*left_out_.begin())
            )
        );
    if (std::string trouble = node_.status().trouble; !trouble.empty())
        return said(Status::warn, std::move(trouble));
    return said(Status::pass, {});
}

Task<std::vector<std::string>> FeedHost::stop(SteadyTime deadline) {
    std::vector<std::string> late;
    Clock& clock = context_.clock;
    const auto add = [&](std::vector<std::string> names) {
        for (const std::string& name : names)
            late.push_back(options_.name + " " + name);
    };
    add(co_await scope_.close(clock, clock.now(), deadline));
    add(co_await feed_.close(deadline));
    add(co_await node_.close(deadline));
    co_return late;
}

}  // namespace skywire::services
