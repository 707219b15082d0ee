#include "mux/yamux.hpp"

#include "mux/core_rig.hpp"

namespace skywire::mux::test {
using namespace yamux;

namespace {

Rig yamux_server(CoreOptions options = {}) {
    options.role = Role::server;
    return Rig(make_yamux, options);
}

Rig yamux_client(CoreOptions options = {}) {
    options.role = Role::client;
    return Rig(make_yamux, options);
}

Bytes frame(Type type, unsigned flags, StreamId id, std::uint32_t length) {
    const auto bytes = encode({type, static_cast<std::uint16_t>(flags), id, length});
    return {bytes.begin(), bytes.end()};
}
Bytes update(unsigned flags, StreamId id, std::uint32_t delta = 0) {
    return frame(Type::window_update, flags, id, delta);
}
Bytes data(unsigned flags, StreamId id, ByteSpan payload) {
    return frame(Type::data, flags, id, static_cast<std::uint32_t>(payload.size())) + payload;
}
Bytes data(unsigned flags, StreamId id, std::string_view payload) {
    return data(flags, id, as_bytes(payload));
}
std::string hex(const Bytes& bytes) {
    return to_hex(bytes);
}

const Bytes kSynOf1 = update(kSyn, 1);
const std::string kGoAwayError = hex(frame(Type::go_away, 0, 0, 1));

}  // namespace

TEST_CASE("yamux: a frame's header is twelve bytes, big-endian") {
    CHECK(
        hex(frame(Type::ping, kSyn | kRst, 0x01020304, 0xa0b0c0d0)) == "0002000901020304a0b0c0d0"
    );
    const auto header = decode(skywire::test::hex("000100060000000700040000").data());
    REQUIRE(header.has_value());
    CHECK(header->type == Type::window_update);
    CHECK(header->flags == (kAck | kFin));
    CHECK(header->stream == 7);
    CHECK(header->length == 262144);
    CHECK_FALSE(decode(skywire::test::hex("010000000000000000000000").data()).has_value());
    CHECK_FALSE(decode(skywire::test::hex("000400000000000000000000").data()).has_value());
}

TEST_CASE("yamux: the dialer opens odd streams, the acceptor even ones, each with a SYN") {
    auto client = yamux_client();
    CHECK(client->open(client.now).value() == 1);
    CHECK(client->open(client.now).value() == 3);
    CHECK(client.sent() == hex(update(kSyn, 1) + update(kSyn, 3)));
    auto server = yamux_server();
    CHECK(server->open(server.now).value() == 2);
    CHECK(server->open(server.now).value() == 4);
    CHECK(server.sent() == hex(update(kSyn, 2) + update(kSyn, 4)));
    CHECK(server->streams() == 2);
}

TEST_CASE("yamux: a stream is acknowledged when it is accepted, once") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1));
    CHECK(rig.seen() == "stream 1");
    CHECK(rig.sent().empty());
    rig->accept(1);
    CHECK(rig.sent() == hex(update(kAck, 1)));
    rig->accept(1);
    CHECK(rig.sent().empty());
}

TEST_CASE("yamux: our first data and our close accept a stream too") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(update(kSyn, 1) + update(kSyn, 3)));
    rig->begin_data(1, 5);
    CHECK(rig.sent() == hex(update(kAck, 1) + frame(Type::data, 0, 1, 5)));
    rig->close(3, rig.now);
    CHECK(rig.sent() == hex(update(kAck, 3) + update(kFin, 3)));
}

TEST_CASE("yamux: the peer's ACK is reported once, on whatever frame it comes") {
    auto rig = yamux_client();
    rig->open(rig.now).value();
    rig->open(rig.now).value();
    REQUIRE(rig.feed(update(kAck, 1) + update(kAck, 1) + data(kAck, 3, "x")));
    CHECK(rig.seen() == "accepted 1; accepted 3; data 3 78");
    // Nothing to acknowledge in the peer's own stream.
    REQUIRE(rig.feed(update(kSyn, 2) + update(kAck, 2)));
    CHECK(rig.seen() == "stream 2");
}

