// The complete TCP bytes of recorded sessions, in both roles: what ours says is what the recorded
// program said, byte for byte; where a new signature makes that impossible, all but the signature.

#include "dmsg/stream.hpp"
#include "dmsg/test_party.hpp"
#include "dmsg/test_recording.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::Party;
using test::Recording;
using test::Started;
using test::WirePeer;
using test::World;

using Opened = Started<Result<std::unique_ptr<Stream>>>;

enum class Side { client, server };

/// One leg of a recording, of which we are one side and a scripted peer is the other.
class Replay {
 public:
    Replay(const char* file, std::string who, Side side)
        : recording(file), world(recording.time()), who_(std::move(who)), side_(side) {
        auto [ours, theirs] = net::make_pipe(world.context.loop, /*buffer_bytes=*/1 << 16);
        peer.emplace(world.loop, std::move(theirs));
        const auto server = recording.keys("server");
        if (side == Side::client) {
            world.random.next(recording.ephemeral(who_ + "_session_client"));
            handshake_.emplace(
                world.loop,
                handshake_as_client(
                    world.context, std::move(ours), recording.keys(who_), server.public_key
                )
            );
        } else {
            world.random.next(recording.ephemeral(who_ + "_session_server"));
            handshake_.emplace(
                world.loop, handshake_as_server(world.context, std::move(ours), server)
            );
        }
    }

    /// All bytes of one direction.
    Bytes raw(Side from) const {
        return recording.bytes(
            who_ + "_leg", from == Side::client ? "client_to_server_raw" : "server_to_client_raw"
        );
    }

    const json::object& event(std::size_t index) const {
        return recording.events(who_ + "_leg").at(index).as_object();
    }
    Bytes bytes(std::size_t index) const {
        return skywire::test::hex(event(index).at("bytes").as_string());
    }
    bool is_ours(std::size_t index) const {
        const bool client = event(index).at("dir").as_string() == "client->server";
        return client == (side_ == Side::client);
    }
    Bytes plaintext(std::size_t index) const {
        return skywire::test::hex(event(index).at("object").as_object().at("plaintext").as_string()
        );
    }
    SignedObject object(std::size_t index) const {
        return SignedObject::from_bytes(plaintext(index)).value();
    }

    /// The peer says its events of [first, last], in pieces.
    void hear(std::size_t first, std::size_t last, std::size_t piece = SIZE_MAX) {
        for (std::size_t i = first; i <= last; ++i) {
            if (!is_ours(i)) peer->send(bytes(i), piece);
        }
    }

    /// Ours of [first, last] have been said, exactly.
    void check_said(std::size_t first, std::size_t last) {
        Bytes expected;
        for (std::size_t i = first; i <= last; ++i) {
            if (is_ours(i)) expected = test::concat(expected, bytes(i));
        }
        world.loop.settle();
        CHECK(to_hex(peer->take()) == to_hex(expected));
    }

    /// After the handshake; false where it failed.
    bool begin_session(mux::Protocol protocol) {
        Session::Options options;
        options.role = side_ == Side::client ? mux::Role::client : mux::Role::server;
        options.protocol = protocol;
        if (side_ == Side::server) options.protocol.reset();
        auto& made = handshake_->wait();
        if (!made) return false;
        party.emplace(world, std::move(*made), options);
        return true;
    }

    /// The handshake's three messages, both said and heard.
    void shake_hands(std::size_t piece = SIZE_MAX) {
        hear(0, 2, piece);
        check_said(0, 2);
    }

    Session& session() { return party->session; }
    SteadyTime soon() { return world.clock.now() + 20s; }

    void send(mux::Stream& stream, const SignedObject& sent) {
        Started<Result<>>(world.loop, session().send(stream, sent)).wait().value();
    }
    Result<SignedObject> receive(mux::Stream& stream) {
        return Started<Result<SignedObject>>(world.loop, session().receive(stream, soon())).wait();
    }
    Result<Session::FirstObject> receive_first(mux::Stream& stream) {
        return Started<Result<Session::FirstObject>>(
                   world.loop, session().receive_first(stream, soon())
        )
            .wait();
    }
    Result<Bytes> read(net::Stream& stream, std::size_t size) {
        return Started<Result<Bytes>>(world.loop, test::read_bytes(stream, size)).wait();
    }

