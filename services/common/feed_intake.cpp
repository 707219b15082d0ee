#include "services/common/feed_intake.hpp"

#include "cxo/node_counters.hpp"

#include <algorithm>
#include <exception>
#include <functional>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::services {
namespace {

constexpr std::size_t kUnaskedMax = std::size_t{64} << 10;
/// "transports/list" is in the second directory.
constexpr std::size_t kDepthMax = 4;
/// Where a take is slow it is a store that is waited for, not the loop.
constexpr Duration kRestMax = std::chrono::milliseconds(50);

cxo::NodeOptions node_options(const FeedIntake::Options& options) {
    cxo::NodeOptions node(options.keys);
    node.link.unasked_max = kUnaskedMax;
    node.link.object_max = options.feed_bytes_max;
    // Nobody without a feed of use keeps others out.
    node.publishers_only = true;
    node.connections_max = 2 * options.feeds_max + node.handshakes_max;
    return node;
}

}  // namespace

FeedIntake::FeedIntake(
    const net::Context& context,
    DmsgPresence* presence,
    Options options,
    Take take,
    Forgotten forgotten
)
    : context_(context),
      presence_(presence),
      options_(std::move(options)),
      take_(std::move(take)),
      forgotten_(std::move(forgotten)),
      node_(context_, node_options(options_)),
      timer_(context_.loop, context_.clock),
      aggregator_(
          context_,
          node_,
          aggregator_options(),
          [this](const crypto::PublicKey& publisher, const cxo::FeedUpdate&) {
              changed(publisher);
          },
          [this](const crypto::PublicKey& publisher) { forget(publisher); }
      ),
      scope_(context_.loop, [this](std::string_view, std::exception_ptr) {
          deaf_ = "ended with an exception";
      }) {}

FeedIntake::~FeedIntake() = default;

cxo::AggregatorOptions FeedIntake::aggregator_options() {
    cxo::AggregatorOptions options;
    options.wanted = [this](const crypto::PublicKey& publisher) { return wanted(publisher); };
    options.feeds_max = options_.feeds_max;
    options.prefix = options_.prefix;
    options.limits.objects_max = options_.objects_max;
    options.limits.bytes_max = options_.feed_bytes_max;
    options.limits.depth_max = kDepthMax;
    options.limits.staging_max = kUnaskedMax;
    return options;
}

/// Those who are known may come back: what they said is here already.
bool FeedIntake::wanted(const crypto::PublicKey& publisher) {
    if (aggregator_.tree(publisher) != nullptr || idle_since_.contains(publisher)) return true;
    if (node_.index().memory() > options_.bytes_max) {
        node_.counters().link.add("publishers_bytes_max");
        return false;
    }
    // The aggregator refuses where there is none, and counts it.
    if (aggregator_.size() >= options_.feeds_max && !make_room()) return true;
    const SteadyTime now = context_.clock.now();
    idle_since_.emplace(publisher, now);
    idle_.emplace(now, publisher);
    return true;
}

/// Keys cost nothing: many that connect and say nothing of use keep nobody out for long; and one
/// that comes again and again leaves others the time to say something.
bool FeedIntake::make_room() {
    if (idle_.empty()) return false;
    if (idle_.begin()->first + options_.patience > context_.clock.now()) return false;
    const crypto::PublicKey longest = idle_.begin()->second;
    node_.counters().link.add("idle_publisher");
    aggregator_.drop(longest);
    return true;
}

void FeedIntake::note_busy(const crypto::PublicKey& publisher) {
    const auto found = idle_since_.find(publisher);
    if (found == idle_since_.end()) return;
    idle_.erase({found->second, publisher});
    idle_since_.erase(found);
}

void FeedIntake::start() {
    if (options_.port != 0 && presence_ != nullptr) {
        auto listener = presence_->client().listen(options_.port);
        if (listener) {
            node_.serve(std::move(*listener), cxo::Carrier::dmsg);
        } else {
            deaf_ = fmt::format("dmsg {}: {}", options_.port, listener.error().message());
        }
    }
    scope_.spawn("feed intake", [this] { return work(); });
    scope_.spawn("weighing", [this] { return keep_weighing(); });
}

void FeedIntake::changed(const crypto::PublicKey& publisher) {
    const SteadyTime now = context_.clock.now();
    const auto earliest = not_before_.find(publisher);
    queue(publisher, earliest == not_before_.end() ? now : std::max(now, earliest->second));
}

void FeedIntake::queue(const crypto::PublicKey& publisher, SteadyTime at) {
    const auto found = queued_.find(publisher);
    if (found != queued_.end() && found->second <= at) return;
    leave_queue(publisher);
    queued_.emplace(publisher, at);
    queue_.emplace(at, publisher);
    woken_ = true;
    timer_.cancel();
}

