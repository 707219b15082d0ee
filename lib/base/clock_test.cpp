#include "base/clock.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace std::chrono_literals;

TEST_CASE("clock: the machine's clock runs forward and sets no alarms of its own") {
    SystemClock clock;
    const SteadyTime first = clock.now();
    CHECK(clock.now() >= first);
    CHECK(clock.wall() > WallTime(std::chrono::seconds(1'700'000'000)));
    CHECK(clock.set_alarm(first, [] {}) == nullptr);
}

TEST_CASE("clock: a manual clock stands still until it is moved") {
    ManualClock clock(WallTime(100s));
    const SteadyTime start = clock.now();
    CHECK(clock.now() == start);
    CHECK(clock.wall() == WallTime(100s));
    clock.advance(1500ms);
    CHECK(clock.now() == start + 1500ms);
    CHECK(clock.wall() == WallTime(100s + 1500ms));
}

TEST_CASE("clock: calendar time can be stepped without steady time") {
    ManualClock clock(WallTime(100s));
    const SteadyTime start = clock.now();
    clock.step_wall(-40s);
    CHECK(clock.now() == start);
    CHECK(clock.wall() == WallTime(60s));
}

TEST_CASE("clock: alarms ring in order of their times, each seeing its own time") {
    ManualClock clock;
    const SteadyTime start = clock.now();
    std::vector<std::pair<int, Duration>> rung;
    const auto set = [&](int name, Duration after) {
        return clock.set_alarm(start + after, [&rung, &clock, start, name] {
            rung.emplace_back(name, clock.now() - start);
        });
    };
    const auto late = set(3, 3s);
    const auto early = set(1, 1s);
    const auto middle = set(2, 2s);
    CHECK(clock.waiting() == 3);
    CHECK(clock.next_alarm() == start + 1s);
    clock.advance(999ms);
    CHECK(rung.empty());
    clock.advance(1001ms);
    CHECK(rung == std::vector<std::pair<int, Duration>>{{1, 1s}, {2, 2s}});
    CHECK(clock.waiting() == 1);
    clock.advance(10s);
    CHECK(rung.size() == 3);
    CHECK(clock.now() == start + 12s);
    CHECK(clock.next_alarm() == SteadyTime::max());
}

TEST_CASE("clock: a destroyed alarm does not ring") {
    ManualClock clock;
    bool rung = false;
    auto alarm = clock.set_alarm(clock.now() + 1s, [&] { rung = true; });
    alarm.reset();
    CHECK(clock.waiting() == 0);
    clock.advance(2s);
    CHECK_FALSE(rung);
}

TEST_CASE("clock: an alarm in the past rings at once") {
    ManualClock clock;
    int rung = 0;
    const auto waiting = clock.set_alarm(clock.now() + 1s, [&] { rung += 10; });
    const auto due = clock.set_alarm(clock.now(), [&] { ++rung; });
    CHECK(rung == 1);
    CHECK(clock.waiting() == 1);
    clock.advance(1s);
    CHECK(rung == 11);
}

TEST_CASE("clock: an alarm may set the next one, and it rings within the same advance") {
    ManualClock clock;
    std::vector<std::unique_ptr<Clock::Alarm>> alarms;
    int rung = 0;
    std::function<void()> again = [&] {
        if (++rung < 5) alarms.push_back(clock.set_alarm(clock.now() + 1s, again));
    };
    alarms.push_back(clock.set_alarm(clock.now() + 1s, again));
    clock.advance(3s);
    CHECK(rung == 3);
    clock.advance(10s);
    CHECK(rung == 5);
}

TEST_CASE("duration: the forms of Go are read") {
    const std::vector<std::pair<std::string_view, Duration>> cases{
        {"0", 0ns},
        {"0s", 0ns},
        {"-0", 0ns},
        {"5s", 5s},
        {"30m", 30min},
        {"1h30m", 90min},
        {"1h2m3s4ms5us6ns", 1h + 2min + 3s + 4ms + 5us + 6ns},
        {"100ms", 100ms},
        {"-1.5s", -1500ms},
        {"+5s", 5s},
        {".5s", 500ms},
        {"5.s", 5s},
        {"0.1s", 100ms},
        {"0.3s", 300ms},
        {"1.1us", 1100ns},
        {"0.000000001s", 1ns},
        {"10\xc2\xb5s", 10us},
        {"10\xce\xbcs", 10us},
        {"2562047h47m16.854775807s", Duration::max()},
    };
    for (const auto& [text, duration] : cases) {
        INFO(text);
        const auto parsed = parse_duration(text);
        REQUIRE(parsed.has_value());
        CHECK(*parsed == duration);
    }
}

TEST_CASE("duration: every fraction of a second is read exactly") {
    for (int milliseconds = 0; milliseconds < 1000; ++milliseconds) {
        const std::string text = fmt::format("0.{:03}s", milliseconds);
        CHECK(parse_duration(text).value() == std::chrono::milliseconds(milliseconds));
    }
}

TEST_CASE("duration: what is no duration is refused with its text") {
    for (const std::string_view text :
         {"",
          "3",
          "-",
          "+",
          "s",
          ".",
          "-.",
          ".s",
          "+.s",
          "1.2.3s",
          "5x",
          "5 s",
          " 5s",
          "5s ",
          "1e3s",
          "--5s",
          "NaN"}) {
        INFO(text);
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed.has_value());
        CHECK(parsed.error() == make_error_code(errc::malformed));
        CHECK(parsed.error().message().find("is not a duration") != std::string::npos);
    }
    const auto huge = parse_duration("9223372036854775808ns");
    REQUIRE_FALSE(huge.has_value());
    CHECK(huge.error() == make_error_code(errc::out_of_range));
    CHECK_FALSE(parse_duration("2562048h").has_value());
    CHECK_FALSE(parse_duration(std::string(9000, '9') + "h").has_value());
    CHECK(parse_duration("0." + std::string(9000, '9') + "s").value() == 999'999'999ns);
}

TEST_CASE("duration: written as Go writes it, and read back") {
    const std::vector<std::pair<Duration, std::string_view>> cases{
        {0ns, "0s"},
        {1ns, "1ns"},
        {1100ns, "1.1us"},
        {2200us, "2.2ms"},
        {100ms, "100ms"},
        {3300ms, "3.3s"},
        {90min, "1h30m0s"},
        {4min + 5s, "4m5s"},
        {5h + 6min + 7s + 1ms, "5h6m7.001s"},
        {-90s, "-1m30s"},
        {Duration::max(), "2562047h47m16.854775807s"},
        {Duration::min(), "-2562047h47m16.854775808s"},
    };
    for (const auto& [duration, text] : cases) {
        CHECK(format_duration(duration) == text);
        if (duration != Duration::min()) CHECK(parse_duration(text).value() == duration);
    }
}

TEST_CASE("time: RFC 3339 in UTC with the trailing zeros cut") {
    const WallTime second(std::chrono::seconds(1'795'167'600));
    CHECK(format_rfc3339(second) == "2026-11-20T09:40:00Z");
    CHECK(format_rfc3339(second + 669'211'138ns) == "2026-11-20T09:40:00.669211138Z");
    CHECK(format_rfc3339(second + 500ms) == "2026-11-20T09:40:00.5Z");
    CHECK(format_rfc3339(second + 1ns) == "2026-11-20T09:40:00.000000001Z");
    CHECK(format_rfc3339(WallTime(-1ns)) == "1969-12-31T23:59:59.999999999Z");
}