TEST_CASE("yamux: data may follow our SYN at once") {
    auto rig = yamux_client();
    rig->open(rig.now).value();
    CHECK(rig->sendable(1) == kWindowBytes);
    rig->begin_data(1, 1000);
    CHECK(rig.sent() == hex(kSynOf1 + frame(Type::data, 0, 1, 1000)));
    CHECK(rig->sendable(1) == kWindowBytes - 1000);
}

TEST_CASE("yamux: the peer's data may come right behind its SYN, and in the same frame") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1 + data(0, 1, "ab")));
    CHECK(rig.seen() == "stream 1; data 1 6162");
    REQUIRE(rig.feed(data(kSyn, 3, "cd")));
    CHECK(rig.seen() == "stream 3; data 3 6364");
}

TEST_CASE("yamux: a FIN on a frame with payload comes behind the payload, however it is cut") {
    const Bytes wire = kSynOf1 + data(kFin, 1, "abc");
    for (std::size_t piece = 1; piece <= wire.size(); ++piece) {
        auto rig = yamux_server();
        REQUIRE(rig.feed(wire, piece));
        CHECK(rig.seen() == "stream 1; data 1 616263; finished 1");
    }
    auto rig = yamux_server();
    REQUIRE(rig.feed(data(kSyn | kFin, 1, "abc")));
    CHECK(rig.seen() == "stream 1; data 1 616263; finished 1");
    REQUIRE(rig.feed(data(kSyn | kFin, 3, "")));
    CHECK(rig.seen() == "stream 3; finished 3");
}

TEST_CASE("yamux: ids of any parity and in any order are accepted") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(update(kSyn, 9) + update(kSyn, 3) + update(kSyn, 2) + update(kSyn, ~0U)));
    CHECK(rig.seen() == "stream 9; stream 3; stream 2; stream 4294967295");
    // Number 2 would have been ours.
    CHECK(rig->open(rig.now).value() == 4);
}

TEST_CASE("yamux: a SYN for a stream that is in use, or for none, ends the session") {
    for (const StreamId id : {0U, 1U}) {
        auto rig = yamux_server();
        REQUIRE(rig.feed(kSynOf1));
        CHECK(code_of(rig.feed(update(kSyn, id))) == errc::bad_stream_id);
        CHECK(rig.sent() == kGoAwayError);
    }
}

TEST_CASE("yamux: a number may be used again when its stream is gone") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1));
    rig->close(1, rig.now);
    REQUIRE(rig.feed(update(kFin, 1) + kSynOf1 + update(kRst, 1) + kSynOf1));
    CHECK(rig.seen() == "stream 1; finished 1; stream 1; reset 1 reset; stream 1");
    CHECK(rig->streams() == 1);
}

TEST_CASE("yamux: the window is given back once half of it is consumed") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1 + data(0, 1, Bytes(kWindowBytes))));
    rig->consumed(1, kWindowBytes / 2 - 1);
    CHECK(rig.sent().empty());
    rig->consumed(1, 1);
    CHECK(rig.sent() == hex(update(0, 1, kWindowBytes / 2)));
    rig->consumed(1, 100);
    CHECK(rig.sent().empty());
    rig->consumed(1, kWindowBytes / 2 - 100);
    CHECK(rig.sent() == hex(update(0, 1, kWindowBytes / 2)));
}

TEST_CASE("yamux: data beyond the window ends the session, and the window counts from the header") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1 + data(0, 1, Bytes(kWindowBytes - 1))));
    REQUIRE(rig.feed(frame(Type::data, 0, 1, 1)));
    REQUIRE(rig.feed(as_bytes("x")));
    // Consumed, but not yet given back.
    rig->consumed(1, 1000);
    CHECK(code_of(rig.feed(frame(Type::data, 0, 1, 1))) == errc::window_exceeded);
    CHECK(rig.sent() == kGoAwayError);
    CHECK(rig.received[1] == kWindowBytes);
}

