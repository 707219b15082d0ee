#pragma once

#include "base/clock.hpp"

#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::framework {

/// What happened to the deployment, in order: the newest `limit` events. Safe from any thread.
class Timeline {
 public:
    struct Event {
        std::uint64_t number = 0;
        WallTime at;
        Duration since_start{0};
        /// Empty for the process itself.
        std::string label;
        /// "starting", "milestone", "ready", "failed", "restarting", "draining", "stopped", ...
        std::string event;
        std::string detail;
    };

    explicit Timeline(Clock& clock, std::size_t limit = 4096);

    void add(std::string_view label, std::string_view event, std::string detail = {});

    /// Events with a number above `after`, oldest first.
    std::vector<Event> events(std::uint64_t after = 0) const;

    /// The number of the first event that matches, 0 for none: what tests order by.
    std::uint64_t find(std::string_view label, std::string_view event, std::string_view detail = {})
        const;

 private:
    Clock& clock_;
    std::size_t limit_;
    SteadyTime start_;
    mutable std::mutex mutex_;
    std::deque<Event> events_;
    std::uint64_t last_ = 0;
};

}  // namespace skywire::framework