    /// The KK keys of the recorded stream, as its dialer has them.
    noise::TransportKeys dialer_keys() {
        world.random.next(recording.ephemeral("alice_stream"));
        auto handshake = noise::Handshake::make(
                             noise::Pattern::kk,
                             noise::Role::initiator,
                             recording.keys("alice"),
                             recording.keys("bob").public_key
        )
                             .value();
        CHECK(
            handshake.write_message(world.random).value() ==
            recording.bytes("stream", "kk_message_1")
        );
        handshake.read_message(recording.bytes("stream", "kk_message_2")).value();
        return handshake.keys();
    }

    Recording recording;
    World world;
    std::optional<WirePeer> peer;
    std::optional<Party> party;

 private:
    std::string who_;
    Side side_;
    std::optional<Started<Result<Handshaken>>> handshake_;
};

constexpr const char* kFiles[] = {"session.json", "session_smux.json"};

/// A signed object, sealed by the peer as its first of the session, in a yamux data frame.
Bytes yamux_object(const Bytes& key, std::uint32_t stream, const SignedObject& object) {
    crypto::Digest digest{};
    std::copy(key.begin(), key.end(), digest.begin());
    noise::ObjectBox box({noise::CipherKey(digest), noise::CipherKey(digest)});
    const Bytes payload = test::framed(box.seal(object.bytes()).value());
    Bytes frame(12);
    frame[7] = std::byte(stream);
    frame[10] = std::byte(payload.size() >> 8);
    frame[11] = std::byte(payload.size() & 0xff);
    return test::concat(frame, payload);
}

/// The same in a frame of smux.
Bytes smux_object(const Bytes& key, std::uint32_t stream, const SignedObject& object) {
    Bytes frame = yamux_object(key, 0, object);
    const std::size_t size = frame.size() - 12;
    frame.erase(frame.begin(), frame.begin() + 4);
    frame[0] = std::byte{2};
    frame[1] = std::byte{2};
    frame[2] = std::byte(size & 0xff);
    frame[3] = std::byte(size >> 8);
    frame[4] = std::byte(stream);
    frame[6] = frame[7] = std::byte{0};
    return frame;
}

}  // namespace

TEST_CASE("replay: the recorded dialer, yamux") {
    for (const std::size_t piece : {1UL, 2UL, 13UL, 100UL, 100000UL}) {
        Replay replay("session.json", "alice", Side::client);
        replay.shake_hands(piece);
        REQUIRE(replay.begin_session(mux::Protocol::yamux));
        auto carrier = replay.session().mux().open().value();
        replay.send(*carrier, replay.object(5));
        replay.check_said(3, 5);
        replay.hear(3, 6, piece);
        CHECK(replay.receive(*carrier).value() == replay.object(6));
        Stream stream(replay.world.context, std::move(carrier), replay.dialer_keys(), {}, {});
        test::write_raw(replay.world, stream, test::text_bytes("ping from alice"));
        replay.check_said(6, 7);
        replay.hear(7, 8, piece);
        CHECK(as_text(replay.read(stream, 13).value()) == "pong from bob");
        stream.close();
        replay.check_said(8, 9);
        replay.hear(10, 10);
        CHECK(replay.session().mux().streams() == 0);
        CHECK(!replay.party->ended);
    }
}

TEST_CASE("replay: the recorded server towards the dialer, yamux") {
    Replay replay("session.json", "alice", Side::server);
    replay.shake_hands();
    REQUIRE(replay.begin_session(mux::Protocol::yamux));
    replay.hear(3, 5);
    auto stream = replay.party->accept();
    const auto first = replay.receive_first(*stream).value();
    const auto& object = std::get<SignedObject>(first);
    CHECK(object == replay.object(5));
    const auto request = decode_request(object.payload()).value();
    CHECK(check_request_at_server(
        object, request, {replay.recording.keys("alice").public_key, /*peer_server=*/false}
    ));
    replay.send(*stream, replay.object(6));
    replay.check_said(3, 6);
    replay.hear(7, 7);
    const Bytes framed = replay.recording.bytes("stream", "alice_record_1_framed");
    CHECK(replay.read(*stream, framed.size()).value() == framed);
    test::write_raw(replay.world, *stream, replay.recording.bytes("stream", "bob_record_1_framed"));
    replay.check_said(7, 8);
    replay.hear(9, 9);
    stream->close();
    replay.check_said(9, 10);
}