TEST_CASE("yamux: a data frame longer than any window ends the session, known stream or not") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(data(0, 77, Bytes(kWindowBytes))));
    CHECK(code_of(rig.feed(frame(Type::data, 0, 77, kWindowBytes + 1))) == errc::frame_too_long);
    CHECK(rig.sent() == kGoAwayError);
}

TEST_CASE("yamux: we send what the peer's window allows, and hear when it opens again") {
    auto rig = yamux_client();
    rig->open(rig.now).value();
    rig->begin_data(1, kWindowBytes);
    CHECK(rig->sendable(1) == 0);
    rig->begin_data(1, 0);
    REQUIRE(rig.feed(update(0, 1, 0)));
    CHECK(rig.seen().empty());
    REQUIRE(rig.feed(update(kAck, 1, 10)));
    CHECK(rig.seen() == "accepted 1; sendable 1");
    CHECK(rig->sendable(1) == 10);
    REQUIRE(rig.feed(update(0, 1, 10)));
    CHECK(rig.seen().empty());
    CHECK(rig->sendable(1) == 20);
}

TEST_CASE("yamux: a window update on the SYN enlarges the first window") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(update(kSyn, 1, 5)));
    CHECK(rig->sendable(1) == kWindowBytes + 5);
}

TEST_CASE("yamux: a window above 2^32 - 1 ends the session") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1 + update(0, 1, ~0U - kWindowBytes)));
    CHECK(rig->sendable(1) == ~0U);
    CHECK(code_of(rig.feed(update(0, 1, 1))) == errc::bad_frame);
    CHECK(rig.sent() == kGoAwayError);
}

TEST_CASE("yamux: both directions end one after the other, with one FIN each") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1));
    rig->accept(1);
    rig.sent();
    SECTION("the peer first") {
        REQUIRE(rig.feed(update(kFin, 1)));
        CHECK(rig.seen() == "stream 1; finished 1");
        CHECK(rig->sendable(1) == kWindowBytes);
        rig->close(1, rig.now);
        CHECK(rig.sent() == hex(update(kFin, 1)));
        CHECK(rig->streams() == 0);
    }
    SECTION("we first") {
        rig->close(1, rig.now);
        CHECK(rig->sendable(1) == 0);
        rig->close(1, rig.now);
        CHECK(rig.sent() == hex(update(kFin, 1)));
        CHECK(rig->streams() == 1);
        REQUIRE(rig.feed(update(kFin, 1)));
        CHECK(rig.seen() == "stream 1; finished 1");
        CHECK(rig->streams() == 0);
    }
    rig->close(1, rig.now);
    rig->reset(1);
    CHECK(rig.sent().empty());
}

TEST_CASE("yamux: a second FIN and data behind a FIN say nothing") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1 + update(kFin, 1) + update(kFin, 1) + data(kFin, 1, "late")));
    CHECK(rig.seen() == "stream 1; finished 1");
    // Their window is given back by us.
    for (int i = 0; i < 4; ++i)
        REQUIRE(rig.feed(data(0, 1, Bytes(kWindowBytes / 2))));
    CHECK(rig.sent().size() == 4 * 2 * kHeaderBytes);
    CHECK(rig.seen().empty());
}

TEST_CASE("yamux: after our close the peer's data are discarded and their window given back") {
    auto rig = yamux_server();
    const Bytes half(kWindowBytes / 2);
    REQUIRE(rig.feed(kSynOf1 + data(0, 1, half) + frame(Type::data, 0, 1, 4)));
    REQUIRE(rig.feed(as_bytes("ab")));
    rig->accept(1);
    CHECK(rig.sent() == hex(update(kAck, 1)));
    CHECK(rig.received[1] == half.size() + 2);
    rig->close(1, rig.now);
    // What was delivered and will not be consumed, and the rest of the frame under way.
    CHECK(rig.sent() == hex(update(kFin, 1) + update(0, 1, kWindowBytes / 2 + 4)));
    REQUIRE(rig.feed(as_bytes("cd")));
    for (int i = 0; i < 5; ++i) {
        REQUIRE(rig.feed(data(0, 1, half)));
        CHECK(rig.sent() == hex(update(0, 1, kWindowBytes / 2)));
    }
    rig->consumed(1, 1);
    rig->consumed(1, half.size());
    CHECK(rig.sent().empty());
    CHECK(rig.received[1] == half.size() + 2);
    rig.events.clear();
    REQUIRE(rig.feed(data(kFin, 1, "end")));
    CHECK(rig.seen() == "finished 1");
    CHECK(rig->streams() == 0);
}

