#include "dmsg/handshake.hpp"

#include "dmsg/test_recording.hpp"
#include "noise/error.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::Recording;
using test::Started;
using test::WirePeer;
using test::World;

using Handshake = Started<Result<Handshaken>>;

/// A leg of a recording: who connected, and the three frames.
struct Leg {
    Leg(const Recording& recording, const std::string& who)
        : client(recording.keys(who)),
          server(recording.keys("server")),
          client_ephemeral(recording.ephemeral(who + "_session_client")),
          server_ephemeral(recording.ephemeral(who + "_session_server")),
          k1(recording.bytes(who + "_leg", "session_k1")),
          k2(recording.bytes(who + "_leg", "session_k2")),
          from_client(recording.bytes(who + "_leg", "client_to_server_raw")),
          from_server(recording.bytes(who + "_leg", "server_to_client_raw")) {
        for (std::size_t i = 0; i < 3; ++i) {
            const auto& event = recording.events(who + "_leg").at(i).as_object();
            frames.push_back(skywire::test::hex(event.at("bytes").as_string()));
        }
    }

    crypto::KeyPair client;
    crypto::KeyPair server;
    Bytes client_ephemeral;
    Bytes server_ephemeral;
    Bytes k1;
    Bytes k2;
    Bytes from_client;
    Bytes from_server;
    std::vector<Bytes> frames;
};

Bytes operator+(Bytes left, const Bytes& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

Bytes bytes_of(const noise::CipherKey& key) {
    return Bytes(key.bytes().begin(), key.bytes().end());
}

/// One of the two roles against a peer whose bytes a test writes.
struct Side {
    explicit Side(bool client) : recording("session.json"), leg(recording, "alice") {
        auto [ours, theirs] = net::make_pipe(world.context.loop);
        peer.emplace(world.loop, std::move(theirs));
        world.random.next(client ? leg.client_ephemeral : leg.server_ephemeral);
        if (client) {
            handshake.emplace(
                world.loop,
                handshake_as_client(
                    world.context, std::move(ours), leg.client, leg.server.public_key
                )
            );
        } else {
            handshake.emplace(
                world.loop, handshake_as_server(world.context, std::move(ours), leg.server)
            );
        }
    }

    Error failure() {
        auto& result = handshake->wait();
        REQUIRE(!result);
        world.loop.settle();
        CHECK(peer->ended());
        return result.error();
    }

    World world;
    Recording recording;
    Leg leg;
    std::optional<WirePeer> peer;
    std::optional<Handshake> handshake;
};

}  // namespace

TEST_CASE("handshake: the dialer says what the recorded one said, whatever the cuts") {
    for (std::size_t piece = 1; piece <= 52; ++piece) {
        Side side(/*client=*/true);
        CHECK(side.peer->take() == side.leg.frames[0]);
        side.peer->send(side.leg.frames[1], piece);
        const auto& made = side.handshake->wait();
        side.world.loop.settle();
        REQUIRE(made);
        CHECK(side.peer->take() == side.leg.frames[2]);
        CHECK(made->remote == side.leg.server.public_key);
        CHECK(bytes_of(made->keys.send) == side.leg.k2);
        CHECK(bytes_of(made->keys.receive) == side.leg.k1);
        CHECK(made->surplus.empty());
    }
}

TEST_CASE("handshake: the acceptor says what the recorded one said, whatever the cuts") {
    const Side whole(/*client=*/false);
    for (std::size_t piece = 1; piece <= 120; ++piece) {
        Side side(/*client=*/false);
        side.peer->send(side.leg.frames[0] + side.leg.frames[2], piece);
        const auto& made = side.handshake->wait();
        REQUIRE(made);
        side.world.loop.settle();
        CHECK(side.peer->take() == side.leg.frames[1]);
        CHECK(made->remote == side.leg.client.public_key);
        CHECK(bytes_of(made->keys.send) == side.leg.k1);
        CHECK(bytes_of(made->keys.receive) == side.leg.k2);
        CHECK(made->surplus.empty());
    }
}

