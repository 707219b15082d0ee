#include "base/clock.hpp"

#include <array>
#include <cstdint>
#include <ctime>
#include <limits>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace skywire {

SteadyTime SystemClock::now() const {
    return std::chrono::steady_clock::now();
}

WallTime SystemClock::wall() const {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

std::unique_ptr<Clock::Alarm> SystemClock::set_alarm(SteadyTime, std::function<void()>) {
    return nullptr;
}

class ManualClock::ManualAlarm final : public Clock::Alarm {
 public:
    ManualAlarm(ManualClock& clock, SteadyTime at, std::function<void()> on_time)
        : clock_(clock), on_time_(std::move(on_time)), place_(clock.alarms_.emplace(at, this)) {}

    ~ManualAlarm() override {
        const std::scoped_lock lock(clock_.mutex_);
        if (set_) clock_.alarms_.erase(place_);
    }

    void ring() {
        set_ = false;
        on_time_();
    }

 private:
    ManualClock& clock_;
    std::function<void()> on_time_;
    Alarms::iterator place_;
    bool set_ = true;
};

ManualClock::ManualClock(WallTime wall) : wall_(wall) {}

ManualClock::~ManualClock() = default;

SteadyTime ManualClock::now() const {
    const std::scoped_lock lock(mutex_);
    return now_;
}

WallTime ManualClock::wall() const {
    const std::scoped_lock lock(mutex_);
    return wall_;
}

std::unique_ptr<Clock::Alarm> ManualClock::set_alarm(SteadyTime at, std::function<void()> on_time) {
    const std::scoped_lock lock(mutex_);
    auto alarm = std::make_unique<ManualAlarm>(*this, at, std::move(on_time));
    if (at <= now_) {
        const auto due = alarms_.find(at);
        for (auto it = due; it != alarms_.end() && it->first == at; ++it) {
            if (it->second != alarm.get()) continue;
            alarms_.erase(it);
            alarm->ring();
            break;
        }
    }
    return alarm;
}

void ManualClock::advance(Duration by) {
    // Callbacks run under the lock, so that an alarm destroyed on another thread cannot ring while
    // its destructor runs. They post to an event loop and do nothing else.
    const std::scoped_lock lock(mutex_);
    const SteadyTime until = now_ + by;
    while (!alarms_.empty() && alarms_.begin()->first <= until) {
        const auto first = alarms_.begin();
        ManualAlarm* alarm = first->second;
        if (first->first > now_) {
            wall_ += first->first - now_;
            now_ = first->first;
        }
        alarms_.erase(first);
        alarm->ring();
    }
    wall_ += until - now_;
    now_ = until;
}

void ManualClock::step_wall(Duration by) {
    const std::scoped_lock lock(mutex_);
    wall_ += by;
}

std::size_t ManualClock::waiting() const {
    const std::scoped_lock lock(mutex_);
    return alarms_.size();
}

SteadyTime ManualClock::next_alarm() const {
    const std::scoped_lock lock(mutex_);
    return alarms_.empty() ? SteadyTime::max() : alarms_.begin()->first;
}

namespace {

struct Unit {
    std::string_view name;
    std::int64_t nanoseconds;
};

// Longest names first: "ms" must not be read as "m".
constexpr std::array<Unit, 8> kUnits{{
    {"ns", 1},
    {"us", 1'000},
    {"\xc2\xb5s", 1'000},  // micro sign
    {"\xce\xbcs", 1'000},  // Greek mu
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
}};

Error bad_duration(std::string_view text) {
    return fail(
        errc::malformed,
        fmt::format("{} is not a duration such as 5m, 1h30m or 100ms", quote_peer_text(text, 40))
    );
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
    std::string_view rest = text;
    bool negative = false;
    if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
        negative = rest[0] == '-';
        rest.remove_prefix(1);
    }
    if (rest == "0") return Duration(0);
    if (rest.empty()) return bad_duration(text);
    long double total = 0;
    while (!rest.empty()) {
        long double number = 0;
        long double scale = 1;
        std::size_t digits = 0;
        bool fraction = false;
        std::size_t i = 0;
        for (; i < rest.size(); ++i) {
            if (rest[i] == '.' && !fraction) {
                fraction = true;
                continue;
            }
            if (rest[i] < '0' || rest[i] > '9') break;
            ++digits;
            if (fraction && scale >= 1e18L) continue;  // far below a nanosecond of the largest unit
            number = number * 10 + (rest[i] - '0');
            if (fraction) scale *= 10;
        }
        if (digits == 0) return bad_duration(text);
        rest.remove_prefix(i);
        const Unit* unit = nullptr;
        for (const Unit& candidate : kUnits) {
            if (!rest.starts_with(candidate.name)) continue;
            unit = &candidate;
            break;
        }
        if (unit == nullptr) return bad_duration(text);
        rest.remove_prefix(unit->name.size());
        // Multiplied first: the division is then exact where the text is.
        total += number * static_cast<long double>(unit->nanoseconds) / scale;
        if (total > static_cast<long double>(std::numeric_limits<std::int64_t>::max())) {
            return fail(errc::out_of_range, "duration is longer than 292 years");
        }
    }
    const auto nanoseconds = static_cast<std::int64_t>(total);
    return Duration(negative ? -nanoseconds : nanoseconds);
}

std::string format_duration(Duration duration) {
    if (duration == Duration(0)) return "0s";
    std::string out;
    // Unsigned: the shortest duration has no positive twin.
    auto left = static_cast<std::uint64_t>(duration.count());
    if (duration < Duration(0)) {
        out = "-";
        left = 0 - left;
    }
    const auto decimal = [](std::uint64_t value, std::uint64_t unit) {
        std::string text = fmt::format("{}", value / unit);
        if (value % unit == 0) return text;
        std::string fraction = fmt::format(
            "{:0{}}",
            value % unit,
            unit == 1'000'000'000 ? 9
            : unit == 1'000'000   ? 6
                                  : 3
        );
        while (fraction.back() == '0')
            fraction.pop_back();
        return text + "." + fraction;
    };
    if (left < 1'000) return out + fmt::format("{}ns", left);
    if (left < 1'000'000) return out + decimal(left, 1'000) + "us";
    if (left < 1'000'000'000) return out + decimal(left, 1'000'000) + "ms";
    const auto hours = left / 3'600'000'000'000;
    left %= 3'600'000'000'000;
    const auto minutes = left / 60'000'000'000;
    left %= 60'000'000'000;
    if (hours > 0) out += fmt::format("{}h", hours);
    if (hours > 0 || minutes > 0) out += fmt::format("{}m", minutes);
    return out + decimal(left, 1'000'000'000) + "s";
}

std::string format_rfc3339(WallTime time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const auto nanoseconds = (time - seconds).count();
    const std::time_t whole = seconds.time_since_epoch().count();
    std::tm parts{};
    gmtime_r(&whole, &parts);
    std::string out = fmt::format("{:%Y-%m-%dT%H:%M:%S}", parts);
    if (nanoseconds > 0) {
        std::string fraction = fmt::format("{:09}", nanoseconds);
        while (fraction.back() == '0')
            fraction.pop_back();
        out += "." + fraction;
    }
    return out + "Z";
}

}  // namespace skywire
