// A server with three event loops, and clients that speak half of every protocol, break off in the
// middle, come back under the same key and never read, all at once, while honest ones use it. What
// the sanitizers look at.

#include "dmsg/server.hpp"
#include "dmsg/server/server_rig.hpp"
#include "http/websocket.hpp"
#include "mux/smux.hpp"
#include "mux/yamux.hpp"
#include "net/event_loops.hpp"
#include "noise/record.hpp"

#include <future>

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::FakeDiscovery;
using test::TestClient;
namespace smux = mux::smux;
namespace yamux = mux::yamux;

const crypto::KeyPair kServerKeys = crypto::deterministic_key_pair("server");

/// Starts a coroutine on another thread's loop.
template <class T>
std::future<T> start_there(const Executor& loop, std::function<Task<T>()> work) {
    struct Call {
        std::function<Task<T>()> work;
        std::promise<T> promise;
    };
    const auto call = std::make_shared<Call>(Call{std::move(work), {}});
    auto future = call->promise.get_future();
    asio::post(loop, [loop, call] {
        asio::co_spawn(loop, call->work(), [call](std::exception_ptr error, T value) {
            if (error) {
                call->promise.set_exception(error);
            } else {
                call->promise.set_value(std::move(value));
            }
        });
    });
    return future;
}

template <class Array>
void append(Bytes& bytes, const Array& frame) {
    bytes.insert(bytes.end(), frame.begin(), frame.end());
}

struct Siege {
    Siege() : loops(3) {
        loops.start();
        start_there<bool>(loops.at(0), [this] { return begin(); }).get();
    }
    ~Siege() {
        for (const auto& client : clients)
            loop.run(client->close());
        CHECK(stop().get().empty());
        start_there<bool>(loops.at(0), [this]() -> Task<bool> {
            server.reset();
            co_return true;
        }).get();
        loops.join();
    }

    Task<bool> begin() {
        ServerOptions options(kServerKeys);
        for (std::size_t i = 0; i < loops.size(); ++i)
            options.loops.push_back(loops.at(i));
        options.address = "127.0.0.1:1";
        options.limits.new_sessions_per_key_per_minute = 0;
        net::Context context = loop.context;
        context.loop = loops.at(0);
        auto listener =
            context.network.listen(context.loop, net::Address::tcp("127.0.0.1", 0)).value();
        address = listener->local();
        server.emplace(context, std::move(options), std::make_unique<FakeDiscovery>(discovery));
        server->start([] {});
        server->serve(std::move(listener));
        co_return true;
    }

    std::future<std::vector<std::string>> stop() {
        return start_there<std::vector<std::string>>(loops.at(0), [this] {
            return server->stop(loop.context.clock.now() + 20s);
        });
    }

    TestClient& add(std::string_view seed) {
        clients.push_back(std::make_unique<TestClient>(loop.context, seed));
        loop.run(join(*clients.back()));
        return *clients.back();
    }

    Task<> join(TestClient& client) {
        auto carrier = co_await dial();
        const auto connected = co_await client.connect(std::move(carrier), kServerKeys.public_key);
        CHECK(connected);
        // The server enters the session a moment after the client's handshake has ended.
        CHECK(co_await client.session().mux().ping());
    }

    Task<std::unique_ptr<net::Stream>> dial() {
        auto stream = co_await loop.context.network.dial(loop.context.loop, address);
        if (!stream) throw ErrorException(stream.error());
        co_return std::move(*stream);
    }

    /// A connection behind its handshake, in the hands of who speaks in frames.
    Task<Handshaken> break_in(std::string seed) {
        auto handshaken = co_await handshake_as_client(
            loop.context,
            co_await dial(),
            crypto::deterministic_key_pair(seed),
            kServerKeys.public_key
        );
        if (!handshaken) throw ErrorException(handshaken.error());
        co_return std::move(*handshaken);
    }

