#include "net/deadline.hpp"

#include "base/test.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

using namespace skywire;
using namespace skywire::net;
using namespace std::chrono_literals;

namespace {

/// Has no default value, as many results.
struct Value {
    explicit Value(int number_in) : number(number_in) {}
    int number;
};

struct Fixture {
    /// Runs `task` under a deadline of one second and keeps what comes of it.
    void start(Task<Result<Value>> task) {
        const auto held = std::make_shared<Task<Result<Value>>>(std::move(task));
        scope.spawn("deadline", [this, held]() -> Task<> {
            try {
                result = co_await with_deadline(clock, clock.now() + 1s, std::move(*held));
            } catch (const std::exception& error) {
                thrown = error.what();
            }
        });
        loop.settle();
    }

    bool failed_with(errc code) const {
        return result && !*result && result->error() == make_error_code(code);
    }

    Task<Result<Value>> waiting(bool value_when_cancelled) {
        const bool notified = co_await event.wait();
        ended = true;
        if (notified || value_when_cancelled) co_return Value(1);
        co_return fail(errc::cancelled, "inner");
    }

    Task<Result<Value>> throwing() {
        co_await event.wait();
        throw std::runtime_error("broken");
    }

    Task<Result<Value>> waiting_twice() {
        co_await event.wait();
        co_await event.wait();
        co_return Value(2);
    }

    Task<Result<Value>> stubborn() {
        co_await asio::this_coro::throw_if_cancelled(false);
        while (!ended)
            co_await event.wait();
        co_return fail(errc::closed, "late");
    }

    ManualClock clock;
    TestLoop loop{&clock};
    Event event{loop.ioc.get_executor()};
    std::optional<Result<Value>> result;
    std::string thrown;
    bool ended = false;
    Scope scope{loop.ioc.get_executor()};
};

Task<Result<Value>> at_once(Result<Value> result) {
    co_return result;
}

Task<Result<>> nothing() {
    co_return Result<>();
}

}  // namespace

TEST_CASE_METHOD(Fixture, "deadline: a result in time passes through") {
    start(at_once(Value(3)));
    REQUIRE(result);
    CHECK(result->value().number == 3);
    CHECK(clock.waiting() == 0);
    result.reset();
    start(at_once(fail(errc::not_found, "x")));
    CHECK(failed_with(errc::not_found));
    result.reset();
    start(waiting(false));
    CHECK(!result);
    event.notify();
    loop.settle();
    REQUIRE(result);
    CHECK(result->value().number == 1);
}

TEST_CASE_METHOD(Fixture, "deadline: without a value") {
    const auto work = [this]() -> Task<bool> {
        const auto done = co_await with_deadline(clock, clock.now() + 1s, nothing());
        co_return done.has_value();
    };
    CHECK(loop.run(work()));
}

TEST_CASE_METHOD(Fixture, "deadline: what lasts too long is cancelled and has ended") {
    start(waiting(false));
    clock.advance(1s);
    loop.settle();
    CHECK(failed_with(errc::timed_out));
    CHECK(ended);
    result.reset();
    start(waiting_twice());
    clock.advance(1s);
    loop.settle();
    CHECK(failed_with(errc::timed_out));
    CHECK(thrown.empty());
}

TEST_CASE_METHOD(Fixture, "deadline: a value that comes all the same is kept") {
    start(waiting(true));
    clock.advance(1s);
    loop.settle();
    REQUIRE(result);
    CHECK(result->has_value());
}

TEST_CASE_METHOD(Fixture, "deadline: an exception of the task passes through, at once") {
    start(throwing());
    event.notify();
    loop.settle();
    CHECK(thrown == "broken");
    thrown.clear();
    start(throwing());
    clock.advance(1s);
    loop.settle();
    CHECK(thrown == "broken");
}

TEST_CASE_METHOD(Fixture, "deadline: the caller's cancellation reaches the task") {
    start(waiting(false));
    scope.cancel();
    loop.settle();
    CHECK(failed_with(errc::cancelled));
    CHECK(ended);
    CHECK(clock.waiting() == 0);
}

TEST_CASE_METHOD(Fixture, "deadline: waits for a task that does not listen") {
    start(stubborn());
    clock.advance(1s);
    loop.settle();
    CHECK(!result);
    scope.cancel();
    loop.settle();
    CHECK(!result);
    ended = true;
    event.notify();
    loop.settle();
    CHECK(failed_with(errc::timed_out));
}

TEST_CASE_METHOD(Fixture, "deadline: a task may cancel its own caller") {
    const auto self_cancelling = [this]() -> Task<Result<Value>> {
        scope.cancel();
        return waiting(false);
    };
    const auto outer = [&]() -> Task<Result<Value>> {
        auto inner = co_await self_cancelling();
        co_return inner;
    };
    start(outer());
    CHECK(failed_with(errc::cancelled));
    CHECK(ended);
}
