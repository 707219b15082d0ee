#include "net/scope.hpp"

#include "base/test.hpp"
#include "net/event.hpp"
#include "net/test_executor.hpp"
#include "net/test_loop.hpp"
#include "net/timer.hpp"

#include <boost/asio/cancellation_state.hpp>

using namespace skywire;
using namespace skywire::net;
using namespace std::chrono_literals;
namespace this_coro = asio::this_coro;

namespace {

struct Fixture {
    /// Awaits scope.close in a coroutine of its own.
    void close(Duration grace, Duration deadline) {
        closer.spawn("closer", [this, grace, deadline]() -> Task<> {
            const auto now = clock.now();
            late = co_await scope.close(clock, now + grace, now + deadline);
        });
        loop.settle();
    }

    ManualClock clock;
    TestLoop loop{&clock};
    Event event{loop.ioc.get_executor()};
    std::optional<std::vector<std::string>> late;
    Scope scope{loop.ioc.get_executor()};
    Scope closer{loop.ioc.get_executor()};
};

const std::vector<std::string> kNobody;

}  // namespace

TEST_CASE_METHOD(Fixture, "scope: the callable lives as long as its coroutine") {
    const auto token = std::make_shared<int>(7);
    int seen = 0;
    scope.spawn("reader", [&, token]() -> Task<> {
        co_await event.wait();
        seen = *token;
    });
    loop.settle();
    CHECK(token.use_count() == 2);
    CHECK(scope.size() == 1);
    CHECK(Scope::process_size() == 1);
    event.notify();
    loop.settle();
    CHECK(seen == 7);
    CHECK(scope.size() == 0);
    CHECK(Scope::process_size() == 0);
    CHECK(token.use_count() == 1);
}

TEST_CASE_METHOD(Fixture, "scope: close cancels at once and refuses what comes later") {
    bool passed = false;
    for (int i = 0; i < 3; ++i) {
        scope.spawn("sleeper", [&]() -> Task<> {
            co_await sleep_for(clock, 1h);
            // A cancelled coroutine does not get past its next wait.
            co_await sleep_for(clock, 1h);
            passed = true;
        });
    }
    loop.settle();
    close(0s, 1s);
    CHECK(late == kNobody);
    CHECK(!passed);
    CHECK(scope.size() == 0);
    CHECK(!scope.spawn("more", []() -> Task<> { co_return; }));
    late.reset();
    close(0s, 1s);
    CHECK(late == kNobody);
}

TEST_CASE_METHOD(Fixture, "scope: closing one that is empty ends at once") {
    close(1h, 2h);
    CHECK(late == kNobody);
}

TEST_CASE_METHOD(Fixture, "scope: work spawned and closed in the same turn ends") {
    const auto work = [this]() -> Task<> {
        scope.spawn("one", [this]() -> Task<> {
            scope.spawn("two", [this]() -> Task<> { co_await event.wait(); });
            co_await event.wait();
        });
        late = co_await scope.close(clock, clock.now(), clock.now() + 1s);
    };
    loop.run(work());
    CHECK(late == kNobody);
}

TEST_CASE_METHOD(Fixture, "scope: closing without a limit waits for work that takes its time") {
    Event slow(loop.ioc.get_executor());
    bool ended = false;
    scope.spawn("slow", [&]() -> Task<> {
        co_await this_coro::throw_if_cancelled(false);
        co_await event.wait();
        co_await this_coro::reset_cancellation_state();
        co_await slow.wait();
        ended = true;
    });
    bool closed = false;
    closer.spawn("closer", [&]() -> Task<> {
        co_await scope.close(clock);
        closed = true;
    });
    loop.settle();
    clock.advance(24h);
    loop.settle();
    CHECK(!ended);
    CHECK(!closed);
    slow.notify();
    loop.settle();
    CHECK(ended);
    CHECK(closed);
}

