#include "net/timer.hpp"

#include "base/test.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

using namespace skywire;
using namespace skywire::net;
using namespace std::chrono_literals;

TEST_CASE("timer: waits for a hand-driven clock") {
    ManualClock clock;
    TestLoop loop(&clock);
    Scope scope(loop.ioc.get_executor());
    std::vector<int> order;
    for (const int seconds : {3, 1, 2}) {
        scope.spawn("sleeper", [&order, &clock, seconds]() -> Task<> {
            const bool reached = co_await sleep_for(clock, std::chrono::seconds(seconds));
            if (reached) order.push_back(seconds);
        });
    }
    loop.settle();
    CHECK(clock.waiting() == 3);
    clock.advance(999ms);
    loop.settle();
    CHECK(order.empty());
    clock.advance(1ms);
    loop.settle();
    CHECK(order == std::vector{1});
    clock.advance(10s);
    loop.settle();
    CHECK(order == std::vector{1, 2, 3});
    CHECK(clock.waiting() == 0);
    CHECK(scope.size() == 0);
}

TEST_CASE("timer: waits on the machine's clock, and for what is past not at all") {
    TestLoop loop;
    const auto work = [&loop]() -> Task<bool> {
        const bool past = co_await sleep_for(loop.system_clock, -1s);
        const bool soon = co_await sleep_for(loop.system_clock, 1ms);
        co_return past&& soon;
    };
    CHECK(loop.run(work()));
    ManualClock clock;
    const auto manual = [&clock]() -> Task<bool> { return sleep_until(clock, clock.now()); };
    CHECK(loop.run(manual()));
}

TEST_CASE("timer: cancel ends the wait under way and no later one") {
    ManualClock clock;
    TestLoop loop(&clock);
    Timer timer(loop.ioc.get_executor(), clock);
    Scope scope(loop.ioc.get_executor());
    std::vector<bool> answers;
    timer.cancel();
    scope.spawn("waiter", [&]() -> Task<> {
        for (int i = 0; i < 2; ++i) {
            const bool reached = co_await timer.wait_for(1s);
            answers.push_back(reached);
        }
    });
    loop.settle();
    CHECK(answers.empty());
    timer.cancel();
    loop.settle();
    CHECK(answers == std::vector{false});
    clock.advance(1s);
    loop.settle();
    CHECK(answers == std::vector{false, true});
}

TEST_CASE("timer: an alarm of a cancelled wait does not end the next one") {
    ManualClock clock;
    TestLoop loop(&clock);
    Timer timer(loop.ioc.get_executor(), clock);
    Scope scope(loop.ioc.get_executor());
    std::vector<bool> answers;
    scope.spawn("waiter", [&]() -> Task<> {
        for (const auto pause : {Duration(1s), Duration(1h)}) {
            const bool reached = co_await timer.wait_for(pause);
            answers.push_back(reached);
        }
    });
    loop.settle();
    // Cancelled first; the alarm rings before the loop has run again.
    timer.cancel();
    clock.advance(1s);
    loop.settle();
    REQUIRE(answers.size() == 1);
    CHECK(clock.waiting() == 1);
    clock.advance(1h);
    loop.settle();
    CHECK(answers.size() == 2);
}

TEST_CASE("timer: cancelling the coroutine ends its wait") {
    ManualClock clock;
    TestLoop loop(&clock);
    Scope scope(loop.ioc.get_executor());
    std::optional<bool> answer;
    scope.spawn("sleeper", [&]() -> Task<> { answer = co_await sleep_for(clock, 1h); });
    loop.settle();
    scope.cancel();
    loop.settle();
    CHECK(answer == false);
    CHECK(clock.waiting() == 0);
}

TEST_CASE("event: wakes all that wait, and none that come later") {
    TestLoop loop;
    Event event(loop.ioc.get_executor());
    Scope scope(loop.ioc.get_executor());
    std::vector<bool> answers;
    const auto wait = [&]() -> Task<> {
        const bool notified = co_await event.wait();
        answers.push_back(notified);
    };
    event.notify();
    scope.spawn("first", wait);
    scope.spawn("second", wait);
    loop.settle();
    CHECK(answers.empty());
    event.notify();
    scope.spawn("third", wait);
    loop.settle();
    CHECK(answers == std::vector{true, true});
    scope.cancel();
    loop.settle();
    CHECK(answers == std::vector{true, true, false});
}
