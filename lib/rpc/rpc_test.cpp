// Client and server over two ends of a pipe, on a clock that the test moves; then each alone, with
// a peer that the test plays byte by byte.

#include "net/deadline.hpp"
#include "net/event.hpp"
#include "net/test_loop.hpp"
#include "rpc/client.hpp"
#include "rpc/server.hpp"
#include "rpc/test_messages.hpp"

#include <boost/asio/co_spawn.hpp>

namespace skywire::rpc {
namespace {

using namespace std::chrono_literals;

constexpr auto kNever = SteadyTime::max();

/// A task that has been started; its result is looked at later.
template <class T>
class Started {
 public:
    Started(net::TestLoop& loop, Task<T> task) : state_(std::make_shared<State>()) {
        asio::co_spawn(loop.ioc, keep(state_, std::move(task)), [](std::exception_ptr error) {
            if (error) std::rethrow_exception(error);
        });
        loop.settle();
    }
    bool ended() const { return state_->result.has_value(); }
    T& result() { return *state_->result; }

 private:
    struct State {
        std::optional<T> result;
    };
    static Task<> keep(std::shared_ptr<State> state, Task<T> task) {
        state->result.emplace(co_await std::move(task));
    }
    std::shared_ptr<State> state_;
};

/// A server with a few methods, and pipes to it.
struct Rig {
    explicit Rig(Server::Options options = {}) : gate(loop.context.loop) {
        methods.on<std::uint64_t>("Test.Double", [](net::Address, std::uint64_t n) {
            return doubled(n);
        });
        methods.on<std::uint64_t>("Test.Wait", [this](net::Address, std::uint64_t n) {
            return wait(n);
        });
        methods.on<std::uint64_t>("Test.Fail", [](net::Address, std::uint64_t) {
            return failed();
        });
        methods.on<Nothing>("Test.Throw", [](net::Address, Nothing) { return thrown(); });
        server.emplace(loop.context, methods, std::move(options));
    }
    ~Rig() {
        for (auto& client : clients)
            loop.run(client->close());
        if (server) CHECK(loop.run(server->stop(clock.now() + 1s)).empty());
    }

    static Task<Result<Reply>> doubled(std::uint64_t n) { co_return reply_of(n * 2); }
    static Task<Result<Reply>> failed() {
        co_return fail(skywire::errc::not_found, "failure code 4 (boom)");
    }
    static Task<Result<Reply>> thrown() {
        throw std::runtime_error("a bug");
        co_return reply_of(true);
    }
    Task<Result<Reply>> wait(std::uint64_t n) {
        ++waiting;
        while (opened < n) {
            const bool awake = co_await gate.wait();
            if (!awake) {
                ++cancelled;
                co_return fail(skywire::errc::cancelled, {});
            }
        }
        Reply reply = reply_of(n);
        reply.delivered = [this] { ++delivered; };
        reply.undelivered = [this] { ++undelivered; };
        co_return reply;
    }
    void open(std::uint64_t upto) {
        opened = upto;
        gate.notify();
        loop.settle();
    }

    std::unique_ptr<net::Stream> stream() {
        auto [near, far] = net::make_pipe(loop.context.loop);
        server->serve(std::move(far));
        return std::move(near);
    }
    Client& client() {
        return *clients.emplace_back(std::make_unique<Client>(loop.context, stream()));
    }
    Started<Result<std::uint64_t>> call(
        Client& by, std::string method, std::uint64_t n, SteadyTime deadline = kNever
    ) {
        return {loop, by.call<std::uint64_t>(std::move(method), body_of(n), deadline)};
    }
    void advance(Duration by) {
        clock.advance(by);
        loop.settle();
    }
    std::uint64_t refused(std::string reason) {
        return loop.metrics
            .counter("rpc_refused_total", "", {{"server", "rpc"}, {"reason", std::move(reason)}})
            .value();
    }
    std::uint64_t counted(std::string outcome) {
        return loop.metrics
            .counter("rpc_calls_total", "", {{"server", "rpc"}, {"outcome", std::move(outcome)}})
            .value();
    }

