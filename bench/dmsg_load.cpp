// Load on a running dmsg-server; bench/run.py starts one and looks at its CPU and memory.
//
//   bench_dmsg transfer SERVER [GB] [streams]      one sender, one receiver, end-to-end encrypted
//   bench_dmsg stall SERVER [streams] [seconds] [stopped]
//                                                  as many busy streams, `stopped` of them not read
//   bench_dmsg sessions SERVER [count] [at a time] sessions made, pinged once and closed
//   bench_dmsg idle SERVER [count]                 sessions held until stdin ends
//   bench_dmsg dial DISCOVERY [count]              streams opened and closed one after another
//   bench_dmsg register DISCOVERY [clients]        clients that start at once
//
// SERVER is KEY@HOST:PORT, DISCOVERY a URL. One line of JSON each; latencies in ms.

#include "bench/load.hpp"
#include "bench/presence.hpp"

#include <atomic>
#include <future>

#include <fmt/format.h>

namespace skywire::bench {
namespace {

constexpr std::size_t kPiece = 256 * 1024;
constexpr std::uint16_t kPort = 80;

double percentile(std::vector<double>& values, double share) {
    std::sort(values.begin(), values.end());
    const double index = share * static_cast<double>(values.size() - 1);
    return values.at(static_cast<std::size_t>(index + 0.5));
}

/// A sender on loop 0 and a receiver on loop 1, each with a session. What is received is counted
/// by stream, in the order in which they came; streams below `stopped` are not read.
class Pair {
 public:
    Pair(World& world, const Target& target)
        : world_(world),
          sender_(world.context(0)),
          receiver_(world.context(1), [this](std::shared_ptr<dmsg::Stream> stream) {
              return receive(std::move(stream));
          }) {
        world.run(1, receiver_.connect(target));
        world.run(0, sender_.connect(target));
        world.run(1, keep_alive(receiver_));
        world.run(0, keep_alive(sender_));
    }
    ~Pair() {
        world_.run(0, sender_.close());
        world_.run(1, receiver_.close());
    }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;

    /// What is read and written at a time; before `open`.
    void set_piece(std::size_t bytes) { piece_ = bytes; }
    void expect(std::size_t bytes) { expected_ = bytes; }
    void stop_reading(std::size_t streams) { stopped_ = streams; }
    void open(std::size_t streams) {
        while (streams_.size() < streams)
            streams_.push_back(world_.run(0, sender_.dial(receiver_.key())));
    }
    /// Each stream sends so much; with 0 for as long as there is a session.
    void send(std::size_t bytes_each) { world_.run(0, start_sending(bytes_each)); }
    void wait_received() { all_.get_future().wait(); }
    std::size_t received() const { return received_.load(std::memory_order_relaxed); }

 private:
    static Task<> keep_alive(Peer& peer) {
        peer.keep_alive();
        co_return;
    }

    Task<> receive(std::shared_ptr<dmsg::Stream> stream) {
        if (came_++ < stopped_) {
            held_.push_back(std::move(stream));
            co_return;
        }
        Bytes buffer(piece_);
        while (true) {
            const auto size = co_await stream->read_some(buffer);
            if (!size || *size == 0) co_return;
            const std::size_t now = received_.fetch_add(*size, std::memory_order_relaxed) + *size;
            if (now == expected_) all_.set_value();
        }
    }

    Task<> start_sending(std::size_t bytes_each) {
        for (const Peer::StreamPtr& stream : streams_) {
            sender_.scope().spawn("send", [to = stream.get(), bytes_each, piece = piece_] {
                return send_one(*to, bytes_each, piece);
            });
        }
        co_return;
    }
    static Task<> send_one(net::Stream& to, std::size_t bytes, std::size_t piece) {
        const Bytes buffer(piece);
        const bool endless = bytes == 0;
        while (endless || bytes > 0) {
            const std::size_t size = endless ? piece : std::min(bytes, piece);
            const auto written = co_await to.write(ByteSpan(buffer).first(size));
            if (!written) co_return;
            bytes -= endless ? 0 : size;
        }
    }

