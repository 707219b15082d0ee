#include "framework/timeline.hpp"

#include <algorithm>

namespace skywire::framework {

Timeline::Timeline(Clock& clock, std::size_t limit)
    : clock_(clock), limit_(std::max<std::size_t>(limit, 1)), start_(clock.now()) {}

void Timeline::add(std::string_view label, std::string_view event, std::string detail) {
    const std::scoped_lock lock(mutex_);
    Event added;
    // Times are taken under the lock: they rise with the numbers.
    added.number = ++last_;
    added.at = clock_.wall();
    added.since_start = clock_.now() - start_;
    added.label = label;
    added.event = event;
    added.detail = std::move(detail);
    events_.push_back(std::move(added));
    if (events_.size() > limit_) events_.pop_front();
}

std::vector<Timeline::Event> Timeline::events(std::uint64_t after) const {
    const std::scoped_lock lock(mutex_);
    const auto first = std::upper_bound(
        events_.begin(),
        events_.end(),
        after,
        [](std::uint64_t number, const Event& event) { return number < event.number; }
    );
    return {first, events_.end()};
}

std::uint64_t Timeline::find(
    std::string_view label, std::string_view event, std::string_view detail
) const {
    const std::scoped_lock lock(mutex_);
    const auto found = std::find_if(events_.begin(), events_.end(), [&](const Event& each) {
        return each.label == label && each.event == event &&
               (detail.empty() || each.detail == detail);
    });
    return found == events_.end() ? 0 : found->number;
}

}  // namespace skywire::framework
