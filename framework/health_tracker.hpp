#pragma once

#include "base/clock.hpp"
#include "framework/deployment_config.hpp"
#include "framework/service.hpp"

#include <map>
#include <string>
#include <vector>

namespace skywire::framework {

/// Debounces the checks of one service: a check turns bad after `failures` bad reports in a row and
/// good after `successes` good ones. No clock of its own.
class HealthTracker {
 public:
    explicit HealthTracker(const HealthPolicy& policy) : policy_(policy) {}

    struct Tracked {
        std::string name;
        /// The debounced status, and the newest detail that went with it.
        Check::Status status = Check::Status::pass;
        std::string detail;
        /// When the debounced status began; of a bad one, its first bad report.
        WallTime since;
    };

    /// Takes one report. Checks that it does not name any more are forgotten.
    void report(const std::vector<Check>& checks, WallTime now);

    /// The service has ended: forget everything.
    void clear() { checks_.clear(); }

    std::vector<Tracked> checks() const;

    /// The first check whose debounced status is `fail`, or null.
    const Tracked* failing() const;

 private:
    struct Entry {
        Tracked shown;
        Check::Status pending = Check::Status::pass;
        std::size_t in_a_row = 0;
        WallTime pending_since;
        std::size_t order = 0;
    };

    HealthPolicy policy_;
    std::map<std::string, Entry> checks_;
};

}  // namespace skywire::framework