TEST_CASE("replay: the recorded server towards the responder") {
    for (const char* file : kFiles) {
        Replay replay(file, "bob", Side::server);
        replay.shake_hands();
        REQUIRE(replay.begin_session(mux::Protocol::yamux));
        auto stream = replay.session().mux().open().value();
        replay.send(*stream, replay.object(4));
        replay.check_said(3, 4);
        replay.hear(5, 6);
        CHECK(replay.receive(*stream).value() == replay.object(6));
        test::write_raw(
            replay.world, *stream, replay.recording.bytes("stream", "alice_record_1_framed")
        );
        replay.check_said(7, 7);
        replay.hear(8, 8);
        const Bytes framed = replay.recording.bytes("stream", "bob_record_1_framed");
        CHECK(replay.read(*stream, framed.size()).value() == framed);
        stream->close();
        replay.check_said(9, 9);
        replay.hear(10, 10);
        CHECK(replay.session().mux().streams() == 0);
    }
}

TEST_CASE("replay: the recorded dialer, smux: ping marker, address look-up, stream") {
    for (const std::size_t piece : {1UL, 3UL, 100000UL}) {
        Replay replay("session_smux.json", "alice", Side::client);
        replay.shake_hands(piece);
        REQUIRE(replay.begin_session(mux::Protocol::smux));
        auto ping = replay.session().mux().open().value();
        test::write_raw(replay.world, *ping, Bytes(2));
        replay.check_said(3, 4);
        replay.hear(5, 7, piece);
        CHECK(replay.read(*ping, 2).value() == Bytes(2));
        CHECK(replay.read(*ping, 1).value().empty());
        ping->close();
        replay.check_said(8, 9);

        auto look_up = replay.session().mux().open().value();
        replay.send(*look_up, replay.object(11));
        replay.check_said(10, 11);
        replay.hear(12, 13, piece);
        CHECK(replay.receive(*look_up).value() == replay.object(13));
        look_up->close();
        replay.check_said(14, 15);

        auto carrier = replay.session().mux().open().value();
        replay.send(*carrier, replay.object(17));
        replay.check_said(16, 17);
        replay.hear(18, 19, piece);
        CHECK(replay.receive(*carrier).value() == replay.object(19));
        Stream stream(replay.world.context, std::move(carrier), replay.dialer_keys(), {}, {});
        test::write_raw(replay.world, stream, test::text_bytes("ping from alice"));
        replay.check_said(20, 21);
        replay.hear(22, 22, piece);
        CHECK(as_text(replay.read(stream, 13).value()) == "pong from bob");
        stream.close();
        replay.check_said(23, 23);
        CHECK(!replay.party->ended);
    }
}

TEST_CASE("replay: the recorded server towards the dialer, smux") {
    Replay replay("session_smux.json", "alice", Side::server);
    replay.shake_hands();
    REQUIRE(replay.begin_session(mux::Protocol::smux));
    replay.hear(3, 4);
    auto ping = replay.party->accept();
    CHECK(std::holds_alternative<Session::PingMarker>(replay.receive_first(*ping).value()));
    test::write_raw(replay.world, *ping, Bytes(2));
    ping->close();
    replay.check_said(5, 7);
    replay.hear(8, 11);
    auto look_up = replay.party->accept();
    CHECK(std::get<SignedObject>(replay.receive_first(*look_up).value()) == replay.object(11));
    replay.send(*look_up, replay.object(13));
    replay.check_said(12, 13);
    replay.hear(14, 17);
    auto stream = replay.party->accept();
    CHECK(std::get<SignedObject>(replay.receive_first(*stream).value()) == replay.object(17));
    replay.send(*stream, replay.object(19));
    replay.check_said(18, 19);
    replay.hear(20, 21);
    const Bytes framed = replay.recording.bytes("stream", "alice_record_1_framed");
    CHECK(replay.read(*stream, framed.size()).value() == framed);
    test::write_raw(replay.world, *stream, replay.recording.bytes("stream", "bob_record_1_framed"));
    replay.check_said(22, 22);
}

