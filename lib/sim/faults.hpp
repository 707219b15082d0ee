#pragma once

#include "base/fault.hpp"

#include <limits>
#include <map>
#include <string>
#include <utility>

namespace skywire::sim {

/// Faults that a test sets by point and subject (base/fault.hpp); none to begin with. Used from the
/// world's thread, and from its worker while that thread waits.
class TestFaults final : public Faults {
 public:
    static constexpr std::size_t kAlways = std::numeric_limits<std::size_t>::max();

    /// The next `times` checks of this point and subject fail with errc::injected.
    void set(std::string point, std::string subject, std::size_t times = kAlways) {
        faults_[{std::move(point), std::move(subject)}].left = times;
    }
    /// What the point does is held up by this long, each time.
    void set_delay(std::string point, std::string subject, Duration delay) {
        faults_[{std::move(point), std::move(subject)}].delay = delay;
    }
    void clear() { faults_.clear(); }

    Result<> check(std::string_view point, std::string_view subject) override {
        const auto found = faults_.find({std::string(point), std::string(subject)});
        if (found == faults_.end() || found->second.left == 0) return {};
        if (found->second.left != kAlways) --found->second.left;
        return fail(errc::injected, "fault set by the test");
    }

    Duration delay(std::string_view point, std::string_view subject) override {
        const auto found = faults_.find({std::string(point), std::string(subject)});
        return found == faults_.end() ? Duration(0) : found->second.delay;
    }

 private:
    struct Fault {
        std::size_t left = 0;
        Duration delay{0};
    };

    std::map<std::pair<std::string, std::string>, Fault> faults_;
};

}  // namespace skywire::sim