void FeedIntake::leave_queue(const crypto::PublicKey& publisher) {
    const auto found = queued_.find(publisher);
    if (found == queued_.end()) return;
    queue_.erase({found->second, publisher});
    queued_.erase(found);
}

void FeedIntake::forget(const crypto::PublicKey& publisher) {
    note_busy(publisher);
    leave_queue(publisher);
    if (taking_ != publisher) tell_forgotten(publisher);
}

void FeedIntake::tell_forgotten(const crypto::PublicKey& publisher) {
    not_before_.erase(publisher);
    if (forgotten_) forgotten_(publisher);
}

/// While a take waits for its store, too; and an exception, which comes first where there is much
/// to weigh, does not do away with the bound.
Task<> FeedIntake::keep_weighing() {
    net::Timer timer(context_.loop, context_.clock);
    while (co_await timer.wait_for(options_.weighing)) {
        try {
            weigh();
        } catch (...) {
            const auto error = std::current_exception();
            cxo::note_exception(context_.logger, node_.counters(), options_.name, error);
        }
    }
}

/// What each may have does not bound what all have: they may come small and grow. Many that hold
/// little more than others drive out nobody who was there before them.
void FeedIntake::weigh() {
    auto rows = aggregator_.rows();
    std::size_t bytes = 0;
    for (const cxo::Aggregator::Row& row : rows)
        bytes += row.bytes;
    if (bytes <= options_.bytes_max) return;
    const std::size_t part = options_.bytes_max / rows.size();
    std::erase_if(rows, [&](const cxo::Aggregator::Row& row) { return row.bytes <= part; });
    std::ranges::sort(rows, std::ranges::greater(), &cxo::Aggregator::Row::since);
    for (const cxo::Aggregator::Row& row : rows) {
        if (bytes <= options_.bytes_max) return;
        bytes -= row.bytes;
        node_.counters().link.add("largest_publisher");
        aggregator_.drop(row.publisher);
    }
}

Task<> FeedIntake::work() {
    while (true) {
        const SteadyTime now = context_.clock.now();
        const SteadyTime due = queue_.empty() ? SteadyTime::max() : queue_.begin()->first;
        if (due > now) {
            woken_ = false;
            const bool reached = co_await timer_.wait_until(due);
            if (!reached && !woken_) co_return;
            continue;
        }
        const crypto::PublicKey publisher = queue_.begin()->second;
        leave_queue(publisher);
        co_await take(publisher);
        co_await rest(context_.clock.now() - now);
    }
}

/// A take may have waited for nothing at all.
Task<> FeedIntake::rest(Duration taken) {
    co_await asio::post(context_.loop, use_tuple);
    if (taken <= Duration(0)) co_return;
    co_await net::sleep_for(context_.clock, std::min(taken, kRestMax));
}

Task<> FeedIntake::take(crypto::PublicKey publisher) {
    const cxo::Tree* const tree = aggregator_.tree(publisher);
    if (tree == nullptr) co_return;
    const SteadyTime next = context_.clock.now() + options_.spacing;
    if (!aggregator_.live(publisher)) {
        // It may come back in time.
        queue(publisher, next);
        co_return;
    }
    not_before_[publisher] = next;
    taking_ = publisher;
    Taken taken = Taken::nothing;
    std::exception_ptr error;
    try {
        taken = co_await take_(publisher, *tree);
    } catch (...) {
        error = std::current_exception();
    }
    taking_.reset();
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return;
    // The others go on, and so does this one at its renewal.
    if (error) cxo::note_exception(context_.logger, node_.counters(), options_.name, error);
    if (aggregator_.tree(publisher) == nullptr) {
        // Forgotten meanwhile.
        tell_forgotten(publisher);
        co_return;
    }
    if (taken == Taken::done) note_busy(publisher);
    if (taken == Taken::again) changed(publisher);
    if (taken == Taken::full) queue(publisher, context_.clock.now() + options_.respite);
    if (options_.renew > Duration(0)) queue(publisher, context_.clock.now() + options_.renew);
}

framework::Check FeedIntake::check() const {
    using Status = framework::Check::Status;
    if (!deaf_.empty()) return {options_.name, Status::warn, deaf_};
    return {options_.name, Status::pass, {}};
}

Task<std::vector<std::string>> FeedIntake::stop(SteadyTime deadline) {
    std::vector<std::string> late;
    Clock& clock = context_.clock;
    const auto add = [&](std::vector<std::string> names) {
        for (const std::string& name : names)
            late.push_back(options_.name + " " + name);
    };
    add(co_await scope_.close(clock, clock.now(), deadline));
    add(co_await aggregator_.close(deadline));
    add(co_await node_.close(deadline));
    co_return late;
}

}  // namespace skywire::services