TEST_CASE("yamux: a closed stream does not hear of the peer's window") {
    auto rig = yamux_client();
    rig->open(rig.now).value();
    rig->begin_data(1, kWindowBytes);
    rig->close(1, rig.now);
    REQUIRE(rig.feed(update(0, 1, 100)));
    CHECK(rig.seen().empty());
    CHECK(rig->sendable(1) == 0);
}

TEST_CASE("yamux: a reset ends both directions at once, on either side") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(update(kSyn, 1) + update(kSyn, 3)));
    rig->reset(1);
    CHECK(rig.sent() == hex(update(kRst, 1)));
    REQUIRE(rig.feed(update(kRst, 3)));
    CHECK(rig.seen() == "stream 1; stream 3; reset 3 reset");
    CHECK(rig->streams() == 0);
    // Twice, and for what was never there: nothing.
    rig->reset(1);
    rig->reset(5);
    REQUIRE(rig.feed(update(kRst, 3) + update(kRst, 1) + update(kFin, 3) + update(kRst, 9)));
    CHECK(rig.seen().empty());
    CHECK(rig.sent().empty());
}

TEST_CASE("yamux: a reset on a data frame discards its payload; a SYN with it opens and ends") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1 + data(kRst, 1, "abc") + data(kSyn | kRst | kFin, 3, "def")));
    CHECK(rig.seen() == "stream 1; reset 1 reset; stream 3; reset 3 reset");
    CHECK(rig->streams() == 0);
}

TEST_CASE("yamux: frames of unknown streams are discarded with their payload") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(
        data(0, 1, "abc") + update(0, 1, ~0U) + update(kAck | kFin, 1) + data(kFin, 3, "x") +
        data(0, 0, "y") + kSynOf1
    ));
    CHECK(rig.seen() == "stream 1");
    CHECK(rig.sent().empty());
    rig->begin_data(9, 0);
    rig->accept(9);
    rig->consumed(9, 100);
    rig->close(9, rig.now);
    CHECK(rig->sendable(9) == 0);
    CHECK(rig.sent().empty());
}

TEST_CASE("yamux: streams beyond the limit are refused with RST, accepted or not yet") {
    CoreOptions options;
    options.streams_max = 2;
    auto rig = yamux_server(options);
    REQUIRE(rig.feed(update(kSyn, 1)));
    CHECK(rig->open(rig.now).value() == 2);
    rig.sent();
    REQUIRE(rig.feed(data(kSyn, 3, "abc") + update(kFin, 3)));
    CHECK(rig.seen() == "stream 1; refused 3");
    CHECK(rig.sent() == hex(update(kRst, 3)));
    CHECK(rig->open(rig.now).error() == errc::too_many_streams);
    rig->reset(1);
    REQUIRE(rig.feed(update(kSyn, 3)));
    CHECK(rig.seen() == "stream 3");
}

TEST_CASE("yamux: a flood of SYNs costs no more than the limit") {
    auto rig = yamux_server();
    Bytes flood;
    for (StreamId id = 1; id <= 5000; ++id)
        flood = std::move(flood) + update(kSyn, id);
    REQUIRE(rig.feed(flood));
    CHECK(rig->streams() == CoreOptions{}.streams_max);
    CHECK(rig.sent().size() == 2 * kHeaderBytes * (5000 - 2048));
}

TEST_CASE("yamux: empty frames do nothing, however many") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1));
    Bytes flood;
    for (int i = 0; i < 1000; ++i)
        flood = std::move(flood) + data(0, 1, "") + update(0, 1, 0);
    REQUIRE(rig.feed(flood));
    CHECK(rig.seen() == "stream 1");
    CHECK(rig.sent().empty());
}

