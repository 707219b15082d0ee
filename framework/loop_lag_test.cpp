#include "framework/loop_lag.hpp"

#include "base/test.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

namespace skywire::framework {
namespace {

TEST_CASE("loop lag: what a loop misses is observed, and its maximum shown for a while") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    LoopLag lag(clock, loop.metrics, 2);
    net::Scope scope(loop.ioc.get_executor());
    scope.spawn("loop lag", [&] { return lag.run(); });
    auto& histogram = loop.metrics.histogram("skywire_loop_lag_seconds", "", {{"loop", "2"}});
    auto& worst = loop.metrics.gauge("skywire_loop_lag_max_seconds", "", {{"loop", "2"}});
    loop.run_until([&] { return clock.waiting() == 1; });
    const auto pass = [&](Duration by) {
        const auto seen = histogram.snapshot().count;
        clock.advance(by);
        loop.run_until([&] { return histogram.snapshot().count > seen && clock.waiting() == 1; });
    };

    pass(LoopLag::kInterval + std::chrono::milliseconds(20));
    CHECK(histogram.snapshot().sum == Approx(0.02));
    CHECK(worst.value() == Approx(0.02));
    // On time: the worst stays for its window and the next one.
    pass(LoopLag::kInterval);
    CHECK(histogram.snapshot().count == 2);
    CHECK(worst.value() == Approx(0.02));
    for (Duration passed{0}; passed < 3 * LoopLag::kWindow; passed += LoopLag::kInterval) {
        pass(LoopLag::kInterval);
    }
    CHECK(worst.value() == Approx(0));

    scope.cancel();
    loop.run_until([&] { return scope.size() == 0; });
}

}  // namespace
}  // namespace skywire::framework