TEST_CASE_METHOD(Fixture, "scope: cancel called outside the loop reaches work not yet begun") {
    bool passed = false;
    scope.spawn("work", [&]() -> Task<> {
        co_await event.wait();
        co_await event.wait();
        passed = true;
    });
    scope.cancel();
    loop.settle();
    CHECK(scope.size() == 0);
    CHECK(!passed);
}

namespace {

/// Work that hears of `total`, then needs `more` to finish.
Task<> finishing(Event& event, Event& more, std::string& trace) {
    co_await this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await this_coro::throw_if_cancelled(false);
    co_await event.wait();
    const auto state = co_await this_coro::cancellation_state;
    if (state.cancelled() == asio::cancellation_type::total) trace += "asked ";
    co_await this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    const bool finished = co_await more.wait();
    trace += finished ? "finished" : "cut off";
}

}  // namespace

TEST_CASE_METHOD(Fixture, "scope: work that finishes within its grace is not cut off") {
    Event more(loop.ioc.get_executor());
    std::string trace;
    scope.spawn("work", [&] { return finishing(event, more, trace); }, Scope::Ending::finish);
    close(1s, 2s);
    CHECK(trace == "asked ");
    CHECK(!late);
    clock.advance(999ms);
    more.notify();
    loop.settle();
    CHECK(trace == "asked finished");
    CHECK(late == kNobody);
}

TEST_CASE_METHOD(Fixture, "scope: after the grace finishing work is cut off") {
    Event more(loop.ioc.get_executor());
    std::string trace;
    scope.spawn("work", [&] { return finishing(event, more, trace); }, Scope::Ending::finish);
    close(1s, 2s);
    clock.advance(1s);
    loop.settle();
    CHECK(trace == "asked cut off");
    CHECK(late == kNobody);
}

TEST_CASE_METHOD(
    Fixture, "scope: finishing work that asks for nothing runs on until the grace ends"
) {
    bool finished = false;
    scope.spawn(
        "work", [&]() -> Task<> { finished = co_await event.wait(); }, Scope::Ending::finish
    );
    close(1s, 2s);
    CHECK(!late);
    event.notify();
    loop.settle();
    CHECK(finished);
    CHECK(late == kNobody);
}

TEST_CASE_METHOD(Fixture, "scope: without a grace finishing work is cut off at once") {
    bool finished = false;
    scope.spawn(
        "work", [&]() -> Task<> { finished = co_await event.wait(); }, Scope::Ending::finish
    );
    close(0s, 2s);
    CHECK(late == kNobody);
    CHECK(!finished);
}

TEST_CASE_METHOD(Fixture, "scope: close names who was late") {
    bool go = false;
    scope.spawn("stubborn", [&]() -> Task<> {
        co_await this_coro::throw_if_cancelled(false);
        while (!go)
            co_await event.wait();
    });
    scope.spawn("tame", [this]() -> Task<> { co_await event.wait(); });
    close(1s, 2s);
    clock.advance(1999ms);
    loop.settle();
    CHECK(!late);
    clock.advance(1ms);
    loop.settle();
    CHECK(late == std::vector<std::string>{"stubborn"});
    CHECK(scope.size() == 1);
    go = true;
    event.notify();
    loop.settle();
    CHECK(scope.size() == 0);
}

TEST_CASE_METHOD(Fixture, "scope: close is not broken off by its caller's cancellation") {
    bool go = false;
    scope.spawn("stubborn", [&]() -> Task<> {
        co_await this_coro::throw_if_cancelled(false);
        while (!go)
            co_await event.wait();
    });
    close(1s, 2s);
    closer.cancel();
    loop.settle();
    CHECK(!late);
    go = true;
    event.notify();
    loop.settle();
    CHECK(late == kNobody);
    CHECK(closer.size() == 0);
}

TEST_CASE_METHOD(Fixture, "scope: a waiter of a scope that has died leaves it alone") {
    auto inner = std::make_unique<Scope>(loop.ioc.get_executor());
    int woken = 0;
    inner->spawn("work", [this]() -> Task<> { co_await event.wait(); });
    closer.spawn("waiter", [&]() -> Task<> {
        co_await inner->wait_empty();
        ++woken;
    });
    closer.spawn("owner", [&]() -> Task<> {
        co_await inner->close(clock, clock.now(), clock.now() + 1s);
        inner.reset();
        ++woken;
    });
    loop.settle();
    CHECK(woken == 2);
}

