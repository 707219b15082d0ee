#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace skywire::sim {

/// What happened in a world, in order: the last events as text, and a digest of all of them. The
/// same seed gives the same digest; two runs that differ depend on something the world does not
/// hand out.
class Trace {
 public:
    struct Event {
        /// Since the world began.
        Duration at{0};
        /// A literal: "sends", "cut", "log".
        std::string_view what;
        /// Names of nodes, which live as long as the world; may be empty.
        std::string_view from;
        std::string_view to;
        /// Of the connection; 0 = none.
        std::uint64_t number = 0;
        std::uint64_t bytes = 0;
        std::string text;
    };

    explicit Trace(std::size_t events_max) : events_max_(events_max) {}

    void add(Event event);

    std::uint64_t digest() const noexcept { return digest_; }
    /// How many events there were, the forgotten ones included.
    std::uint64_t count() const noexcept { return count_; }
    const std::deque<Event>& events() const noexcept { return events_; }

    /// The last `lines_max` events, one per line.
    std::string to_string(std::size_t lines_max = SIZE_MAX) const;

 private:
    std::size_t events_max_;
    std::deque<Event> events_;
    std::uint64_t count_ = 0;
    std::uint64_t digest_ = 0xcbf29ce484222325;
};

}  // namespace skywire::sim
