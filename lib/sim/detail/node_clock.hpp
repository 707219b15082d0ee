#pragma once

#include "base/clock.hpp"
#include "sim/detail/host.hpp"

#include <vector>

namespace skywire::sim::detail {

/// A host's view of the world's clock: calendar time with a skew, and alarms that do not ring while
/// the host is frozen.
class NodeClock final : public Clock {
 public:
    NodeClock(ManualClock& clock, const Host& host) : clock_(clock), host_(host) {}

    SteadyTime now() const override { return clock_.now(); }
    WallTime wall() const override { return clock_.wall() + skew_; }
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override;

    void set_skew(Duration skew) noexcept { skew_ = skew; }
    /// Rings what fell due meanwhile, in order.
    void thaw();

 private:
    class HeldAlarm;

    ManualClock& clock_;
    const Host& host_;
    Duration skew_{0};
    std::vector<HeldAlarm*> held_;
};

}  // namespace skywire::sim::detail