namespace {

/// The recorded responder's part, played by ours on everything the server said, which comes in
/// pieces; with one byte of it changed where `flipped` is set.
struct Responder {
    explicit Responder(const char* file, std::size_t piece, std::optional<std::size_t> flipped = {})
        : replay(file, "bob", Side::client) {
        Bytes heard = replay.raw(Side::server);
        if (flipped) heard[*flipped] ^= std::byte{1};
        replay.peer->send(heard, piece);
        // A frame that became longer, or never whole, runs into the limit.
        replay.world.advance(5s);
        if (!replay.begin_session(mux::Protocol::yamux)) return;
        replay.world.loop.settle();
        if (replay.party->opened.empty()) return;
        replay.world.random.next(replay.recording.ephemeral("bob_stream"));
        Opened opened(
            replay.world.loop,
            answer_stream(
                replay.world.context,
                replay.session(),
                replay.party->accept(),
                replay.recording.keys("bob"),
                [](std::uint16_t port) { return port == 80; },
                replay.soon()
            )
        );
        replay.world.advance(20s);
        REQUIRE(opened.ended());
        if (!opened.wait()) return;
        stream = std::move(*opened.wait());
    }

    Replay replay;
    std::unique_ptr<Stream> stream;
};

}  // namespace

TEST_CASE("replay: the recorded responder, whatever the cuts") {
    for (const char* file : kFiles) {
        for (std::size_t piece = 1; piece < 600; piece += piece < 60 ? 1 : 50) {
            Responder responder(file, piece);
            Replay& replay = responder.replay;
            REQUIRE(responder.stream);
            CHECK(as_text(replay.read(*responder.stream, 15).value()) == "ping from alice");
            test::write_raw(replay.world, *responder.stream, test::text_bytes("pong from bob"));
            CHECK(replay.read(*responder.stream, 1).value().empty());
            responder.stream->close();
            replay.world.loop.settle();

            // All but the response, which has another signature and another program's numbers.
            const Bytes said = replay.peer->take();
            const std::string head =
                to_hex(replay.bytes(0)) + to_hex(replay.bytes(2)) + to_hex(replay.bytes(5));
            const std::string tail = to_hex(replay.bytes(8)) + to_hex(replay.bytes(10));
            const std::string text = to_hex(said);
            CHECK(text.starts_with(head));
            CHECK(text.ends_with(tail));
            const Bytes frame(
                said.begin() + std::ptrdiff_t(head.size() / 2),
                said.end() - std::ptrdiff_t(tail.size() / 2)
            );
            noise::TransportKeys keys{replay.party->keys.receive, replay.party->keys.send};
            const auto object = SignedObject::from_bytes(
                                    noise::ObjectBox(keys).open(ByteSpan(frame).subspan(14)).value()
            )
                                    .value();
            CHECK(object.verify(replay.recording.keys("bob").public_key));
            CHECK(
                decode_response(object.payload()).value() ==
                decode_response(replay.object(6).payload()).value()
            );
        }
    }
}

TEST_CASE("replay: the responder with each byte flipped reads what was written or an error") {
    const std::size_t size = Replay("session.json", "bob", Side::client).raw(Side::server).size();
    for (std::size_t at = 0; at < size; ++at) {
        INFO("byte " << at);
        Responder responder("session.json", SIZE_MAX, at);
        const bool handshake = at < 51;
        // The request's payload: everything behind the yamux header in event 4.
        const bool request = at >= 51 + 12 + 12 && at < 51 + 12 + 384;
        if (handshake) CHECK(!responder.replay.party);
        if (request) CHECK(!responder.stream);
        if (responder.stream) {
            Started<Result<Bytes>> reading(
                responder.replay.world.loop, test::read_bytes(*responder.stream, 100)
            );
            responder.replay.peer->close();
            const auto& read = reading.wait();
            // The stream's end is not authenticated: less may come, never something else.
            if (read) CHECK((read->empty() || as_text(*read) == "ping from alice"));
        }
    }
}

TEST_CASE("replay: the server with each byte flipped") {
    for (const char* file : kFiles) {
        const std::size_t size = Replay(file, "alice", Side::server).raw(Side::client).size();
        for (std::size_t at = 0; at < size; ++at) {
            INFO(file << ", byte " << at);
            Replay replay(file, "alice", Side::server);
            Bytes heard = replay.raw(Side::client);
            heard[at] ^= std::byte{1};
            replay.peer->send(heard, 64);
            replay.world.advance(5s);
            if (!replay.begin_session(mux::Protocol::yamux)) continue;
            CHECK(at >= 51 + 67);
            replay.world.loop.settle();
            for (auto& stream : replay.party->opened) {
                Started<Result<Session::FirstObject>> first(
                    replay.world.loop, replay.session().receive_first(*stream, replay.soon())
                );
                replay.world.advance(20s);
                REQUIRE(first.ended());
                const auto& object = first.wait();
                if (!object || !std::holds_alternative<SignedObject>(*object)) continue;
                const auto& got = std::get<SignedObject>(*object);
                const bool known = file == kFiles[0]
                                       ? got == replay.object(5)
                                       : got == replay.object(11) || got == replay.object(17);
                CHECK(known);
            }
        }
    }
}