    /// A request of that key to the other, as it stands behind the mux: length and record.
    Bytes request(noise::ObjectBox& box, std::string_view seed, const crypto::PublicKey& to) {
        const auto keys = crypto::deterministic_key_pair(seed);
        auto handshake =
            noise::Handshake::make(noise::Pattern::kk, noise::Role::initiator, keys, to).value();
        StreamRequest request;
        request.timestamp = loop.context.clock.wall().time_since_epoch().count();
        request.source = {keys.public_key, 50'000};
        request.destination = {to, 80};
        request.noise_message = handshake.write_message(loop.context.random).value();
        const auto object = SignedObject::sign(encode(request), keys.secret_key);
        const Bytes record = box.seal(object.bytes()).value();
        Bytes framed{std::byte(record.size() >> 8), std::byte(record.size() & 0xff)};
        append(framed, record);
        return framed;
    }

    net::TestLoop loop;
    net::EventLoops loops;
    test::DiscoveryState discovery;
    net::Address address;
    std::optional<Server> server;
    std::vector<std::unique_ptr<TestClient>> clients;
};

/// Says it and hangs up; reads a little where `listens`.
Task<> say(net::Stream& stream, Bytes bytes, bool listens) {
    (void)co_await stream.write(bytes);
    Bytes heard(64);
    if (listens) (void)co_await stream.read_some(heard);
    stream.close();
}

Task<> knock(Siege& siege, unsigned round) {
    auto stream = co_await siege.dial();
    Bytes bytes;
    switch (round % 5) {
        case 0:
            append(bytes, as_bytes("PROXY TCP4 203.0.113.7 127.0.0.1 40000 8081\r\n"));
            bytes.resize(bytes.size() + 1);
            break;
        case 1:
            // Half a handshake's first message.
            bytes = {std::byte{0}, std::byte{0x31}, std::byte{2}};
            break;
        case 2:
            // A whole one that is no point.
            bytes = test::pattern(51, round);
            bytes[0] = std::byte{0};
            bytes[1] = std::byte{0x31};
            break;
        case 3:
            append(bytes, as_bytes("GET /dmsg HTTP/1.1\r\nUpgrade: websocket\r\n"));
            break;
        case 4:
            bytes = test::pattern(300, round);
            break;
    }
    // What is refused is answered with the end.
    const bool refused = round % 5 == 2 || round % 5 == 4;
    co_await say(*stream, std::move(bytes), refused && round % 2 == 0);
}

/// Streams without a byte, in numbers; then nothing, a violation, or the end.
Task<> flood(Siege& siege, unsigned round) {
    auto handshaken = co_await siege.break_in("flood");
    Bytes bytes;
    for (mux::StreamId id = 1; id < 6001; id += 2)
        append(bytes, yamux::encode({yamux::Type::window_update, yamux::kSyn, id, 0}));
    if (round % 3 == 0) append(bytes, yamux::encode({yamux::Type::data, 0, 1, 1u << 20}));
    if (round % 3 == 1) append(bytes, yamux::encode({yamux::Type::go_away, 0, 0, 2}));
    co_await say(*handshaken.carrier, std::move(bytes), round % 2 == 0);
}

/// Dials the victim with real requests and goes at once, answered or not, with one key for all.
Task<> hit_and_run(Siege& siege, crypto::PublicKey victim, unsigned round) {
    auto handshaken = co_await siege.break_in("runner");
    noise::ObjectBox box(handshaken.keys);
    Bytes bytes;
    for (mux::StreamId id = 1; id < 16; id += 2) {
        const Bytes request = siege.request(box, "runner", victim);
        const auto size = static_cast<std::uint32_t>(request.size());
        const std::uint16_t fin = round % 2 == 0 && id > 8 ? yamux::kFin : 0;
        append(
            bytes,
            yamux::encode(
                {yamux::Type::data, static_cast<std::uint16_t>(yamux::kSyn | fin), id, size}
            )
        );
        append(bytes, request);
        if (round % 3 == 0)
            append(bytes, yamux::encode({yamux::Type::window_update, yamux::kRst, id, 0}));
    }
    co_await say(*handshaken.carrier, std::move(bytes), round % 4 != 0);
}

/// The same over smux, with a window of nothing.
Task<> starve(Siege& siege, crypto::PublicKey victim) {
    auto handshaken = co_await siege.break_in("starving");
    noise::ObjectBox box(handshaken.keys);
    Bytes bytes;
    for (mux::StreamId id = 3; id < 19; id += 2) {
        append(bytes, smux::encode({smux::Command::syn, 0, id}));
        append(bytes, smux::encode(id, smux::Update{0, 0}));
        const Bytes request = siege.request(box, "starving", victim);
        append(bytes, smux::encode({smux::Command::psh, std::uint16_t(request.size()), id}));
        append(bytes, request);
    }
    // The server has nothing to say to it.
    co_await say(*handshaken.carrier, std::move(bytes), /*listens=*/false);
}

/// A session inside a WebSocket that is cut off below.
Task<> browse(Siege& siege) {
    auto upgraded = co_await http::open_websocket(
        siege.loop.context, co_await siege.dial(), siege.address.to_string(), "/dmsg"
    );
    if (!upgraded) co_return;
    auto handshaken = co_await handshake_as_client(
        siege.loop.context,
        std::move(*upgraded),
        crypto::deterministic_key_pair("browser"),
        kServerKeys.public_key
    );
    if (!handshaken) co_return;
    Bytes bytes;
    append(bytes, yamux::encode({yamux::Type::ping, yamux::kSyn, 0, 7}));
    co_await say(*handshaken->carrier, std::move(bytes), /*listens=*/true);
}

/// One attacker after another.
Task<> besiege(Siege& siege, crypto::PublicKey victim, unsigned first, std::size_t& done) {
    for (unsigned round = first; round < first + 12; ++round) {
        try {
            switch (round % 6) {
                case 0:
                case 1:
                    co_await knock(siege, round);
                    break;
                case 2:
                    co_await flood(siege, round);
                    break;
                case 3:
                    co_await hit_and_run(siege, victim, round);
                    break;
                case 4:
                    co_await starve(siege, victim);
                    break;
                case 5:
                    co_await browse(siege);
                    break;
            }
        } catch (const ErrorException&) {
            // Refused at the door, or replaced by the next one of the same key: both are right.
        }
    }
    ++done;
}

Task<> send(net::Stream& stream, std::size_t& done) {
    CHECK(co_await test::write_bytes(stream, test::pattern(3'000'000)));
    ++done;
}

Task<> check(net::Stream& stream, std::size_t& done) {
    const auto read = co_await test::read_exactly(stream, 3'000'000);
    CHECK(read.has_value());
    if (read) CHECK(*read == test::pattern(3'000'000));
    ++done;
}

template <class Work>
void spawn(net::TestLoop& loop, Work work) {
    asio::co_spawn(loop.ioc, std::move(work), [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    });
}

}  // namespace

