// What crosses threads: EventLoops, WorkerPool, streams handed from loop to loop.

#include "base/test.hpp"
#include "net/event_loops.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

#include <future>
#include <latch>

using namespace skywire;
using namespace skywire::net;

TEST_CASE("worker pool: work runs elsewhere and the caller resumes on its own loop") {
    TestLoop loop;
    const auto here = std::this_thread::get_id();
    const auto work = [&]() -> Task<> {
        const auto there = co_await loop.workers.run([]() -> Result<std::thread::id> {
            return std::this_thread::get_id();
        });
        CHECK(there.value() != here);
        CHECK(std::this_thread::get_id() == here);
        const auto failed =
            co_await loop.workers.run([]() -> Result<> { return fail(errc::not_found, "gone"); });
        CHECK(failed.error() == make_error_code(errc::not_found));
        auto owned = std::make_unique<int>(4);
        const auto moved = co_await loop.workers.run([owned = std::move(owned)]() -> Result<int> {
            return *owned;
        });
        CHECK(moved.value() == 4);
    };
    loop.run(work());
    CHECK(loop.workers.queued() == 0);
}

TEST_CASE("worker pool: a full queue refuses, and takes again later") {
    TestLoop loop;
    WorkerPool pool(1, 2);
    std::promise<void> gate;
    const std::shared_future<void> opened = gate.get_future().share();
    std::vector<bool> answers;
    Scope scope(loop.ioc.get_executor());
    for (int i = 0; i < 3; ++i) {
        scope.spawn("job", [&, opened]() -> Task<> {
            const auto done = co_await pool.run([opened]() -> Result<> {
                opened.wait();
                return {};
            });
            answers.push_back(done.has_value());
            if (!done) CHECK(done.error() == make_error_code(errc::limit_reached));
        });
    }
    loop.run_until([&] { return answers.size() == 1; });
    CHECK(answers == std::vector{false});
    CHECK(pool.queued() == 2);
    gate.set_value();
    loop.run_until([&] { return scope.size() == 0; });
    CHECK(answers == std::vector{false, true, true});
    const auto again = [&]() -> Task<bool> {
        const auto done = co_await pool.run([]() -> Result<> { return {}; });
        co_return done.has_value();
    };
    CHECK(loop.run(again()));
}

TEST_CASE("worker pool: an outcome counts until its caller goes on") {
    TestLoop loop;
    std::promise<void> gate;
    std::promise<void> ran;
    std::optional<std::size_t> queued;
    Scope scope(loop.ioc.get_executor());
    scope.spawn("job", [&]() -> Task<> {
        co_await loop.workers.run([&]() -> Result<> {
            gate.get_future().wait();
            ran.set_value();
            return {};
        });
        queued = loop.workers.queued();
    });
    loop.settle();
    gate.set_value();
    ran.get_future().wait();
    // However far the worker has come behind that: the loop has not turned since.
    CHECK(loop.workers.queued() == 1);
    loop.run_until([&] { return scope.size() == 0; });
    CHECK(queued == 0);
}

TEST_CASE("worker pool: a cancelled caller waits for its work") {
    TestLoop loop;
    std::promise<void> gate;
    auto opened = gate.get_future().share();
    bool ran = false;
    Scope scope(loop.ioc.get_executor());
    scope.spawn("job", [&, opened]() -> Task<> {
        const auto done = co_await loop.workers.run([opened]() -> Result<> {
            opened.wait();
            return {};
        });
        ran = done.has_value();
    });
    loop.settle();
    scope.cancel();
    loop.settle();
    CHECK(scope.size() == 1);
    gate.set_value();
    loop.run_until([&] { return scope.size() == 0; });
    CHECK(ran);
}

TEST_CASE("event loops: work spread over the loops runs on their threads") {
    EventLoops loops(3);
    loops.start();
    std::mutex mutex;
    std::set<std::thread::id> threads;
    std::latch done(6);
    for (int i = 0; i < 6; ++i) {
        asio::post(loops.next(), [&] {
            {
                const std::scoped_lock lock(mutex);
                threads.insert(std::this_thread::get_id());
            }
            done.count_down();
        });
    }
    done.wait();
    loops.join();
    CHECK(threads.size() == 3);
    CHECK(!threads.contains(std::this_thread::get_id()));
}

TEST_CASE("event loops: join lets waiting work end, stop drops it") {
    ManualClock clock;
    bool ended = false;
    {
        EventLoops loops(1);
        asio::post(loops.at(0), [&] { ended = true; });
        loops.start();
        loops.join();
        CHECK(ended);
    }
    bool never = false;
    EventLoops loops(1);
    asio::steady_timer timer(loops.at(0), asio::steady_timer::time_point::max());
    timer.async_wait([&](const ErrorCode&) { never = true; });
    loops.start();
    loops.stop();
    loops.join();
    CHECK(!never);
}

namespace {

/// Accepts on one loop, serves on another: every byte comes back once.
struct Server {
    explicit Server(EventLoops& loops_in)
        : loops(loops_in), accepting(loops_in.at(0)), serving(loops_in.at(1)) {}

    Task<> accept_all() {
        while (true) {
            auto accepted = co_await listener->accept_on(loops.at(1));
            if (!accepted) co_return;
            const std::shared_ptr<Stream> stream = std::move(*accepted);
            asio::post(loops.at(1), [this, stream] {
                serving.spawn("echo", [stream]() -> Task<> {
                    std::array<std::byte, 64> buffer{};
                    const auto size = co_await stream->read_some(buffer);
                    if (size) co_await stream->write(ByteSpan(buffer).first(*size));
                    stream->close();
                });
            });
        }
    }

    EventLoops& loops;
    std::unique_ptr<Listener> listener;
    Scope accepting;
    Scope serving;
};

}  // namespace

TEST_CASE("event loops: a stream accepted for another loop works there") {
    TestLoop loop;
    EventLoops loops(2);
    Server server(loops);
    server.listener = loop.network.listen(loops.at(0), Address::tcp("127.0.0.1", 0)).value();
    const Address at = server.listener->local();
    server.accepting.spawn("accept", [&server] { return server.accept_all(); });
    loops.start();
    const auto client = [&]() -> Task<> {
        for (int i = 0; i < 20; ++i) {
            auto dialled = co_await loop.network.dial(loop.ioc.get_executor(), at);
            const auto stream = std::move(dialled).value();
            const auto written = co_await stream->write(as_bytes("hello"));
            CHECK(written.has_value());
            std::array<std::byte, 64> buffer{};
            const auto size = co_await stream->read_some(buffer);
            CHECK(size.value() == 5);
        }
    };
    loop.run(client());
    asio::post(loops.at(0), [&server] { server.listener->close(); });
    loops.join();
    CHECK(server.accepting.size() == 0);
    CHECK(server.serving.size() == 0);
}