TEST_CASE("replay: our dialer asks as the recorded one, and takes the answer to its own request") {
    Replay replay("session.json", "alice", Side::client);
    replay.shake_hands();
    REQUIRE(replay.begin_session(mux::Protocol::yamux));
    const auto recorded = decode_request(replay.object(5).payload()).value();
    replay.world.random.next(replay.recording.ephemeral("alice_stream"));
    Opened opened(
        replay.world.loop,
        open_stream(
            replay.world.context,
            replay.session(),
            replay.recording.keys("alice"),
            recorded.source,
            recorded.destination,
            replay.soon()
        )
    );
    const Bytes said = replay.peer->take();
    const Bytes syn = replay.bytes(3);
    REQUIRE(said.size() == syn.size() + replay.bytes(5).size());
    CHECK(Bytes(said.begin(), said.begin() + 12) == syn);
    const noise::TransportKeys swapped{replay.party->keys.receive, replay.party->keys.send};
    const auto request =
        SignedObject::from_bytes(
            noise::ObjectBox(swapped).open(ByteSpan(said).subspan(12 + 12 + 2)).value()
        )
            .value();
    CHECK(to_hex(request.payload()) == to_hex(replay.object(5).payload()));
    CHECK(request.verify(recorded.source.pk));

    // Bob's answer, to this signature; then his recorded data.
    auto response = decode_response(replay.object(6).payload()).value();
    response.request_hash = request.hash();
    const Bytes server_key = replay.recording.bytes("alice_leg", "session_k1");
    const auto answer =
        SignedObject::sign(encode(response), replay.recording.keys("bob").secret_key);
    replay.hear(4, 4);
    replay.peer->send(test::concat(yamux_object(server_key, 1, answer), replay.bytes(8)), 100);
    auto stream = std::move(opened.wait().value());
    test::write_raw(replay.world, *stream, test::text_bytes("ping from alice"));
    replay.check_said(6, 7);
    CHECK(as_text(replay.read(*stream, 13).value()) == "pong from bob");
    stream->close();
    replay.check_said(8, 9);
}

TEST_CASE("replay: the answer to another request is refused") {
    Replay replay("session.json", "alice", Side::client);
    replay.shake_hands();
    REQUIRE(replay.begin_session(mux::Protocol::yamux));
    const auto recorded = decode_request(replay.object(5).payload()).value();
    Opened opened(
        replay.world.loop,
        open_stream(
            replay.world.context,
            replay.session(),
            replay.recording.keys("alice"),
            recorded.source,
            recorded.destination,
            replay.soon()
        )
    );
    replay.hear(4, 6);
    CHECK(opened.wait().error() == make_error_code(Code::response_hash));
    CHECK(replay.session().mux().streams() == 0);
}

TEST_CASE("replay: our address look-up asks as the recorded one") {
    Replay replay("session_smux.json", "alice", Side::client);
    replay.shake_hands();
    REQUIRE(replay.begin_session(mux::Protocol::smux));
    const auto recorded = decode_request(replay.object(11).payload()).value();
    Started<Result<std::string>> looked_up(
        replay.world.loop,
        look_up_ip(
            replay.world.context,
            replay.session(),
            replay.recording.keys("alice"),
            recorded.source.port,
            replay.soon()
        )
    );
    const Bytes said = replay.peer->take();
    const noise::TransportKeys swapped{replay.party->keys.receive, replay.party->keys.send};
    const auto request =
        SignedObject::from_bytes(
            noise::ObjectBox(swapped).open(ByteSpan(said).subspan(8 + 8 + 2)).value()
        )
            .value();
    // The recorded one also asked for the place.
    auto expected = recorded;
    CHECK(std::exchange(expected.geo_info, false));
    CHECK(to_hex(request.payload()) == to_hex(encode(expected)));

    auto response = decode_response(replay.object(13).payload()).value();
    response.request_hash = request.hash();
    const auto answer =
        SignedObject::sign(encode(response), replay.recording.keys("server").secret_key);
    const Bytes server_key = replay.recording.bytes("alice_leg", "session_k1");
    replay.peer->send(smux_object(server_key, 3, answer));
    CHECK(looked_up.wait().value() == "127.0.0.1");
}

}  // namespace skywire::dmsg