TEST_CASE("yamux: another version or type ends the session, for good") {
    for (const std::string_view head : {"010000000000000000000000", "000400000000000000000000"}) {
        auto rig = yamux_server();
        const auto done = rig.feed(skywire::test::hex(head));
        CHECK(code_of(done) == errc::bad_frame);
        CHECK(done.error().message().find("yamux frame of version") == 0);
        CHECK(rig.sent() == kGoAwayError);
        CHECK(code_of(rig.feed(kSynOf1)) == errc::bad_frame);
        CHECK(code_of(rig.pass(1h)) == errc::bad_frame);
        CHECK(rig.seen().empty());
        CHECK(rig.sent().empty());
    }
}

TEST_CASE("yamux: a ping is answered with its own value") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(frame(Type::ping, kSyn, 0, 0xdeadbeef) + frame(Type::ping, kSyn, 0, 7)));
    CHECK(
        rig.sent() == hex(frame(Type::ping, kAck, 0, 0xdeadbeef) + frame(Type::ping, kAck, 0, 7))
    );
    CHECK(rig.seen().empty());
}

TEST_CASE("yamux: answers to our pings come in any order; those that nobody asked for are let by") {
    auto rig = yamux_client();
    rig->ping(rig.now);
    rig.now += 5ms;
    rig->ping(rig.now);
    CHECK(rig.sent() == hex(frame(Type::ping, kSyn, 0, 0) + frame(Type::ping, kSyn, 0, 1)));
    rig.now += 10ms;
    REQUIRE(rig.feed(frame(Type::ping, kAck, 0, 1) + frame(Type::ping, kAck, 0, 99)));
    CHECK(rig.seen() == "pong 10ms");
    REQUIRE(rig.feed(frame(Type::ping, kAck, 0, 0) + frame(Type::ping, kAck, 0, 0)));
    CHECK(rig.seen() == "pong 15ms");
}

TEST_CASE("yamux: the core waits for a bounded number of answers") {
    auto rig = yamux_client();
    for (int i = 0; i < 20; ++i)
        rig->ping(rig.now);
    for (std::uint32_t value = 0; value < 20; ++value)
        REQUIRE(rig.feed(frame(Type::ping, kAck, 0, value)));
    CHECK(rig.events.size() == 16);
}

TEST_CASE("yamux: go-away with reason 0 stops our opening, and nothing else") {
    auto rig = yamux_client();
    rig->open(rig.now).value();
    REQUIRE(rig.feed(frame(Type::go_away, 0, 0, 0) + frame(Type::go_away, 0, 0, 0)));
    CHECK(rig.seen() == "go-away");
    CHECK(rig->open(rig.now).error() == errc::going_away);
    REQUIRE(rig.feed(data(0, 1, "a") + update(kSyn, 2)));
    CHECK(rig.seen() == "data 1 61; stream 2");
}

TEST_CASE("yamux: go-away with another reason ends the session") {
    for (const std::uint32_t reason : {1U, 2U, 3U, ~0U}) {
        auto rig = yamux_client();
        CHECK(code_of(rig.feed(frame(Type::go_away, 0, 0, reason))) == errc::peer_error);
        CHECK(rig.sent().empty());
        CHECK(rig.seen().empty());
    }
}

TEST_CASE("yamux: after our go-away the peer's new streams are refused, the old ones live") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1));
    rig->go_away();
    rig->go_away();
    CHECK(rig.sent() == hex(frame(Type::go_away, 0, 0, 0)));
    CHECK(rig->open(rig.now).error() == errc::going_away);
    REQUIRE(rig.feed(update(kSyn, 3) + data(0, 1, "a")));
    CHECK(rig.seen() == "stream 1; refused 3; data 1 61");
    CHECK(rig.sent() == hex(update(kRst, 3)));
}

TEST_CASE("yamux: numbers run out") {
    CoreOptions options;
    options.first_id = ~0U - 2;
    auto rig = yamux_client(options);
    CHECK(rig->open(rig.now).value() == ~0U - 2);
    CHECK(rig->open(rig.now).value() == ~0U);
    CHECK(rig->open(rig.now).error() == errc::ids_exhausted);
    CHECK(rig->open(rig.now).error() == errc::ids_exhausted);
}

