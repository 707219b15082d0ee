// A server with three event loops, and clients that speak half of every protocol, break off in the
// middle, come back under the same key and never read, all at once, while honest ones use it. What
// the sanitizers look at.

#include "dmsg/server.hpp"
#include "dmsg/server/server_threads_rig.hpp"
#include "http/websocket.hpp"
#include "mux/smux.hpp"
#include "mux/yamux.hpp"
#include "noise/record.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::append;
using test::kServerKeys;
using test::TestClient;
namespace smux = mux::smux;
namespace yamux = mux::yamux;

ServerOptions siege_options() {
    ServerOptions options = test::server_options();
    options.limits.new_sessions_per_key_per_minute = 0;
    return options;
}

class Siege : public test::ThreadsRig {
 public:
    Siege() : ThreadsRig(3, siege_options()) {}

    /// A connection behind its handshake, in the hands of who speaks in frames.
    Task<Handshaken> break_in(std::string seed) {
        auto handshaken = co_await handshake_as_client(
            loop.context,
            co_await carrier(),
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
};

/// Says it and hangs up; reads a little where `listens`.
Task<> say(net::Stream& stream, Bytes bytes, bool listens) {
    (void)co_await stream.write(bytes);
    Bytes heard(64);
    if (listens) (void)co_await stream.read_some(heard);
    stream.close();
}

Task<> knock(Siege& siege, unsigned round) {
    auto stream = co_await siege.carrier();
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
        siege.loop.context, co_await siege.carrier(), siege.address.to_string(), "/dmsg"
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