    ManualClock clock;
    net::TestLoop loop{&clock};
    net::Event gate;
    std::uint64_t opened = 0;
    int waiting = 0;
    int cancelled = 0;
    int delivered = 0;
    int undelivered = 0;
    Methods methods;
    std::optional<Server> server;
    std::vector<std::unique_ptr<Client>> clients;
};

Bytes call_bytes(Outgoing& outgoing, std::string method, std::uint64_t seq, std::uint64_t n) {
    Bytes bytes;
    outgoing.append(bytes, Request{std::move(method), seq}, body_of(n));
    return bytes;
}

/// What the peer of a played stream has written, up to its end or until nothing more comes.
Bytes drained(net::TestLoop& loop, net::Stream& stream) {
    Bytes all;
    while (true) {
        Bytes piece(4096);
        const auto size = loop.run(
            net::with_deadline(loop.system_clock, loop.system_clock.now(), stream.read_some(piece))
        );
        if (!size || *size == 0) return all;
        all.insert(all.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*size));
    }
}

}  // namespace

TEST_CASE("rpc: calls are answered, errors with their text") {
    Rig rig;
    Client& client = rig.client();
    CHECK(rig.call(client, "Test.Double", 21).result().value() == 42);
    CHECK(rig.call(client, "Test.Double", 5).result().value() == 10);
    const auto failed = rig.call(client, "Test.Fail", 1).result();
    CHECK(failed.error() == make_error_code(errc::refused));
    CHECK(failed.error().message() == "failure code 4 (boom)");
    const auto unknown = rig.call(client, "Test.Nope", 1).result();
    CHECK(is_unknown_method(unknown.error()));
    Started<Result<bool>> thrown(
        rig.loop, client.call<bool>("Test.Throw", body_of(Nothing()), kNever)
    );
    CHECK(thrown.result().error().message() == "internal error");
    // The stream is as good as before.
    CHECK(rig.call(client, "Test.Double", 1).result().value() == 2);
    CHECK(rig.counted("ok") == 3);
    CHECK(rig.counted("error") == 2);
    CHECK(rig.counted("unknown_method") == 1);
}

TEST_CASE("rpc: answers come in any order, each to its call") {
    Rig rig;
    Client& client = rig.client();
    auto second = rig.call(client, "Test.Wait", 2);
    auto first = rig.call(client, "Test.Wait", 1);
    CHECK(rig.server->calls_under_way() == 2);
    CHECK(rig.call(client, "Test.Double", 4).result().value() == 8);
    rig.open(1);
    REQUIRE(first.ended());
    CHECK(first.result().value() == 1);
    CHECK_FALSE(second.ended());
    rig.open(2);
    CHECK(second.result().value() == 2);
}

TEST_CASE("rpc: a call ends at its deadline, and its late answer troubles nobody") {
    Rig rig;
    Client& client = rig.client();
    auto call = rig.call(client, "Test.Wait", 1, rig.clock.now() + 5s);
    rig.advance(4s);
    CHECK_FALSE(call.ended());
    rig.advance(1s);
    REQUIRE(call.ended());
    CHECK(call.result().error() == make_error_code(skywire::errc::timed_out));
    rig.open(1);
    CHECK_FALSE(client.broken());
    CHECK(rig.call(client, "Test.Double", 4).result().value() == 8);
}

TEST_CASE("rpc: a method that takes too long is answered with an error") {
    Server::Options options;
    options.call_timeout = 10s;
    Rig rig(options);
    Client& client = rig.client();
    auto call = rig.call(client, "Test.Wait", 1);
    rig.advance(10s);
    REQUIRE(call.ended());
    CHECK(call.result().error().message() == "timed out");
    CHECK(rig.cancelled == 1);
    CHECK(rig.server->calls_under_way() == 0);
}

TEST_CASE("rpc: a caller that goes away cancels what it has asked for") {
    Rig rig;
    auto near = rig.stream();
    Outgoing outgoing;
    const Bytes bytes = call_bytes(outgoing, "Test.Wait", 0, 1);
    REQUIRE(rig.loop.run(near->write(bytes)));
    rig.loop.settle();
    CHECK(rig.waiting == 1);
    near->close();
    rig.loop.settle();
    CHECK(rig.cancelled == 1);
    CHECK(rig.server->connections() == 0);
    CHECK(rig.server->calls_under_way() == 0);
}

TEST_CASE("rpc: a method is told whether its reply was written") {
    Rig rig;
    Client& client = rig.client();
    auto call = rig.call(client, "Test.Wait", 1);
    rig.open(1);
    CHECK(call.result());
    CHECK(rig.delivered == 1);
    // The caller goes away while the method ends.
    auto near = rig.stream();
    Outgoing outgoing;
    const Bytes bytes = call_bytes(outgoing, "Test.Wait", 0, 2);
    REQUIRE(rig.loop.run(near->write(bytes)));
    rig.loop.settle();
    near->close();
    rig.open(2);
    CHECK(rig.delivered == 1);
    CHECK(rig.undelivered + rig.cancelled == 1);
    CHECK(rig.server->connections() == 1);
}