TEST_CASE("yamux: the events' callee may end streams") {
    auto rig = yamux_server();
    SECTION("in on_stream: the rest of the frame is discarded") {
        rig.during_stream = [&](StreamId id) { rig->reset(id); };
        REQUIRE(rig.feed(data(kSyn | kFin | kAck, 1, "abc") + update(0, 1, 5)));
        CHECK(rig.seen() == "stream 1");
    }
    SECTION("in on_data: so is the rest of the payload") {
        rig.during_data = [&](StreamId id, std::size_t) { rig->reset(id); };
        REQUIRE(rig.feed(kSynOf1 + data(kFin, 1, "abc"), 1));
        CHECK(rig.seen() == "stream 1; data 1 61");
    }
    SECTION("in on_data, by close") {
        rig.during_data = [&](StreamId id, std::size_t) { rig->close(id, rig.now); };
        REQUIRE(rig.feed(kSynOf1 + data(kFin, 1, "abc"), 1));
        CHECK(rig.seen() == "stream 1; data 1 61; finished 1");
        CHECK(rig->streams() == 0);
    }
    SECTION("in on_finished") {
        rig.during_finished = [&](StreamId id) { rig->close(id, rig.now); };
        REQUIRE(rig.feed(kSynOf1 + data(kFin, 1, "abc")));
        CHECK(rig->streams() == 0);
    }
    SECTION("in on_data, and use the number for a stream of their own") {
        rig.during_data = [&](StreamId id, std::size_t) {
            rig->reset(id);
            CHECK(rig->open(rig.now).value() == id);
        };
        REQUIRE(rig.feed(update(kSyn, 2) + data(kFin, 2, "abc"), 1));
        CHECK(rig.seen() == "stream 2; data 2 61");
        CHECK(rig->streams() == 1);
    }
    SECTION("in on_data the bytes can be consumed at once") {
        rig.during_data = [&](StreamId id, std::size_t size) { rig->consumed(id, size); };
        for (int i = 0; i < 8; ++i)
            REQUIRE(rig.feed((i == 0 ? kSynOf1 : Bytes()) + data(0, 1, Bytes(kWindowBytes / 2))));
        CHECK(rig.sent().size() == 8 * 2 * kHeaderBytes);
    }
}

TEST_CASE("yamux: a silent peer is asked after 5 s and given up 10 s later") {
    auto rig = yamux_client();
    rig.now += 3s;
    REQUIRE(rig.feed(frame(Type::ping, kAck, 0, 99)));
    CHECK(rig->next_time() == rig.now + 5s);
    REQUIRE(rig.pass(5s - 1ns));
    CHECK(rig.sent().empty());
    REQUIRE(rig.pass(1ns));
    CHECK(rig.sent() == hex(frame(Type::ping, kSyn, 0, 0)));
    CHECK(rig->next_time() == rig.now + 10s);
    SECTION("no answer") {
        REQUIRE(rig.pass(10s - 1ns));
        CHECK(code_of(rig.pass(1ns)) == errc::peer_silent);
        CHECK(code_of(rig.feed(kSynOf1)) == errc::peer_silent);
        CHECK(rig.sent().empty());
    }
    SECTION("any byte is an answer") {
        rig.now += 9s;
        REQUIRE(rig.feed(ByteSpan(kSynOf1).first(1)));
        CHECK(rig->next_time() == rig.now + 5s);
        REQUIRE(rig.pass(5s));
        CHECK(rig.sent() == hex(frame(Type::ping, kSyn, 0, 1)));
        CHECK(rig.seen().empty());
    }
    SECTION("no byte is none") {
        rig.now += 9s;
        REQUIRE(rig.feed({}));
        CHECK(code_of(rig.pass(1s)) == errc::peer_silent);
    }
}