TEST_CASE("handshake: what comes behind the last message is kept, in both roles") {
    Side acceptor(/*client=*/false);
    acceptor.peer->send(acceptor.leg.from_client);
    const auto& accepted = acceptor.handshake->wait();
    REQUIRE(accepted);
    CHECK(
        acceptor.leg.frames[0] + acceptor.leg.frames[2] + accepted->surplus ==
        acceptor.leg.from_client
    );

    Side dialer(/*client=*/true);
    dialer.peer->send(dialer.leg.from_server);
    const auto& dialled = dialer.handshake->wait();
    REQUIRE(dialled);
    CHECK(dialer.leg.frames[1] + dialled->surplus == dialer.leg.from_server);
}

TEST_CASE("handshake: bytes read before it began are its first ones") {
    const Recording recording("session.json");
    const Leg leg(recording, "bob");
    const Bytes all = leg.from_client;
    for (const std::size_t early : {std::size_t(1), std::size_t(2), std::size_t(60), all.size()}) {
        World world;
        world.random.next(leg.server_ephemeral);
        auto [ours, theirs] = net::make_pipe(world.context.loop);
        WirePeer peer(world.loop, std::move(theirs));
        const auto cut = all.begin() + std::ptrdiff_t(early);
        Handshake handshake(
            world.loop,
            handshake_as_server(world.context, std::move(ours), leg.server, Bytes(all.begin(), cut))
        );
        peer.send(Bytes(cut, all.end()));
        const auto& made = handshake.wait();
        REQUIRE(made);
        CHECK(leg.frames[0] + leg.frames[2] + made->surplus == all);
        world.loop.settle();
        CHECK(peer.take() == leg.frames[1]);
    }
}

TEST_CASE("handshake: each byte flipped in turn is refused, in both roles") {
    for (const bool client : {true, false}) {
        const Recording recording("session.json");
        const Leg leg(recording, "alice");
        const Bytes good = client ? leg.frames[1] : leg.frames[0] + leg.frames[2];
        for (std::size_t at = 0; at < good.size(); ++at) {
            for (const auto bit : {std::byte{1}, std::byte{0x80}}) {
                Side side(client);
                Bytes bad = good;
                bad[at] ^= bit;
                side.peer->send(bad);
                // A length that grew waits for more until its time is up.
                side.world.advance(6s);
                const Error error = side.failure();
                INFO("byte " << at << ": " << error.message());
                const bool known = error.code().category() == noise::noise_category() ||
                                   error == make_error_code(errc::timed_out);
                CHECK(known);
            }
        }
    }
}

TEST_CASE("handshake: a peer that stops, hangs up or drips is cut off in time") {
    for (const bool client : {true, false}) {
        Side silent(client);
        silent.world.advance(4999ms);
        CHECK(!silent.handshake->ended());
        silent.world.advance(1ms);
        CHECK(silent.failure() == make_error_code(errc::timed_out));

        Side gone(client);
        gone.peer->send(Bytes(10));
        gone.peer->close();
        CHECK(!gone.handshake->wait().has_value());

        Side dripping(client);
        dripping.peer->send(Bytes{std::byte{0x0f}, std::byte{0xfe}});
        for (int i = 0; i < 5; ++i) {
            dripping.world.advance(1s);
            dripping.peer->send(Bytes(1));
        }
        CHECK(dripping.failure() == make_error_code(errc::timed_out));
    }
}

TEST_CASE("handshake: a connection that ends says so") {
    Side side(/*client=*/false);
    side.peer->send(side.leg.frames[0]);
    side.peer->close();
    const auto& result = side.handshake->wait();
    REQUIRE(!result);
    CHECK(result.error() == make_error_code(errc::closed));
}

