#pragma once

#include "base/result.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace skywire {

using Duration = std::chrono::nanoseconds;
/// Monotonic: deadlines, ages, intervals.
using SteadyTime = std::chrono::steady_clock::time_point;
/// Calendar time: what is written into entries, logs and answers.
using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;

/// Where time comes from. Everything that waits or stamps asks the Clock it was handed, so that a
/// test can hold it still and move it by hand. Safe to call from any thread.
class Clock {
 public:
    virtual ~Clock() = default;
    virtual SteadyTime now() const = 0;
    virtual WallTime wall() const = 0;

    /// A wake-up of a clock that is moved by hand. Destroying it forgets it; after the destructor
    /// returns the callback does not run any more.
    class Alarm {
     public:
        virtual ~Alarm() = default;
    };

    /// Hand-driven clocks run `on_time` (on the thread that moves them) once `at` is reached and
    /// return the alarm; the machine's clock returns null: wait with the event loop's own timer.
    virtual std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) = 0;
};

/// The machine's clock.
class SystemClock final : public Clock {
 public:
    SteadyTime now() const override;
    WallTime wall() const override;
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override;
};

/// A clock that stands still until `advance` is called. Steady and wall time move together unless
/// `step_wall` is used.
class ManualClock final : public Clock {
 public:
    explicit ManualClock(WallTime wall = WallTime(std::chrono::seconds(1'700'000'000)));
    ~ManualClock() override;

    SteadyTime now() const override;
    WallTime wall() const override;
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override;

    /// Moves both clocks and runs the alarms that fall due, in order of their times.
    void advance(Duration by);

    /// Moves calendar time alone, as an operator or a time daemon does.
    void step_wall(Duration by);

    /// How many alarms are set: what waits on this clock.
    std::size_t waiting() const;

    /// The earliest alarm, or SteadyTime::max().
    SteadyTime next_alarm() const;

 private:
    class ManualAlarm;
    using Alarms = std::multimap<SteadyTime, ManualAlarm*>;

    mutable std::recursive_mutex mutex_;
    SteadyTime now_{};
    WallTime wall_;
    Alarms alarms_;
};

/// Reads a duration: number and unit (ns, us, ms, s, m, h), several in a row, sign and fraction
/// allowed: "1h30m", "100ms", "-1.5s", "0". The syntax of Go's time.ParseDuration.
Result<Duration> parse_duration(std::string_view text);

/// The same syntax back: 90 min -> "1h30m0s", 100 ms -> "100ms", 0 -> "0s".
std::string format_duration(Duration duration);

/// RFC 3339 in UTC with nanoseconds, trailing zeros cut as Go does: "2026-11-20T09:40:00.66921Z".
std::string format_rfc3339(WallTime time);

}  // namespace skywire
