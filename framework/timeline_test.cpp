#include "framework/timeline.hpp"

#include "base/test.hpp"

namespace skywire::framework {
namespace {

TEST_CASE("timeline: events carry rising numbers and their time since the start") {
    ManualClock clock;
    Timeline timeline(clock);
    timeline.add("dmsgd", "starting");
    clock.advance(std::chrono::milliseconds(1500));
    timeline.add("dmsgd", "milestone", "http");
    timeline.add("", "ready");

    const auto events = timeline.events();
    REQUIRE(events.size() == 3);
    CHECK(events[0].number == 1);
    CHECK(events[0].since_start == Duration(0));
    CHECK(events[1].since_start == std::chrono::milliseconds(1500));
    CHECK(events[1].at - events[0].at == std::chrono::milliseconds(1500));
    CHECK(events[1].detail == "http");
    CHECK(events[2].label.empty());
    CHECK(timeline.events(2).size() == 1);
    CHECK(timeline.events(3).empty());
    CHECK(timeline.events(99).empty());
}

TEST_CASE("timeline: find gives the first match, any detail where none is asked for") {
    ManualClock clock;
    Timeline timeline(clock);
    timeline.add("a", "milestone", "http");
    timeline.add("a", "milestone", "dmsg");
    timeline.add("b", "milestone", "http");
    CHECK(timeline.find("a", "milestone") == 1);
    CHECK(timeline.find("a", "milestone", "dmsg") == 2);
    CHECK(timeline.find("b", "milestone") == 3);
    CHECK(timeline.find("c", "milestone") == 0);
}

TEST_CASE("timeline: beyond its limit the oldest events go, and numbers go on") {
    ManualClock clock;
    Timeline timeline(clock, 3);
    for (int i = 0; i < 10; ++i)
        timeline.add("a", std::to_string(i));
    const auto events = timeline.events();
    REQUIRE(events.size() == 3);
    CHECK(events.front().number == 8);
    CHECK(events.front().event == "7");
    CHECK(timeline.find("a", "0") == 0);
    CHECK(timeline.events(5).size() == 3);
}

}  // namespace
}  // namespace skywire::framework