TEST_CASE_METHOD(Fixture, "scope: one of two closers may destroy it, whichever wakes first") {
    for (const bool destroyer_first : {true, false}) {
        auto inner = std::make_unique<Scope>(loop.ioc.get_executor());
        inner->spawn("work", [this]() -> Task<> { co_await event.wait(); });
        inner->spawn(
            "finishing work",
            [this]() -> Task<> {
                while (!(co_await event.wait())) {
                }
            },
            Scope::Ending::finish
        );
        std::vector<std::vector<std::string>> told;
        const auto closing = [&](bool destroys) -> Task<> {
            const auto now = clock.now();
            told.push_back(co_await inner->close(clock, now + 1s, now + 2s));
            if (destroys) inner.reset();
        };
        closer.spawn("one", [&] { return closing(destroyer_first); });
        closer.spawn("other", [&] { return closing(!destroyer_first); });
        loop.settle();
        CHECK(told.empty());
        event.notify();
        loop.settle();
        CHECK(told == std::vector{kNobody, kNobody});
        CHECK(!inner);
    }
}

TEST_CASE_METHOD(Fixture, "scope: a spawn that finds no memory leaves nothing behind") {
    const auto shortage = std::make_shared<Shortage>();
    std::optional<Scope> poor;
    poor.emplace(short_executor(loop.ioc, shortage));
    const auto token = std::make_shared<int>(7);
    shortage->next = true;
    const auto wait = [this, token]() -> Task<> { co_await event.wait(); };
    CHECK_THROWS_AS(poor->spawn("work", wait), std::bad_alloc);
    CHECK(poor->size() == 0);
    CHECK(Scope::process_size() == 0);
    CHECK(token.use_count() == 2);
    // The next one finds some.
    CHECK(poor->spawn("work", wait));
    loop.settle();
    CHECK(poor->size() == 1);
    const auto now = clock.now();
    CHECK(loop.run(poor->close(clock, now, now + 1s)).empty());
    poor.reset();
}

TEST_CASE_METHOD(Fixture, "scope: an exception goes to the owner with the name") {
    std::vector<std::string> heard;
    Scope hearing(loop.ioc.get_executor(), [&](std::string_view name, std::exception_ptr error) {
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& thrown) {
            heard.push_back(std::string(name) + ": " + thrown.what());
        }
    });
    hearing.spawn("thrower", []() -> Task<> {
        throw std::runtime_error("broken");
        co_return;
    });
    loop.settle();
    CHECK(heard == std::vector<std::string>{"thrower: broken"});
    CHECK(hearing.size() == 0);
    hearing.spawn("cancelled", [this]() -> Task<> {
        co_await event.wait();
        co_await event.wait();
    });
    hearing.spawn("failing", [this]() -> Task<> {
        co_await event.wait();
        throw std::runtime_error("broken at the end");
    });
    loop.settle();
    hearing.cancel();
    loop.settle();
    CHECK(heard.size() == 2);
    CHECK(heard.back() == "failing: broken at the end");
}

TEST_CASE_METHOD(Fixture, "scope: without a listener an exception leaves the loop") {
    scope.spawn("thrower", []() -> Task<> {
        throw std::runtime_error("broken");
        co_return;
    });
    CHECK_THROWS_WITH(loop.settle(), "broken");
    CHECK(scope.size() == 0);
}

TEST_CASE("scope: a coroutine that cancels its own scope without having waited ends like any other"
) {
    net::TestLoop loop;
    net::Scope scope(loop.ioc.get_executor());
    bool ended = false;
    scope.spawn("canceller", [&]() -> Task<> {
        scope.cancel();
        ended = true;
        co_return;
    });
    loop.run(scope.wait_empty());
    CHECK(ended);
    CHECK(scope.size() == 0);
}