TEST_CASE("handshake: lengths from 0 to the limit, and beyond") {
    const auto answer = [](std::size_t length) {
        Side side(/*client=*/false);
        Bytes frame(2 + length, std::byte{2});
        frame[0] = std::byte(length >> 8);
        frame[1] = std::byte(length & 0xff);
        side.peer->send(frame);
        return side.failure();
    };
    for (const std::size_t length : std::initializer_list<std::size_t>{0, 1, 33, 48}) {
        CHECK(answer(length) == make_error_code(noise::errc::short_message));
    }
    CHECK(answer(4094).code().category() == noise::noise_category());
    CHECK(answer(4095) == make_error_code(noise::errc::frame_too_long));
    CHECK(answer(65535) == make_error_code(noise::errc::frame_too_long));
}

TEST_CASE("handshake: keys that are no points") {
    for (const int first : {0, 1, 4, 0xff}) {
        Side side(/*client=*/false);
        Bytes frame = side.leg.frames[0];
        frame[2] = std::byte(first);
        side.peer->send(frame);
        CHECK(side.failure() == make_error_code(noise::errc::invalid_point));
    }
}

TEST_CASE("handshake: an offer of the post-quantum hybrid is declined") {
    const auto vectors = skywire::test::vectors("dmsg/noise_pq.json");
    const auto& fallback = vectors.as_object().at("XK_fallback").as_object();
    const auto hex = [&](const char* member) {
        return skywire::test::hex(fallback.at(member).as_string());
    };
    std::vector<Bytes> frames;
    for (const auto& message : fallback.at("messages").as_array()) {
        const Bytes bytes = skywire::test::hex(message.as_object().at("bytes").as_string());
        frames.push_back(
            Bytes{std::byte(bytes.size() >> 8), std::byte(bytes.size() & 0xff)} + bytes
        );
    }
    REQUIRE(frames[0].size() == 1235);

    World world;
    world.random.next(hex("responder_ephemeral"));
    auto [ours, theirs] = net::make_pipe(world.context.loop);
    WirePeer peer(world.loop, std::move(theirs));
    Handshake handshake(
        world.loop,
        handshake_as_server(world.context, std::move(ours), test::pair_of(hex("responder_static")))
    );
    peer.send(frames[0]);
    CHECK(peer.take() == frames[1]);
    peer.send(frames[2]);
    const auto& made = handshake.wait();
    REQUIRE(made);
    CHECK(made->remote == test::pair_of(hex("initiator_static")).public_key);
}

TEST_CASE("handshake: cancelled, the connection is closed") {
    for (const bool client : {true, false}) {
        Side side(client);
        side.handshake->cancel();
        CHECK(side.handshake->ended());
        CHECK(side.peer->ended());
    }
}

TEST_CASE("handshake: ours with ours; a server with another key is refused") {
    World world;
    const auto client = crypto::deterministic_key_pair("client");
    const auto server = crypto::deterministic_key_pair("server");
    for (const bool right : {true, false}) {
        const auto expected =
            right ? server.public_key : crypto::deterministic_key_pair("other").public_key;
        auto [near, far] = net::make_pipe(world.context.loop, /*buffer_bytes=*/7);
        Handshake dialer(
            world.loop, handshake_as_client(world.context, std::move(near), client, expected)
        );
        Handshake acceptor(world.loop, handshake_as_server(world.context, std::move(far), server));
        REQUIRE(dialer.ended());
        REQUIRE(acceptor.ended());
        if (right) {
            REQUIRE(dialer.wait());
            REQUIRE(acceptor.wait());
            CHECK(acceptor.wait()->remote == client.public_key);
            CHECK(bytes_of(acceptor.wait()->keys.send) == bytes_of(dialer.wait()->keys.receive));
            CHECK(bytes_of(acceptor.wait()->keys.receive) == bytes_of(dialer.wait()->keys.send));
        } else {
            CHECK(acceptor.wait().error() == make_error_code(noise::errc::not_authentic));
            CHECK(dialer.wait().error() == make_error_code(errc::closed));
        }
    }
}

}  // namespace skywire::dmsg
