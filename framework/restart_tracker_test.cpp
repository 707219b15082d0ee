#include "framework/restart_tracker.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::framework;
using namespace std::chrono_literals;

namespace {

RestartPolicy policy_without_jitter() {
    RestartPolicy policy;
    policy.jitter = 0;
    return policy;
}

SteadyTime at(Duration since_start) {
    return SteadyTime(1h) + since_start;
}

}  // namespace

TEST_CASE("restart: the delay grows by factor from min and the last failure in the window ends it"
) {
    SeededRandom random(1);
    RestartTracker tracker(policy_without_jitter());
    CHECK(tracker.on_failure(at(0s), 0s, random) == Duration(250ms));
    CHECK(tracker.on_failure(at(1s), 0s, random) == Duration(500ms));
    CHECK(tracker.on_failure(at(2s), 0s, random) == Duration(1s));
    CHECK(tracker.on_failure(at(3s), 0s, random) == Duration(2s));
    CHECK_FALSE(tracker.on_failure(at(4s), 0s, random));
    CHECK(tracker.failures() == 5);
}

TEST_CASE("restart: failures that leave the window are forgotten, the delay stays below max") {
    SeededRandom random(1);
    RestartPolicy policy = policy_without_jitter();
    policy.max_in_window = 3;
    RestartTracker tracker(policy);
    Duration delay{0};
    for (int i = 0; i < 40; ++i) {
        const auto next = tracker.on_failure(at(i * 40s), 0s, random);
        REQUIRE(next);
        CHECK(*next >= delay);
        delay = *next;
    }
    CHECK(delay == policy.max);
}

TEST_CASE("restart: a failure exactly one window old does not count any more") {
    SeededRandom random(1);
    RestartPolicy policy = policy_without_jitter();
    policy.max_in_window = 2;
    RestartTracker tracker(policy);
    CHECK(tracker.on_failure(at(0s), 0s, random));
    CHECK(tracker.on_failure(at(60s), 0s, random));
    CHECK_FALSE(tracker.on_failure(at(119s), 0s, random));
}

TEST_CASE("restart: a long enough run as ready clears the count") {
    SeededRandom random(1);
    RestartTracker tracker(policy_without_jitter());
    for (int i = 0; i < 4; ++i)
        CHECK(tracker.on_failure(at(i * 1s), 0s, random));
    CHECK(tracker.on_failure(at(70s), 61s, random) == Duration(250ms));
    CHECK(tracker.failures() == 1);
}

TEST_CASE("restart: jitter spreads the delay by its share and no further") {
    SeededRandom random(7);
    RestartPolicy policy;
    std::set<Duration> seen;
    for (int i = 0; i < 200; ++i) {
        RestartTracker tracker(policy);
        const auto delay = tracker.on_failure(at(0s), 0s, random);
        REQUIRE(delay);
        CHECK(*delay >= Duration(200ms));
        CHECK(*delay <= Duration(300ms));
        seen.insert(*delay);
    }
    CHECK(seen.size() > 100);
}

TEST_CASE("restart: the policy never gives up at once") {
    SeededRandom random(1);
    RestartPolicy policy;
    policy.mode = RestartMode::never;
    RestartTracker tracker(policy);
    CHECK_FALSE(tracker.on_failure(at(0s), 10h, random));
}