    World& world_;
    std::vector<Peer::StreamPtr> streams_;
    std::vector<std::shared_ptr<dmsg::Stream>> held_;
    std::atomic<std::size_t> received_{0};
    std::size_t piece_ = kPiece;
    std::size_t expected_ = 0;
    std::size_t came_ = 0;
    std::size_t stopped_ = 0;
    std::promise<void> all_;
    Peer sender_;
    Peer receiver_;
};

void transfer(const Target& target, double gigabytes, std::size_t streams) {
    World world(2);
    Pair pair(world, target);
    const std::size_t each = static_cast<std::size_t>(gigabytes * 1e9) / streams;
    pair.expect(each * streams);
    pair.open(streams);
    const double sender = world.run(0, thread_cpu());
    const double receiver = world.run(1, thread_cpu());
    const double began = wall_seconds();
    pair.send(each);
    pair.wait_received();
    const double took = wall_seconds() - began;
    const auto bytes = static_cast<double>(each * streams);
    fmt::print(
        R"({{"bytes": {}, "mb_per_s": {:.1f}, "sender_s_per_gb": {:.3f}, )"
        R"("receiver_s_per_gb": {:.3f}}})"
        "\n",
        each * streams,
        bytes / took / 1e6,
        (world.run(0, thread_cpu()) - sender) / bytes * 1e9,
        (world.run(1, thread_cpu()) - receiver) / bytes * 1e9
    );
}

Task<> pause(World& world, Duration duration) {
    co_await net::sleep_for(world.clock, duration);
}

void stall(const Target& target, std::size_t streams, double seconds, std::size_t stopped) {
    constexpr std::size_t kSmallPiece = 16 * 1024;
    World world(2);
    Pair pair(world, target);
    pair.set_piece(kSmallPiece);
    pair.stop_reading(stopped);
    pair.open(streams);
    pair.send(0);
    // Until every window is full that will be.
    world.run(0, pause(world, std::chrono::seconds(1)));
    const std::size_t before = pair.received();
    const double began = wall_seconds();
    const auto duration = std::chrono::duration<double>(seconds);
    world.run(0, pause(world, std::chrono::duration_cast<Duration>(duration)));
    const auto bytes = static_cast<double>(pair.received() - before);
    const double took = wall_seconds() - began;
    fmt::print(
        R"({{"streams": {}, "mb_per_s": {:.1f}}})"
        "\n",
        streams,
        bytes / took / 1e6
    );
}

/// Makes `count` sessions, so many at a time.
class Crowd {
 public:
    Crowd(World& world, Target target, std::size_t count)
        : context_(world.context(0)),
          target_(std::move(target)),
          peers_(count),
          scope_(context_.loop) {}

    /// Ends with all of them made; closed ones where they are not kept.
    Task<> come(std::size_t at_a_time, bool keep) {
        for (std::size_t i = 0; i < at_a_time; ++i)
            scope_.spawn("maker", [this, keep] { return make(keep); });
        co_await scope_.wait_empty();
    }
    Task<> keep_alive() {
        scope_.spawn("tick", [this] { return tick(); });
        co_return;
    }
    Task<> leave() {
        const auto now = context_.clock.now();
        co_await scope_.close(context_.clock, now, now + std::chrono::seconds(1));
        for (const auto& peer : peers_)
            if (peer) co_await peer->close();
    }

 private:
    Task<> make(bool keep) {
        while (next_ < peers_.size()) {
            auto& peer = peers_[next_++];
            peer = std::make_unique<Peer>(context_);
            co_await peer->connect(target_);
            // Its answer tells that the server has the session.
            need(co_await peer->session().mux().ping(), "ping");
            if (keep) continue;
            co_await peer->close();
            peer.reset();
        }
    }
    Task<> tick() {
        do {
            const SteadyTime now = context_.clock.now();
            for (const auto& peer : peers_)
                peer->session().mux().tick(now);
        } while (co_await net::sleep_for(context_.clock, Peer::kTick));
    }

