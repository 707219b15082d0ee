#include "services/network_visualizer/copy.hpp"

#include <fmt/format.h>

namespace skywire::network_visualizer {
namespace {

Labels labels_of(Part part) {
    return {{"part", std::string(part_name(part))}};
}

}  // namespace

std::string_view feed_state_name(FeedState state) noexcept {
    switch (state) {
        case FeedState::none:
            return "none";
        case FeedState::waiting:
            return "waiting";
        case FeedState::live:
            return "live";
        case FeedState::lost:
            return "lost";
    }
    return "";
}

Copy::Copy(const net::Context& context, Part part)
    : context_(context),
      part_(part),
      unreadable_(context.metrics.counter(
          "network_visualizer_items_unreadable_total",
          "What upstreams listed and nothing could be made of, or was above a limit.",
          labels_of(part)
      )),
      items_(context.metrics.gauge(
          "network_visualizer_items", "Items of the copy of each part.", labels_of(part)
      )) {}

Counter& Copy::counted(Origin origin, std::string_view outcome) {
    Counter*& counter = counters_[{origin, outcome}];
    if (counter == nullptr) {
        counter = &context_.metrics.counter(
            "network_visualizer_refreshes_total",
            "Looks at the source of a part, by outcome.",
            {{"part", std::string(part_name(part_))},
             {"source", std::string(origin_name(origin))},
             {"outcome", std::string(outcome)}}
        );
    }
    return *counter;
}

void Copy::fresh() {
    as_of_ = context_.clock.now();
    if (failure_.empty()) return;
    failure_.clear();
    log::info(
        context_.logger,
        "copy.recovered",
        log::kv("part", part_name(part_)),
        log::kv("place", place_)
    );
}

void Copy::replace(Origin origin, std::string place, Body body) {
    counted(origin, "changed").add();
    unreadable_.add(body.unreadable);
    items_.set(static_cast<double>(body.items));
    origin_ = origin;
    place_ = std::move(place);
    body_ = std::move(body);
    fresh();
}

void Copy::confirm() {
    counted(origin_, "unchanged").add();
    fresh();
}

void Copy::failed(Origin origin, std::string place, const Error& error) {
    counted(origin, "failed").add();
    const bool news = failure_.empty();
    failure_ = fmt::format("{}: {}", place, error.message());
    if (origin_ == Origin::none) place_ = std::move(place);
    if (!news) return;
    log::warn(
        context_.logger,
        "copy.failed",
        log::kv("part", part_name(part_)),
        log::kv("failure", failure_)
    );
}

void Copy::follow(bool followed, Duration age) {
    // From now on it grows older.
    if (followed_ && !followed) as_of_ = context_.clock.now() - age;
    followed_ = followed;
}

void Copy::feed(FeedState state, std::string detail) {
    feed_detail_ = std::move(detail);
    if (feed_state_ == state) return;
    feed_state_ = state;
    feed_since_ = context_.clock.now();
    log::info(
        context_.logger,
        "feed." + std::string(feed_state_name(state)),
        log::kv("part", part_name(part_)),
        log::kv("detail", feed_detail_)
    );
}

Duration Copy::feed_state_age() const {
    return feed_state_ == FeedState::none ? Duration(0) : context_.clock.now() - feed_since_;
}

Duration Copy::age() const {
    if (followed_ || origin_ == Origin::none) return Duration(0);
    return context_.clock.now() - as_of_;
}

framework::Check Copy::check() const {
    using Status = framework::Check::Status;
    const std::string name(part_name(part_));
    if (origin_ == Origin::none)
        return {name, Status::fail, failure_.empty() ? "nothing has come yet" : failure_};
    if (failure_.empty() && feed_state_ == FeedState::lost)
        return {name, Status::warn, fmt::format("{}: its feed is lost: {}", place_, feed_detail_)};
    if (failure_.empty()) return {name, Status::pass, ""};
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age()).count();
    return {name, Status::fail, fmt::format("{}; the copy is {} s old", failure_, seconds)};
}

}  // namespace skywire::network_visualizer
