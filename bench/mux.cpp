// What a relay through two multiplexed sessions costs: sender -> [session | relay | session] ->
// receiver over loopback TCP, each of the three on a thread of its own. CPU is the relay thread's.
//
//   bench_mux relay [GB] [streams] [yamux|smux]   payload by reference, window given back as taken
//   bench_mux bare [GB]                           the same bytes copied without sessions: the bound
//   bench_mux idle [sessions]                     user memory of a session with nothing to do
//
// One line of JSON each.

#include "base/fault.hpp"
#include "base/metrics.hpp"
#include "base/random.hpp"
#include "mux/session.hpp"
#include "net/event.hpp"
#include "net/event_loops.hpp"
#include "net/scope.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <future>
#include <string>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <malloc.h>

using namespace skywire;

namespace {

constexpr std::size_t kPiece = 64 * 1024;

double seconds_of(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct World {
    explicit World(std::size_t threads) : loops(threads), workers(1, 1) {}

    net::Context context(std::size_t loop) {
        return {loops.at(loop), clock, random, network, workers, metrics, faults, log::Logger()};
    }
    /// Runs the task on a loop and waits for it.
    void run(std::size_t loop, Task<> task) {
        std::promise<void> ended;
        asio::co_spawn(loops.at(loop), std::move(task), [&](std::exception_ptr error) {
            if (error) std::rethrow_exception(error);
            ended.set_value();
        });
        ended.get_future().wait();
    }

    net::EventLoops loops;
    net::WorkerPool workers;
    SystemClock clock;
    SystemRandom random;
    net::SystemNetwork network;
    MetricRegistry metrics;
    Faults faults;
};

struct Link {
    std::unique_ptr<net::Stream> dialled;
    std::unique_ptr<net::Stream> accepted;
};

/// A TCP connection whose ends belong to two loops.
Task<> connect(World& world, std::size_t from, std::size_t to, Link& link) {
    auto listener = world.network.listen(world.loops.at(to), net::Address::tcp("127.0.0.1", 0));
    const net::Address address = listener.value()->local();
    link.dialled = (co_await world.network.dial(world.loops.at(from), address)).value();
    link.accepted = (co_await listener.value()->accept()).value();
}

Task<double> thread_cpu() {
    co_return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

/// An owner that ends the program where its session ends early.
struct Owner : mux::Session::Owner {
    void on_stream(std::unique_ptr<mux::Stream>) override {}
    void on_end(const Error& reason) override {
        if (!done) std::fprintf(stderr, "session ended: %s\n", reason.message().c_str());
    }
    std::unique_ptr<mux::Session> session;
    bool done = false;
};

/// One end of a relayed stream: what comes in here is pushed there.
struct End final : mux::Stream::Observer {
    explicit End(std::unique_ptr<mux::Stream> stream_in) : stream(std::move(stream_in)) {}
    void on_readable() override {
        if (stream->received() > 0) other->stream->push(stream->take_received());
        if (stream->finished()) other->stream->close();
    }
    void on_taken(std::size_t bytes) override { other->stream->consumed(bytes); }
    void on_lost(const Error&) override {}
    std::unique_ptr<mux::Stream> stream;
    End* other = nullptr;
};

struct Relay final : Owner {
    void on_stream(std::unique_ptr<mux::Stream> stream) override {
        ends.push_back(std::make_unique<End>(std::move(stream)));
        ends.push_back(std::make_unique<End>(outgoing->session->open().value()));
        End& in = *ends[ends.size() - 2];
        End& out = *ends.back();
        in.other = &out;
        out.other = &in;
        in.stream->observe(&in);
        out.stream->observe(&out);
    }
    Owner* outgoing = nullptr;
    std::vector<std::unique_ptr<End>> ends;
};

struct Receiver final : Owner {
    explicit Receiver(Executor loop) : scope(std::move(loop)) {}
    void on_stream(std::unique_ptr<mux::Stream> stream) override {
        streams.push_back(std::move(stream));
        scope.spawn("read", [this, from = streams.back().get()] { return read(*from); });
    }
    Task<> read(mux::Stream& from) {
        while (received < expected) {
            const auto part = co_await from.read_queue();
            if (!part || part->empty()) co_return;
            received += part->size();
        }
        all.set_value();
    }
    std::vector<std::unique_ptr<mux::Stream>> streams;
    net::Scope scope;
    std::size_t received = 0;
    std::size_t expected = 0;
    std::promise<void> all;
};

Task<> send(mux::Session& session, std::size_t bytes, net::Scope& scope, std::size_t streams) {
    const auto one = [&session](std::size_t count) -> Task<> {
        const auto stream = session.open().value();
        const Bytes piece(kPiece);
        for (; count > 0; count -= kPiece) {
            const auto written = co_await stream->write(piece);
            if (!written) co_return;
        }
        stream->close();
    };
    for (std::size_t i = 0; i < streams; ++i)
        scope.spawn("send", [&one, share = bytes / streams] { return one(share); });
    co_await scope.wait_empty();
}

template <class Result>
Result on(World& world, std::size_t loop, Task<Result> task) {
    return asio::co_spawn(world.loops.at(loop), std::move(task), asio::use_future).get();
}

void print(const char* what, double bytes, double cpu, double wall) {
    std::printf(
        "{\"bench\": \"%s\", \"relay_cpu_s_per_gb\": %.3f, \"mb_per_s\": %.0f}\n",
        what,
        cpu / bytes * 1e9,
        bytes / wall / 1e6
    );
}

void start(
    World& world,
    std::size_t loop,
    Owner& owner,
    std::unique_ptr<net::Stream> carrier,
    mux::Role role,
    mux::Protocol protocol
) {
    const auto work = [&]() -> Task<> {
        mux::Session::Options options;
        options.core.role = role;
        options.protocol = protocol;
        owner.session = std::make_unique<mux::Session>(
            world.context(loop), std::move(carrier), std::move(options), owner
        );
        co_return;
    };
    world.run(loop, work());
}

void stop(World& world, std::size_t loop, Owner& owner) {
    owner.done = true;
    const auto work = [&]() -> Task<> {
        co_await owner.session->close();
        owner.session.reset();
    };
    world.run(loop, work());
}

void relay(std::size_t bytes, std::size_t streams, mux::Protocol protocol) {
    World world(3);
    world.loops.start();
    Owner sender;
    Relay incoming;
    Owner outgoing;
    Receiver receiver(world.loops.at(2));
    Link first;
    Link second;
    world.run(1, connect(world, 0, 1, first));
    world.run(2, connect(world, 1, 2, second));
    incoming.outgoing = &outgoing;
    receiver.expected = bytes / streams / kPiece * kPiece * streams;
    bytes = receiver.expected;
    start(world, 2, receiver, std::move(second.accepted), mux::Role::server, protocol);
    start(world, 1, outgoing, std::move(second.dialled), mux::Role::client, protocol);
    start(world, 1, incoming, std::move(first.accepted), mux::Role::server, protocol);
    start(world, 0, sender, std::move(first.dialled), mux::Role::client, protocol);

    net::Scope sending(world.loops.at(0));
    const double cpu = on(world, 1, thread_cpu());
    const double wall = seconds_of(CLOCK_MONOTONIC);
    world.run(0, send(*sender.session, bytes, sending, streams));
    receiver.all.get_future().wait();
    const double wall_spent = seconds_of(CLOCK_MONOTONIC) - wall;
    print("relay", static_cast<double>(bytes), on(world, 1, thread_cpu()) - cpu, wall_spent);

    incoming.done = outgoing.done = receiver.done = true;
    stop(world, 0, sender);
    stop(world, 1, incoming);
    stop(world, 1, outgoing);
    stop(world, 2, receiver);
    world.run(2, receiver.scope.wait_empty());
    world.loops.join();
}

Task<> copy(net::Stream& from, net::Stream* to, std::size_t bytes) {
    Bytes buffer(kPiece);
    while (bytes > 0) {
        const auto size = co_await from.read_some(buffer);
        if (!size || *size == 0) co_return;
        bytes -= *size;
        if (to == nullptr) continue;
        const auto written = co_await to->write(ByteSpan(buffer).first(*size));
        if (!written) co_return;
    }
}

Task<> fill(net::Stream& to, std::size_t bytes) {
    const Bytes piece(kPiece);
    for (; bytes > 0; bytes -= kPiece) {
        const auto written = co_await to.write(piece);
        if (!written) co_return;
    }
}

void bare(std::size_t bytes) {
    World world(3);
    world.loops.start();
    Link first;
    Link second;
    world.run(1, connect(world, 0, 1, first));
    world.run(2, connect(world, 1, 2, second));
    bytes = bytes / kPiece * kPiece;
    const double cpu = on(world, 1, thread_cpu());
    const double wall = seconds_of(CLOCK_MONOTONIC);
    auto sent = asio::co_spawn(world.loops.at(0), fill(*first.dialled, bytes), asio::use_future);
    auto copied = asio::co_spawn(
        world.loops.at(1), copy(*first.accepted, second.dialled.get(), bytes), asio::use_future
    );
    world.run(2, copy(*second.accepted, nullptr, bytes));
    sent.wait();
    copied.wait();
    const double wall_spent = seconds_of(CLOCK_MONOTONIC) - wall;
    print("bare", static_cast<double>(bytes), on(world, 1, thread_cpu()) - cpu, wall_spent);
    world.loops.join();
}

/// A carrier on which nothing ever comes.
class Silence final : public net::Stream {
 public:
    explicit Silence(Executor loop) : closed_(std::move(loop)) {}
    Task<Result<std::size_t>> read_some(std::span<std::byte>) override {
        co_await closed_.wait();
        co_return fail(errc::closed, {});
    }
    Task<Result<>> write(ByteSpan, ByteSpan) override { co_return Result<>(); }
    Task<Result<>> wait_readable() override {
        co_await closed_.wait();
        co_return fail(errc::closed, {});
    }
    void close() noexcept override { closed_.notify(); }
    const net::Address& local() const noexcept override { return address_; }
    const net::Address& remote() const noexcept override { return address_; }

 private:
    net::Event closed_;
    static inline const net::Address address_;
};

std::size_t allocated() {
    return ::mallinfo2().uordblks;
}

void idle(std::size_t count) {
    World world(1);
    Owner owner;
    owner.done = true;
    asio::io_context& loop = world.loops.context(0);
    std::vector<std::unique_ptr<net::Stream>> carriers(count);
    std::vector<std::unique_ptr<mux::Session>> sessions(count);
    for (auto& carrier : carriers)
        carrier = std::make_unique<Silence>(world.loops.at(0));
    const std::size_t before = allocated();
    const auto settle = [&loop] {
        while (loop.poll() > 0) {
        }
    };
    for (std::size_t i = 0; i < count; ++i) {
        sessions[i] = std::make_unique<mux::Session>(
            world.context(0), std::move(carriers[i]), mux::Session::Options(), owner
        );
    }
    settle();
    const std::size_t fresh = allocated() - before;
    // A ping each, and what is kept for writing is gone again two ticks later.
    SteadyTime now = world.clock.now() + std::chrono::seconds(6);
    for (int tick = 0; tick < 4; ++tick, now += std::chrono::milliseconds(250)) {
        for (const auto& session : sessions)
            session->tick(now);
        settle();
    }
    const std::size_t later = allocated() - before;
    std::printf(
        "{\"bench\": \"idle\", \"sessions\": %zu, \"bytes_per_session\": %zu, "
        "\"bytes_after_a_ping\": %zu}\n",
        count,
        fresh / count,
        later / count
    );
    for (const auto& session : sessions)
        asio::co_spawn(loop, session->close(), [](std::exception_ptr) {});
    settle();
    sessions.clear();
}

}  // namespace

int main(int argc, char** argv) {
    const auto argument = [&](int index, const char* otherwise) -> std::string {
        return argc > index ? argv[index] : otherwise;
    };
    const std::string what = argument(1, "relay");
    if (what == "idle") {
        idle(std::stoul(argument(2, "10000")));
        return 0;
    }
    const auto bytes = static_cast<std::size_t>(std::stod(argument(2, "4")) * 1e9);
    if (what == "bare") {
        bare(bytes);
        return 0;
    }
    const bool smux = argument(4, "yamux") == "smux";
    relay(bytes, std::stoul(argument(3, "8")), smux ? mux::Protocol::smux : mux::Protocol::yamux);
}