TEST_CASE("yamux: whoever slept through both times asks before giving up") {
    auto rig = yamux_client();
    REQUIRE(rig.pass(1h));
    CHECK(rig.sent() == hex(frame(Type::ping, kSyn, 0, 0)));
    REQUIRE(rig.pass(9s));
    CHECK(code_of(rig.pass(1s)) == errc::peer_silent);
}

TEST_CASE("yamux: a ping goes out every 30 s whatever was received") {
    auto rig = yamux_client();
    for (int second = 1; second <= 90; ++second) {
        rig.now += 1s;
        REQUIRE(rig.feed(frame(Type::ping, kAck, 0, 99)));
        REQUIRE(rig.tick());
        CHECK(rig.sent().empty() == (second % 30 != 0));
    }
}

TEST_CASE("yamux: our SYN without an ACK ends the session") {
    auto rig = yamux_client();
    rig.now += 1s;
    rig->open(rig.now).value();
    rig->open(rig.now).value();
    const auto alive = [&rig](Duration time) {
        rig.now += time;
        REQUIRE(rig.feed(frame(Type::ping, kAck, 0, 99)));
        return rig.tick();
    };
    SECTION("after 20 s") {
        REQUIRE(rig.feed(update(kAck, 1)));
        REQUIRE(alive(20s - 1ns));
        CHECK(code_of(alive(1ns)) == errc::open_timed_out);
    }
    SECTION("not when it comes in time") {
        REQUIRE(rig.feed(update(kAck, 1) + data(kAck, 3, "x")));
        REQUIRE(alive(20s));
        REQUIRE(alive(1h));
        CHECK(rig->streams() == 2);
    }
    SECTION("not for a stream whose FIN came first") {
        REQUIRE(rig.feed(update(kAck, 1) + update(kFin, 3)));
        REQUIRE(alive(20s));
        REQUIRE(alive(1h));
        rig->close(3, rig.now);
        CHECK(rig->streams() == 1);
    }
    SECTION("not for a stream that we have closed or reset") {
        rig->close(1, rig.now);
        rig->reset(3);
        REQUIRE(alive(20s));
        CHECK(rig->streams() == 1);
        // Its ACK does not stop the time for the peer's FIN.
        REQUIRE(rig.feed(update(kAck, 1)));
        REQUIRE(alive(10s));
        CHECK(rig->streams() == 0);
    }
}

TEST_CASE("yamux: our FIN without the peer's is followed by RST after 30 s") {
    CoreOptions options;
    options.keep_alive = 1h;
    auto rig = yamux_server(options);
    REQUIRE(rig.feed(update(kSyn, 1) + update(kSyn, 3) + update(kSyn, 5)));
    rig->close(1, rig.now);
    rig->close(3, rig.now);
    rig.now += 10s;
    rig->close(5, rig.now);
    rig.sent();
    rig.seen();
    rig.now += 20s - 1ns;
    REQUIRE(rig.feed(update(kFin, 3)));
    CHECK(rig.seen() == "finished 3");
    REQUIRE(rig.tick());
    rig.sent();
    CHECK(rig->next_time() <= rig.now + 1ns);
    REQUIRE(rig.pass(1ns));
    CHECK(rig.seen() == "reset 1 close_timed_out");
    CHECK(rig.sent() == hex(update(kRst, 1)));
    CHECK(rig->streams() == 1);
    rig.now += 4s;
    REQUIRE(rig.feed(frame(Type::ping, kAck, 0, 99)));
    rig.now += 6s;
    REQUIRE(rig.tick());
    CHECK(rig.seen() == "reset 5 close_timed_out");
    CHECK(rig->streams() == 0);
}

TEST_CASE("yamux: a stream that the peer has finished and we have not waits for ever") {
    auto rig = yamux_server();
    REQUIRE(rig.feed(kSynOf1 + update(kFin, 1)));
    for (int i = 0; i < 1000; ++i) {
        rig.now += 4s;
        REQUIRE(rig.feed(frame(Type::ping, kAck, 0, 99)));
        REQUIRE(rig.tick());
    }
    CHECK(rig->streams() == 1);
}

}  // namespace skywire::mux::test
