#include "sim/detail/node_clock.hpp"

#include <utility>

namespace skywire::sim::detail {

class NodeClock::HeldAlarm final : public Clock::Alarm {
 public:
    HeldAlarm(NodeClock& clock, std::function<void()> on_time)
        : clock_(clock), on_time_(std::move(on_time)) {}
    ~HeldAlarm() override {
        alarm_.reset();
        std::erase(clock_.held_, this);
    }

    void set(SteadyTime at) {
        alarm_ = clock_.clock_.set_alarm(at, [this] { ring(); });
    }

    void ring() {
        if (clock_.host_.frozen) return clock_.held_.push_back(this);
        on_time_();
    }

 private:
    NodeClock& clock_;
    std::function<void()> on_time_;
    std::unique_ptr<Clock::Alarm> alarm_;
};

std::unique_ptr<Clock::Alarm> NodeClock::set_alarm(SteadyTime at, std::function<void()> on_time) {
    auto alarm = std::make_unique<HeldAlarm>(*this, std::move(on_time));
    alarm->set(at);
    return alarm;
}

void NodeClock::thaw() {
    for (HeldAlarm* alarm : std::exchange(held_, {}))
        alarm->ring();
}

}  // namespace skywire::sim::detail
