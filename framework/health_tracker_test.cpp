#include "framework/health_tracker.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::framework;
using namespace std::chrono_literals;

namespace {

using Status = Check::Status;

WallTime at(int second) {
    return WallTime(std::chrono::seconds(second));
}

std::vector<Check> redis(Status status, std::string detail = {}) {
    return {{"redis", status, std::move(detail)}};
}

}  // namespace

TEST_CASE("health: a check turns bad after `failures` bad reports and counts from the first one") {
    HealthTracker tracker{HealthPolicy{}};
    tracker.report(redis(Status::pass), at(0));
    tracker.report(redis(Status::fail, "refused"), at(1));
    CHECK(tracker.failing() == nullptr);
    tracker.report(redis(Status::fail, "refused"), at(2));
    REQUIRE(tracker.failing() != nullptr);
    CHECK(tracker.failing()->detail == "refused");
    CHECK(tracker.failing()->since == at(1));
}

TEST_CASE("health: one good report among bad ones keeps it bad, `successes` in a row clear it") {
    HealthTracker tracker{HealthPolicy{}};
    for (int i = 0; i < 3; ++i)
        tracker.report(redis(Status::fail, "refused"), at(i));
    tracker.report(redis(Status::pass), at(3));
    tracker.report(redis(Status::fail, "refused"), at(4));
    tracker.report(redis(Status::pass), at(5));
    CHECK(tracker.failing() != nullptr);
    tracker.report(redis(Status::pass), at(6));
    CHECK(tracker.failing() == nullptr);
    CHECK(tracker.checks().at(0).since == at(6));
}

TEST_CASE("health: flapping between good and bad never changes what is shown") {
    HealthTracker tracker{HealthPolicy{}};
    for (int i = 0; i < 50; ++i) {
        tracker.report(redis(i % 2 == 0 ? Status::pass : Status::fail), at(i));
        CHECK(tracker.failing() == nullptr);
    }
}

TEST_CASE("health: the detail of a bad check follows the newest report") {
    HealthTracker tracker{HealthPolicy{}};
    tracker.report(redis(Status::fail, "refused"), at(0));
    tracker.report(redis(Status::fail, "refused"), at(1));
    tracker.report(redis(Status::fail, "timed out"), at(2));
    CHECK(tracker.failing()->detail == "timed out");
    CHECK(tracker.failing()->since == at(0));
}

TEST_CASE("health: a check that is not reported any more is forgotten, order is the report's") {
    HealthTracker tracker{HealthPolicy{}};
    const std::vector<Check> both{{"http", Status::pass, {}}, {"dmsg", Status::fail, "none"}};
    tracker.report(both, at(0));
    tracker.report(both, at(1));
    REQUIRE(tracker.checks().size() == 2);
    CHECK(tracker.checks()[0].name == "http");
    CHECK(tracker.failing()->name == "dmsg");
    tracker.report({{"http", Status::pass, {}}}, at(2));
    CHECK(tracker.failing() == nullptr);
    CHECK(tracker.checks().size() == 1);
}

TEST_CASE("health: a warning is shown after as many reports but is no failure") {
    HealthTracker tracker{HealthPolicy{}};
    tracker.report(redis(Status::warn, "slow"), at(0));
    tracker.report(redis(Status::warn, "slow"), at(1));
    CHECK(tracker.checks().at(0).status == Status::warn);
    CHECK(tracker.failing() == nullptr);
}
