#include "base/test.hpp"
#include "http/detail/connection.hpp"
#include "http/gzip.hpp"
#include "http/server.hpp"
#include "http/sse.hpp"
#include "http/test_peer.hpp"
#include "net/event.hpp"
#include "net/test_executor.hpp"

using namespace skywire;
using namespace skywire::http;
using namespace std::chrono_literals;
using Catch::Contains;
using Catch::EndsWith;
using Catch::StartsWith;
using skywire::http::test::Peer;
using skywire::http::test::Rig;

namespace {

std::string get(const std::string& path, const std::string& fields = {}) {
    return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

/// A handler that waits until the test lets it go on.
struct Gate {
    explicit Gate(Rig& rig) : opened(rig.loop.context.loop) {
        rig.router.on(Method::get, "/gate", [this](Request&) { return pass(); });
        rig.router.on(Method::get, "/events", [this](Request&) { return stream(); });
    }

    Task<Response> pass() {
        while (!open)
            co_await opened.wait();
        co_return Response::of(200, "text/plain", "through");
    }

    Task<Response> stream() {
        co_return event_stream([this](BodyWriter& body) { return events(body); });
    }

    Task<> events(BodyWriter& body) {
        ++streams;
        struct End {
            int& count;
            ~End() { --count; }
        } end{streams};
        for (;;) {
            const ServerEvent event{"tick", std::to_string(++sent), ""};
            const auto written = co_await body.write(format_event(event));
            if (!written) ++failed_writes;
            if (open) co_return;
            co_await opened.wait();
        }
    }

    void release(Rig& rig) {
        open = true;
        wake(rig);
    }
    void wake(Rig& rig) {
        opened.notify();
        rig.loop.settle();
    }

    net::Event opened;
    bool open = false;
    int streams = 0;
    int sent = 0;
    int failed_writes = 0;
};

/// Accepts what the test gives it.
class FakeListener final : public net::Listener {
 public:
    explicit FakeListener(Executor loop) : changed_(std::move(loop)) {}

    Task<Result<std::unique_ptr<net::Stream>>> accept() override {
        while (pending.empty() && !closed_)
            co_await changed_.wait();
        if (closed_) co_return fail(errc::closed, {});
        if (std::exchange(throws, false)) throw std::bad_alloc();
        auto first = std::move(pending.front());
        pending.erase(pending.begin());
        co_return first;
    }
    const net::Address& local() const noexcept override { return address_; }
    void close() noexcept override {
        closed_ = true;
        changed_.notify();
    }

    void give(Result<std::unique_ptr<net::Stream>> stream) {
        pending.push_back(std::move(stream));
        changed_.notify();
    }

    std::vector<Result<std::unique_ptr<net::Stream>>> pending;
    /// There is no memory for the next one.
    bool throws = false;

 private:
    net::Event changed_;
    net::Address address_ = net::Address::tcp("127.0.0.1", 1);
    bool closed_ = false;
};

/// The rig's clock, but that its alarms may fail.
class ShortClock final : public Clock {
 public:
    explicit ShortClock(ManualClock& clock) : clock_(clock) {}

    SteadyTime now() const override { return clock_.now(); }
    WallTime wall() const override { return clock_.wall(); }
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override {
        if (std::exchange(fails, false)) throw std::bad_alloc();
        return clock_.set_alarm(at, std::move(on_time));
    }

    /// There is no memory for the next one.
    bool fails = false;

 private:
    ManualClock& clock_;
};

net::Context with(const net::Context& context, const Executor& loop, Clock& clock) {
    return {
        loop,
        clock,
        context.random,
        context.network,
        context.workers,
        context.metrics,
        context.faults,
        context.logger
    };
}

}  // namespace

TEST_CASE("server: a stream is sent in chunks until it ends, and the connection goes on") {
    Rig rig;
    Gate gate(rig);
    const auto peer = rig.connect();
    const std::string head = peer->talk(get("/events"));
    CHECK_THAT(head, Contains("Transfer-Encoding: chunked\r\n"));
    CHECK_THAT(head, Contains("Content-Type: text/event-stream\r\n"));
    CHECK_THAT(head, EndsWith("\r\n\r\n15\r\nevent: tick\ndata: 1\n\n\r\n"));
    gate.wake(rig);
    CHECK(peer->take() == "15\r\nevent: tick\ndata: 2\n\n\r\n");
    // A request that arrives meanwhile waits for its turn.
    CHECK(peer->talk(get("/gate")).empty());
    gate.release(rig);
    const std::string rest = peer->take();
    CHECK_THAT(rest, StartsWith("15\r\nevent: tick\ndata: 3\n\n\r\n0\r\n\r\nHTTP/1.1 200 OK"));
    CHECK_THAT(rest, EndsWith("through"));
    CHECK(gate.streams == 0);
}

TEST_CASE("server: a stream to HTTP/1.0 ends with the connection, to HEAD it has no body") {
    Rig rig;
    Gate gate(rig);
    const auto old = rig.connect();
    const std::string head = old->talk("GET /events HTTP/1.0\r\n\r\n");
    CHECK_THAT(head, !Contains("chunked") && EndsWith("\r\n\r\nevent: tick\ndata: 1\n\n"));
    const auto other = rig.connect();
    CHECK_THAT(
        other->talk("HEAD /events HTTP/1.1\r\nHost: a\r\n\r\n"),
        Contains("chunked") && EndsWith("\r\n\r\n")
    );
    CHECK(gate.streams == 1);
    gate.release(rig);
    CHECK(old->ended());
    CHECK_FALSE(other->ended());
}

TEST_CASE("server: a stream ends when its peer leaves") {
    Rig rig;
    Gate gate(rig);
    const auto peer = rig.connect();
    peer->send(get("/events"));
    CHECK(gate.streams == 1);
    peer->close();
    CHECK(gate.streams == 0);
    CHECK(rig.server().connections() == 0);
}

TEST_CASE("server: a stream whose peer does not read is cut off by the write deadline") {
    Rig rig;
    Gate gate(rig);
    const auto peer = rig.connect(/*reads=*/false, /*pipe_bytes=*/300);
    peer->send(get("/events"));
    for (int i = 0; i < 20; ++i)
        gate.wake(rig);
    rig.advance(4s);
    CHECK(rig.refused("slow_reader") == 1);
    CHECK(gate.streams == 0);
    CHECK(rig.server().connections() == 0);
}

TEST_CASE("server: a stream that ignores failed writes is stopped all the same") {
    Rig rig;
    rig.router.on(Method::get, "/mad", [](Request&) -> Task<Response> {
        co_return event_stream([](BodyWriter& body) -> Task<> {
            for (;;)
                (void)co_await body.write(std::string(1000, 'x'));
        });
    });
    const auto peer = rig.connect(/*reads=*/false);
    peer->send(get("/mad"));
    rig.advance(4s);
    CHECK(rig.server().connections() == 0);
}

TEST_CASE("server: a stream that fails is left without its end, and counted") {
    Rig rig;
    rig.router.on(Method::get, "/fails", [](Request&) -> Task<Response> {
        co_return event_stream([](BodyWriter& body) -> Task<> {
            (void)co_await body.write("first");
            throw std::runtime_error("no more");
        });
    });
    const auto peer = rig.connect();
    CHECK_THAT(peer->talk(get("/fails")), EndsWith("5\r\nfirst\r\n"));
    CHECK(peer->ended());
    auto& failures =
        rig.loop.metrics.counter("http_handler_failures_total", "", {{"server", "http"}});
    CHECK(failures.value() == 1);
}

TEST_CASE("server: drain closes what is idle and lets a request end") {
    Rig rig;
    Gate gate(rig);
    const auto idle = rig.connect();
    idle->talk(get("/nothing"));
    const auto fresh = rig.connect();
    const auto mute = rig.connect();
    const auto busy = rig.connect();
    busy->send(get("/gate"));
    const auto halfway = rig.connect();
    halfway->send("GET /gate HTTP/1.1\r\n");
    CHECK(rig.server().requests_under_way() == 2);

    bool drained = false;
    asio::co_spawn(
        rig.loop.ioc,
        rig.server().drain(rig.clock.now() + 10s),
        [&](std::exception_ptr) { drained = true; }
    );
    rig.loop.settle();
    CHECK(idle->ended());
    CHECK_FALSE(busy->ended());
    CHECK_FALSE(drained);
    // Whoever was let in is answered once, where the request was on its way.
    const auto late = rig.connect();
    for (const auto& peer : {fresh.get(), late.get()}) {
        CHECK_THAT(
            peer->talk(get("/nothing")), Contains("404") && Contains("Connection: close\r\n")
        );
        CHECK(peer->ended());
    }
    CHECK_FALSE(mute->ended());
    rig.advance(750ms);
    CHECK(mute->ended());

    gate.release(rig);
    CHECK_THAT(busy->take(), Contains("Connection: close\r\n") && EndsWith("through"));
    CHECK(busy->ended());
    CHECK_FALSE(drained);
    CHECK_THAT(
        halfway->talk("Host: a\r\n\r\n"), Contains("Connection: close\r\n") && EndsWith("through")
    );
    CHECK(drained);
    CHECK(rig.server().connections() == 0);
}

TEST_CASE("server: drain gives up at its deadline, stop ends what is left") {
    Rig rig;
    Gate gate(rig);
    const auto waits = rig.connect();
    waits->send(get("/gate"));
    const auto streams = rig.connect();
    streams->send(get("/events"));
    bool drained = false;
    asio::co_spawn(
        rig.loop.ioc,
        rig.server().drain(rig.clock.now() + 10s),
        [&](std::exception_ptr) { drained = true; }
    );
    rig.loop.settle();
    rig.advance(9s);
    CHECK_FALSE(drained);
    rig.advance(1s);
    CHECK(drained);
    CHECK(rig.server().requests_under_way() == 2);
    CHECK(gate.streams == 1);

    const auto late = rig.loop.run(rig.server().stop(rig.clock.now() + 1s));
    CHECK(late.empty());
    CHECK(rig.server().connections() == 0);
    CHECK(gate.streams == 0);
    rig.loop.settle();
    CHECK(waits->ended());
    CHECK(streams->ended());
    // A stopped request is no failure of its handler.
    auto& failures =
        rig.loop.metrics.counter("http_handler_failures_total", "", {{"server", "http"}});
    CHECK(failures.value() == 0);
}

TEST_CASE("server: stop names what does not end") {
    Rig rig;
    bool release = false;
    net::Event changed(rig.loop.context.loop);
    rig.router.on(Method::get, "/deaf", [&](Request&) -> Task<Response> {
        co_await asio::this_coro::throw_if_cancelled(false);
        while (!release)
            co_await changed.wait();
        co_return Response::empty(200);
    });
    const auto peer = rig.connect();
    peer->send(get("/deaf"));
    std::vector<std::string> late;
    bool stopped = false;
    asio::co_spawn(
        rig.loop.ioc,
        rig.server().stop(rig.clock.now() + 5s),
        [&](std::exception_ptr, std::vector<std::string> names) {
            late = std::move(names);
            stopped = true;
        }
    );
    rig.loop.settle();
    CHECK_FALSE(stopped);
    rig.advance(5s);
    REQUIRE(late.size() == 1);
    CHECK_THAT(late[0], StartsWith("http connection from "));
    release = true;
    changed.notify();
    rig.loop.settle();
    CHECK(rig.server().connections() == 0);
}

TEST_CASE("server: a failed accept is counted, and accepting goes on after a pause") {
    Rig rig;
    Gate gate(rig);
    gate.open = true;
    auto listener = std::make_unique<FakeListener>(rig.loop.context.loop);
    FakeListener& accepting = *listener;
    rig.server().serve(std::move(listener));
    CHECK(rig.server().addresses() == std::vector{net::Address::tcp("127.0.0.1", 1)});
    const ErrorCode exhausted(EMFILE, boost::system::system_category());
    accepting.give(Error(exhausted));
    rig.loop.settle();
    auto& errors = rig.loop.metrics.counter("http_accept_errors_total", "", {{"server", "http"}});
    CHECK(errors.value() == 1);
    auto [ours, theirs] = net::make_pipe(rig.loop.context.loop);
    accepting.give(std::move(theirs));
    Peer peer(rig.loop, std::move(ours));
    CHECK(rig.server().connections() == 0);
    rig.advance(100ms);
    CHECK_THAT(peer.talk(get("/gate")), EndsWith("through"));
}

TEST_CASE("server: an accept for which there is no memory is counted, and accepting goes on") {
    Rig rig;
    Gate gate(rig);
    gate.open = true;
    auto listener = std::make_unique<FakeListener>(rig.loop.context.loop);
    FakeListener& accepting = *listener;
    rig.server().serve(std::move(listener));
    accepting.throws = true;
    auto [ours, theirs] = net::make_pipe(rig.loop.context.loop);
    accepting.give(std::move(theirs));
    Peer peer(rig.loop, std::move(ours));
    auto& errors = rig.loop.metrics.counter("http_accept_errors_total", "", {{"server", "http"}});
    CHECK(errors.value() == 1);
    CHECK(rig.server().connections() == 0);
    rig.advance(100ms);
    CHECK_THAT(peer.talk(get("/gate")), EndsWith("through"));
}

TEST_CASE("server: a connection for which there is no memory leaves no place taken") {
    Rig rig;
    const auto shortage = std::make_shared<net::Shortage>();
    const Executor loop = net::short_executor(rig.loop.ioc, shortage);
    const net::Context context = with(rig.loop.context, loop, rig.clock);
    Server::Options options;
    options.limits.connections_max = 1;
    Server server(context, rig.router, options);
    auto [lost, theirs] = net::make_pipe(rig.loop.context.loop);
    shortage->next = true;
    CHECK_THROWS_AS(server.serve(std::move(theirs)), std::bad_alloc);
    CHECK(server.connections() == 0);
    CHECK(rig.loop.metrics.gauge("http_connections", "", {{"server", "http"}}).value() == 0);
    auto [ours, served] = net::make_pipe(rig.loop.context.loop);
    server.serve(std::move(served));
    Peer peer(rig.loop, std::move(ours));
    CHECK_THAT(peer.talk(get("/nothing")), StartsWith("HTTP/1.1 404"));
    CHECK(rig.loop.run(server.stop(rig.clock.now() + 1s)).empty());
}

TEST_CASE("server: deadlines hold again behind a sweep for which there was no memory") {
    Rig rig;
    ShortClock clock(rig.clock);
    const net::Context context = with(rig.loop.context, rig.loop.context.loop, clock);
    Server::Options options;
    options.limits.connections_max = 1;
    Server server(context, rig.router, options);
    const auto connect = [&] {
        auto [ours, theirs] = net::make_pipe(rig.loop.context.loop);
        server.serve(std::move(theirs));
        return std::make_unique<Peer>(rig.loop, std::move(ours));
    };
    const auto slow = connect();
    slow->send("GET /slow HTTP/1.1\r\n");
    clock.fails = true;
    rig.advance(250ms);
    CHECK_FALSE(clock.fails);
    // No place for it, but it is seen that somebody has to go.
    CHECK(connect()->ended());
    rig.advance(4s);
    CHECK_THAT(slow->take(), StartsWith("HTTP/1.1 408"));
    CHECK(slow->ended());
    CHECK_THAT(connect()->talk(get("/nothing")), StartsWith("HTTP/1.1 404"));
    CHECK(rig.loop.run(server.stop(rig.clock.now() + 1s)).empty());
}

TEST_CASE("server: a slow peer that cannot be told so for want of memory ends all the same") {
    Rig rig;
    const auto shortage = std::make_shared<net::Shortage>();
    net::Scope scope(net::short_executor(rig.loop.ioc, shortage));
    detail::ServerCore core(rig.loop.context, rig.router, {});
    core.scope = &scope;
    auto [ours, theirs] = net::make_pipe(rig.loop.context.loop);
    const auto connection = std::make_shared<detail::Connection>(core, std::move(theirs));
    scope.spawn("connection", [connection] { return connection->run(); });
    Peer peer(rig.loop, std::move(ours));
    peer.send("GET /slow HTTP/1.1\r\n");
    rig.clock.advance(4s);
    shortage->next = true;
    CHECK_THROWS_AS(connection->sweep(rig.clock.now()), std::bad_alloc);
    rig.loop.settle();
    CHECK(peer.ended());
    CHECK(scope.size() == 0);
}

TEST_CASE("server: large bodies are compressed for those who ask") {
    Server::Options options;
    options.gzip_from_bytes = 1000;
    Rig rig(options);
    const std::string text(5000, 'x');
    const auto shared = std::make_shared<const std::string>(200'000, 'y');
    rig.router.on(Method::get, "/large", [&](Request&) -> Task<Response> {
        co_return Response::of(200, "text/plain", text);
    });
    rig.router.on(Method::get, "/shared", [&](Request&) -> Task<Response> {
        Response response = Response::empty(200);
        response.shared_body = shared;
        co_return response;
    });
    rig.router.on(Method::get, "/small", [&](Request&) -> Task<Response> {
        co_return Response::of(200, "text/plain", "small");
    });
    const auto peer = rig.connect();
    const std::string plain = peer->talk(get("/large"));
    CHECK_THAT(plain, EndsWith(text) && Contains("Vary: Accept-Encoding\r\n"));
    CHECK_THAT(plain, !Contains("Content-Encoding"));

    const std::string packed = peer->talk(get("/large", "Accept-Encoding: br, gzip;q=0.5\r\n"));
    CHECK_THAT(packed, Contains("Content-Encoding: gzip\r\n"));
    const std::string body = packed.substr(packed.find("\r\n\r\n") + 4);
    CHECK_THAT(packed, Contains("Content-Length: " + std::to_string(body.size()) + "\r\n"));
    CHECK(gunzip(body, 10'000) == text);

    CHECK_THAT(
        peer->talk(get("/small", "Accept-Encoding: gzip\r\n")),
        EndsWith("\r\n\r\nsmall") && !Contains("Vary")
    );
    // Done by a worker: wait for it.
    peer->send(get("/shared", "Accept-Encoding: gzip\r\n"));
    rig.loop.run_until([&] { return rig.server().requests_under_way() == 0; });
    rig.loop.settle();
    const std::string large = peer->take();
    CHECK(gunzip(large.substr(large.find("\r\n\r\n") + 4), 1'000'000) == *shared);
}