TEST_CASE("server: honest clients get their bytes through while others do their worst") {
    Siege siege;
    TestClient& a = siege.add("a");
    TestClient& b = siege.add("b");
    TestClient& victim = siege.add("victim");
    auto near = siege.loop.run(a.dial(b.key())).value();
    std::unique_ptr<Stream> far;
    siege.loop.run([](TestClient& at, std::unique_ptr<Stream>& into) -> Task<> {
        into = co_await at.accept();
    }(b, far));
    std::size_t honest = 0;
    std::size_t hostile = 0;
    spawn(siege.loop, send(*near, honest));
    spawn(siege.loop, check(*far, honest));
    for (unsigned first = 0; first < 8; ++first)
        spawn(siege.loop, besiege(siege, victim.key(), first, hostile));
    siege.loop.run_until([&] { return honest == 2 && hostile == 8; });
    CHECK_FALSE(a.ended());
    CHECK_FALSE(b.ended());
    CHECK_FALSE(victim.ended());
    CHECK(siege.loop.run(a.dial(b.key())));
}

TEST_CASE("server: is stopped under siege") {
    Siege siege;
    TestClient& victim = siege.add("victim");
    std::size_t hostile = 0;
    for (unsigned first = 0; first < 6; ++first)
        spawn(siege.loop, besiege(siege, victim.key(), first, hostile));
    // Some of each kind have come.
    siege.loop.run_until([&] {
        return siege.loop.metrics.counter("dmsg_server_vm_session_success_total", "").value() > 12;
    });
    auto stopped = siege.stop();
    siege.loop.run(victim.wait_ended());
    siege.loop.run_until([&] { return hostile == 6; });
    CHECK(stopped.get().empty());
}

}  // namespace skywire::dmsg