TEST_CASE("rpc: calls beyond the limits are refused, on both sides") {
    Server::Options options;
    options.calls_per_connection_max = 2;
    Rig rig(options);
    Client& client = rig.client();
    auto first = rig.call(client, "Test.Wait", 1);
    auto second = rig.call(client, "Test.Wait", 1);
    const auto third = rig.call(client, "Test.Double", 1).result();
    CHECK(third.error().message() == "too many calls are under way on the stream");
    CHECK(rig.counted("too_many_calls") == 1);
    rig.open(1);
    CHECK(first.result());
    CHECK(second.result());

    Client::Options one;
    one.calls_max = 1;
    rig.clients.push_back(std::make_unique<Client>(rig.loop.context, rig.stream(), one));
    Client& small = *rig.clients.back();
    auto waits = rig.call(small, "Test.Wait", 2);
    CHECK(
        rig.call(small, "Test.Double", 1).result().error() == make_error_code(errc::too_many_calls)
    );
    rig.open(2);
    CHECK(waits.result());
}

TEST_CASE("rpc: connections beyond the limits are closed") {
    Server::Options options;
    options.connections_per_caller_max = 2;
    Rig rig(options);
    const auto first = rig.stream();
    auto second = rig.stream();
    const auto third = rig.stream();
    rig.loop.settle();
    CHECK(rig.server->connections() == 2);
    CHECK(rig.refused("connections_of_caller") == 1);
    second->close();
    rig.loop.settle();
    const auto fourth = rig.stream();
    CHECK(rig.server->connections() == 2);

    Server::Options few;
    few.connections_max = 1;
    Rig other(few);
    const auto in = other.stream();
    const auto out = other.stream();
    CHECK(other.refused("connections") == 1);
}

TEST_CASE("rpc: a stream without a whole call is closed after a while, trickling or not") {
    Rig rig;
    const auto silent = rig.stream();
    const auto trickling = rig.stream();
    Outgoing outgoing;
    const Bytes bytes = call_bytes(outgoing, "Test.Double", 0, 1);
    for (std::size_t i = 0; i < 30; ++i) {
        rig.advance(1s);
        (void)rig.loop.run(trickling->write(ByteSpan(bytes).subspan(i, 1)));
    }
    rig.advance(1s);
    CHECK(rig.server->connections() == 0);
    CHECK(rig.refused("idle") == 2);
    // A call under way keeps its stream.
    Client& client = rig.client();
    auto call = rig.call(client, "Test.Wait", 1, rig.clock.now() + 1h);
    rig.advance(20s);
    CHECK(rig.server->connections() == 1);
    rig.open(1);
    CHECK(call.result());
}

TEST_CASE("rpc: bytes that are no call close the stream and no other") {
    Rig rig;
    Client& good = rig.client();
    CHECK(rig.call(good, "Test.Double", 1).result());
    const std::vector<Bytes> garbage{
        skywire::test::hex("ff"),
        skywire::test::hex("f80fffffffffffffff00"),
        skywire::test::hex("03060003"),
        skywire::test::hex("474554202f20485454502f312e310d0a0d0a"),
    };
    std::uint64_t closed = 0;
    for (const Bytes& bytes : garbage) {
        const auto stream = rig.stream();
        (void)rig.loop.run(stream->write(bytes));
        rig.loop.settle();
        // An unfinished message is waited for.
        rig.advance(31s);
        ++closed;
        CHECK(rig.refused("undecodable") + rig.refused("idle") >= closed);
    }
    // The wrong kind of argument.
    const auto stream = rig.stream();
    Outgoing outgoing;
    Bytes bytes;
    outgoing.append(bytes, Request{"Test.Double", 0}, body_of(true));
    const auto before = rig.refused("undecodable");
    CHECK(rig.loop.run(stream->write(bytes)));
    rig.loop.settle();
    CHECK(rig.refused("undecodable") == before + 1);
    CHECK(drained(rig.loop, *stream).empty());
}

TEST_CASE("rpc: every byte of a call changed: the server lives on") {
    Rig rig;
    Outgoing outgoing;
    Bytes bytes = call_bytes(outgoing, "Test.Double", 0, 200);
    for (std::byte& byte : bytes) {
        const std::byte kept = std::exchange(byte, byte ^ std::byte{0xff});
        const auto stream = rig.stream();
        (void)rig.loop.run(stream->write(bytes));
        rig.loop.settle();
        stream->close();
        rig.loop.settle();
        byte = kept;
    }
    CHECK(rig.server->connections() == 0);
    CHECK(rig.call(rig.client(), "Test.Double", 1).result().value() == 2);
}