    net::Context context_;
    Target target_;
    std::vector<std::unique_ptr<Peer>> peers_;
    std::size_t next_ = 0;
    net::Scope scope_;
};

void sessions(const Target& target, std::size_t count, std::size_t at_a_time) {
    World world(1);
    Crowd crowd(world, target, count);
    const double began = wall_seconds();
    world.run(0, crowd.come(at_a_time, /*keep=*/false));
    const double took = wall_seconds() - began;
    fmt::print(
        R"({{"sessions": {}, "sessions_per_s": {:.0f}}})"
        "\n",
        count,
        static_cast<double>(count) / took
    );
    world.run(0, crowd.leave());
}

void idle(const Target& target, std::size_t count) {
    World world(1);
    Crowd crowd(world, target, count);
    world.run(0, crowd.come(/*at_a_time=*/32, /*keep=*/true));
    world.run(0, crowd.keep_alive());
    fmt::print(
        R"({{"sessions": {}}})"
        "\n",
        count
    );
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    world.run(0, crowd.leave());
}

/// Holds a stream until the other side is done with it.
Task<> hold(std::shared_ptr<net::Stream> stream) {
    Bytes buffer(1);
    (void)co_await stream->read_some(buffer);
    stream->close();
}

Task<std::vector<double>> dial_again_and_again(
    dmsg::Client& client, dmsg::Address to, std::size_t count
) {
    std::vector<double> took;
    for (std::size_t i = 0; i <= count; ++i) {
        const double began = wall_seconds();
        const auto stream = need(co_await client.dial(to), "dial");
        // The first one has looked the entry up.
        if (i > 0) took.push_back((wall_seconds() - began) * 1e3);
        stream->close();
    }
    co_return took;
}

Task<std::unique_ptr<Presence>> appear(net::Context context, std::string discovery) {
    auto presence = std::make_unique<Presence>(context, discovery);
    need(co_await presence->start(), "client");
    co_return presence;
}

Task<> disappear(std::unique_ptr<Presence> presence, std::unique_ptr<Service> service) {
    if (service) co_await service->stop();
    service.reset();
    co_await presence->stop();
}

Task<std::unique_ptr<Service>> offer(net::Context context, dmsg::Client& client) {
    co_return std::make_unique<Service>(context, client, kPort, hold);
}

void dial(const std::string& discovery, std::size_t count) {
    World world(2);
    auto near = world.run(0, appear(world.context(0), discovery));
    auto far = world.run(1, appear(world.context(1), discovery));
    auto service = world.run(1, offer(world.context(1), far->client()));
    const dmsg::Address to{far->key(), kPort};
    auto took = world.run(0, dial_again_and_again(near->client(), to, count));
    fmt::print(
        R"({{"streams": {}, "p50_ms": {:.3f}, "p99_ms": {:.3f}}})"
        "\n",
        count,
        percentile(took, 0.5),
        percentile(took, 0.99)
    );
    world.run(0, disappear(std::move(near), nullptr));
    world.run(1, disappear(std::move(far), std::move(service)));
}

void register_clients(const std::string& discovery, std::size_t count) {
    World world(1);
    std::vector<std::unique_ptr<Presence>> crowd(count);
    std::vector<double> took;
    const auto all = [&](bool come) -> Task<> {
        net::Scope scope(world.loops.at(0));
        const double began = wall_seconds();
        for (auto& presence : crowd) {
            scope.spawn("client", [&, come]() -> Task<> {
                if (!come) {
                    co_await presence->stop();
                    presence.reset();
                    co_return;
                }
                presence = std::make_unique<Presence>(world.context(0), discovery);
                need(co_await presence->start(), "client");
                took.push_back((wall_seconds() - began) * 1e3);
            });
        }
        co_await scope.wait_empty();
    };
    world.run(0, all(/*come=*/true));
    fmt::print(
        R"({{"clients": {}, "p50_ms": {:.1f}, "p99_ms": {:.1f}}})"
        "\n",
        count,
        percentile(took, 0.5),
        percentile(took, 0.99)
    );
    world.run(0, all(/*come=*/false));
}

int run(const std::vector<std::string>& arguments) {
    const auto text = [&](std::size_t index, const char* otherwise) {
        return arguments.size() > index ? arguments[index] : std::string(otherwise);
    };
    const auto number = [&](std::size_t index, const char* otherwise) {
        return std::stoul(text(index, otherwise));
    };
    const std::string what = text(0, "");
    if (arguments.size() < 2) give_up("usage", "bench_dmsg WHAT SERVER [FIGURES]; see the source");
    const std::string& whom = arguments[1];
    if (what == "transfer") {
        transfer(Target::parse(whom), std::stod(text(2, "4")), number(3, "8"));
    } else if (what == "stall") {
        stall(Target::parse(whom), number(2, "1000"), std::stod(text(3, "4")), number(4, "0"));
    } else if (what == "sessions") {
        sessions(Target::parse(whom), number(2, "2000"), number(3, "8"));
    } else if (what == "idle") {
        idle(Target::parse(whom), number(2, "10000"));
    } else if (what == "dial") {
        dial(whom, number(2, "2000"));
    } else if (what == "register") {
        register_clients(whom, number(2, "1000"));
    } else {
        give_up("unknown", what);
    }
    return 0;
}

}  // namespace
}  // namespace skywire::bench

int main(int argc, char** argv) {
    return skywire::bench::run(std::vector<std::string>(argv + 1, argv + argc));
}
