#pragma once

#include "base/clock.hpp"
#include "base/fault.hpp"

#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace skywire {

/// The test twin of Faults: a test sets them by point and subject. Points that exist: "bind" and
/// "dial" (subject: the address as configured), "store" (the store's place), "start", "crash",
/// "slow start", "slow stop" (the service's label), "health" (a test service's label).
class TestFaults final : public Faults {
 public:
    static constexpr std::size_t kAlways = std::numeric_limits<std::size_t>::max();

    /// The next `times` checks of this point and subject fail; `message` is what they say.
    void set(
        std::string point,
        std::string subject,
        std::size_t times = kAlways,
        std::string message = "fault set by the test"
    );
    /// What the point does is held up by this long, each time.
    void set_delay(std::string point, std::string subject, Duration delay);
    void clear(const std::string& point, const std::string& subject);

    /// How often this point and subject have failed so far.
    std::size_t hits(const std::string& point, const std::string& subject) const;

    Result<> check(std::string_view point, std::string_view subject) override;
    Duration delay(std::string_view point, std::string_view subject) override;

 private:
    struct Fault {
        std::size_t left = 0;
        std::size_t hits = 0;
        std::string message;
        Duration delay{0};
    };
    using Place = std::pair<std::string, std::string>;

    mutable std::mutex mutex_;
    std::map<Place, Fault> faults_;
};

}  // namespace skywire