TEST_CASE("rpc: a peer that floods and reads nothing is cut off") {
    Server::Options options;
    options.write_timeout = 5s;
    Rig rig(options);
    auto [near, far] = net::make_pipe(rig.loop.context.loop, 4096);
    rig.server->serve(std::move(far));
    Outgoing outgoing;
    Bytes flood;
    for (std::uint64_t seq = 0; seq < 2000; ++seq) {
        const Bytes call = call_bytes(outgoing, "Test.Nope", seq, 1);
        flood.insert(flood.end(), call.begin(), call.end());
    }
    Started<Result<>> writing(rig.loop, near->write(flood));
    CHECK_FALSE(writing.ended());
    rig.advance(5s);
    CHECK(rig.refused("slow_reader") == 1);
    CHECK(rig.server->connections() == 0);
    near->close();
    rig.loop.settle();
}

TEST_CASE("rpc: drain closes idle streams and lets calls end") {
    Rig rig;
    Client& idle = rig.client();
    CHECK(rig.call(idle, "Test.Double", 1).result());
    Client& busy = rig.client();
    auto call = rig.call(busy, "Test.Wait", 1);
    Started<bool> drained(rig.loop, [](Rig& of) -> Task<bool> {
        co_await of.server->drain(of.clock.now() + 20s);
        co_return true;
    }(rig));
    CHECK(rig.server->connections() == 1);
    CHECK(idle.broken());
    rig.open(1);
    CHECK(call.result().value() == 1);
    CHECK(drained.ended());
    CHECK(rig.server->connections() == 0);
}

TEST_CASE("rpc: a client whose stream ends fails all its calls") {
    net::TestLoop loop;
    auto [near, far] = net::make_pipe(loop.context.loop);
    Client client(loop.context, std::move(near));
    Started<Result<bool>> call(loop, client.call<bool>("Test.A", body_of(true), kNever));
    CHECK_FALSE(call.ended());
    far->close();
    loop.settle();
    REQUIRE(call.ended());
    CHECK(call.result().error() == make_error_code(skywire::errc::closed));
    CHECK(client.broken());
    Started<Result<bool>> later(loop, client.call<bool>("Test.A", body_of(true), kNever));
    CHECK(later.result().error() == make_error_code(skywire::errc::closed));
    loop.run(client.close());
}

TEST_CASE("rpc: a client with a hostile server") {
    const auto outcome = [](const Bytes& answer) {
        net::TestLoop loop;
        auto [near, far] = net::make_pipe(loop.context.loop);
        Client client(loop.context, std::move(near));
        Started<Result<std::uint64_t>> call(
            loop, client.call<std::uint64_t>("Test.A", body_of(true), kNever)
        );
        CHECK(loop.run(far->write(answer)));
        loop.settle();
        const bool broken = client.broken();
        far->close();
        loop.settle();
        REQUIRE(call.ended());
        auto result = call.result();
        loop.run(client.close());
        return std::pair(result, broken);
    };
    Outgoing good;
    Bytes bytes;
    good.append(bytes, Response{"Test.A", 0, {}}, body_of<std::uint64_t>(7));
    CHECK(outcome(bytes).first.value() == 7);

    Outgoing unasked;
    bytes.clear();
    unasked.append(bytes, Response{"Test.A", 1, {}}, body_of<std::uint64_t>(7));
    const auto [answer, broken] = outcome(bytes);
    CHECK(answer.error() == make_error_code(errc::unexpected_answer));
    CHECK(broken);

    // A reply of another kind: the call fails, the stream is as good as before.
    Outgoing wrong;
    bytes.clear();
    wrong.append(bytes, Response{"Test.A", 0, {}}, body_of(true));
    const auto [kind, still_good] = outcome(bytes);
    CHECK(kind.error() == make_error_code(gob::errc::wrong_kind));
    CHECK_FALSE(still_good);

    Outgoing twice;
    bytes.clear();
    twice.append(bytes, Response{"Test.A", 0, {}}, body_of<std::uint64_t>(7));
    twice.append(bytes, Response{"Test.A", 0, {}}, body_of<std::uint64_t>(8));
    CHECK(outcome(bytes).first.value() == 7);

    CHECK(outcome(skywire::test::hex("7fffffff")).first.has_error());
}

}  // namespace skywire::rpc
