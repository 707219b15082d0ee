#include "mux/smux.hpp"

#include "mux/core_rig.hpp"

namespace skywire::mux::test {
using namespace smux;

namespace {

Rig smux_server(CoreOptions options = {}) {
    options.role = Role::server;
    return Rig(make_smux, options);
}

Rig smux_client(CoreOptions options = {}) {
    options.role = Role::client;
    return Rig(make_smux, options);
}

Bytes frame(Command command, StreamId id, std::size_t length = 0) {
    const auto bytes = encode(Header{command, static_cast<std::uint16_t>(length), id});
    return {bytes.begin(), bytes.end()};
}
Bytes syn(StreamId id) {
    return frame(Command::syn, id);
}
Bytes fin(StreamId id) {
    return frame(Command::fin, id);
}
Bytes psh(StreamId id, ByteSpan payload) {
    return frame(Command::psh, id, payload.size()) + payload;
}
Bytes psh(StreamId id, std::string_view payload) {
    return psh(id, as_bytes(payload));
}
Bytes upd(StreamId id, std::uint32_t consumed, std::uint32_t window = kWindowBytes) {
    const auto bytes = encode(id, Update{consumed, window});
    return {bytes.begin(), bytes.end()};
}
Bytes many(std::size_t count, const Bytes& bytes) {
    Bytes all;
    for (std::size_t i = 0; i < count; ++i)
        all.insert(all.end(), bytes.begin(), bytes.end());
    return all;
}
std::string hex(const Bytes& bytes) {
    return to_hex(bytes);
}

const Bytes kNop = frame(Command::nop, 0);
const Bytes kFull = Bytes(kPayloadMax);

/// Counts and forgets: for tests that move much.
struct Counter final : CoreEvents, CoreOutput {
    void on_stream(StreamId) override {}
    void on_data(StreamId, ByteSpan payload) override { received += payload.size(); }
    void on_sendable(StreamId) override {}
    void on_accepted(StreamId) override {}
    void on_finished(StreamId) override {}
    void on_reset(StreamId, errc) override {}
    void on_pong(Duration) override {}
    void on_go_away() override {}
    void on_frame(ByteSpan frame) override { last.assign(frame.begin(), frame.end()); }

    std::uint64_t received = 0;
    Bytes last;
};

}  // namespace

TEST_CASE("smux: a frame's header is eight bytes, little-endian") {
    CHECK(hex(frame(Command::psh, 0x01020304, 0x1234)) == "0202341204030201");
    CHECK(hex(upd(3, 0x01020304, 65536)) == "02040800030000000403020100000100");
    const auto header = decode(skywire::test::hex("02020a0005000000").data());
    REQUIRE(header.has_value());
    CHECK(header->command == Command::psh);
    CHECK(header->length == 10);
    CHECK(header->stream == 5);
    CHECK_FALSE(decode(skywire::test::hex("0102000000000000").data()).has_value());
    CHECK_FALSE(decode(skywire::test::hex("0205000000000000").data()).has_value());
}

TEST_CASE("smux: the dialer opens odd streams from 3, the acceptor even ones from 2") {
    auto client = smux_client();
    CHECK(client->open(client.now).value() == 3);
    CHECK(client->open(client.now).value() == 5);
    CHECK(client.sent() == hex(syn(3) + syn(5)));
    auto server = smux_server();
    CHECK(server->open(server.now).value() == 2);
    CHECK(server->open(server.now).value() == 4);
    CHECK(server.sent() == hex(syn(2) + syn(4)));
}

TEST_CASE("smux: a SYN is not acknowledged, and nothing waits for that") {
    auto server = smux_server();
    REQUIRE(server.feed(syn(3) + psh(3, "ab")));
    CHECK(server.seen() == "stream 3; data 3 6162");
    server->accept(3);
    CHECK(server.sent().empty());

    auto client = smux_client();
    client->open(client.now).value();
    for (int i = 0; i < 100; ++i) {
        client.now += 4s;
        REQUIRE(client.feed(kNop));
        REQUIRE(client.tick());
    }
    CHECK(client->streams() == 1);
    CHECK(client.seen().empty());
}

TEST_CASE("smux: SYN for a used number, for our own numbers or for none ends the session") {
    for (const StreamId id : {0U, 2U, 3U}) {
        auto rig = smux_server();
        REQUIRE(rig.feed(syn(3)));
        CHECK(code_of(rig.feed(syn(id))) == errc::bad_stream_id);
        // There is no frame to say so.
        CHECK(rig.sent().empty());
        CHECK(code_of(rig.feed(kNop)) == errc::bad_stream_id);
    }
    auto rig = smux_client();
    CHECK(code_of(rig.feed(syn(3))) == errc::bad_stream_id);
}

TEST_CASE("smux: a number may be used again when its stream is gone") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3) + fin(3)));
    rig->close(3, rig.now);
    REQUIRE(rig.feed(syn(3)));
    CHECK(rig.seen() == "stream 3; finished 3; stream 3");
}

TEST_CASE("smux: a frame of ours carries at most 32768 bytes, 262144 before the first update") {
    auto rig = smux_client();
    rig->open(rig.now).value();
    for (int i = 0; i < 8; ++i) {
        CHECK(rig->sendable(3) == kPayloadMax);
        rig->begin_data(3, kPayloadMax);
    }
    CHECK(rig->sendable(3) == 0);
    CHECK(rig.sent() == hex(syn(3) + many(8, frame(Command::psh, 3, kPayloadMax))));
}

TEST_CASE("smux: the peer's update moves its window and may shrink it") {
    auto rig = smux_client();
    rig->open(rig.now).value();
    rig->begin_data(3, kPayloadMax);
    rig->begin_data(3, kPayloadMax);
    rig->begin_data(3, kPayloadMax);
    REQUIRE(rig.feed(upd(3, 1)));
    CHECK(rig->sendable(3) == 0);
    REQUIRE(rig.feed(upd(3, kPayloadMax)));
    CHECK(rig->sendable(3) == 0);
    CHECK(rig.seen().empty());
    REQUIRE(rig.feed(upd(3, kPayloadMax + 100)));
    CHECK(rig.seen() == "sendable 3");
    CHECK(rig->sendable(3) == 100);
    REQUIRE(rig.feed(upd(3, 3 * kPayloadMax)));
    CHECK(rig.seen().empty());
    CHECK(rig->sendable(3) == kPayloadMax);
    // A window of nothing, and one that is larger than any.
    REQUIRE(rig.feed(upd(3, 3 * kPayloadMax, 0)));
    CHECK(rig->sendable(3) == 0);
    REQUIRE(rig.feed(upd(3, 3 * kPayloadMax, ~0U)));
    CHECK(rig.seen() == "sendable 3");
    CHECK(rig->sendable(3) == kPayloadMax);
}

TEST_CASE("smux: an update that is older than the last one says nothing") {
    auto rig = smux_client();
    rig->open(rig.now).value();
    rig->begin_data(3, 1000);
    REQUIRE(rig.feed(upd(3, 600) + upd(3, 500, 0)));
    CHECK(rig->sendable(3) == kPayloadMax);
}

TEST_CASE("smux: an update that takes more than was sent ends the session") {
    auto rig = smux_client();
    rig->open(rig.now).value();
    rig->begin_data(3, 1000);
    REQUIRE(rig.feed(upd(3, 1000)));
    CHECK(code_of(rig.feed(upd(3, 1001))) == errc::bad_frame);
}

TEST_CASE("smux: an update is sent at the first bytes consumed and after each 32768 further") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3) + psh(3, kFull) + psh(3, kFull)));
    rig->consumed(3, 0);
    CHECK(rig.sent().empty());
    rig->consumed(3, 2);
    CHECK(rig.sent() == hex(upd(3, 2)));
    rig->consumed(3, kPayloadMax - 1);
    CHECK(rig.sent().empty());
    rig->consumed(3, 1);
    CHECK(rig.sent() == hex(upd(3, kPayloadMax + 2)));
    rig->consumed(3, kPayloadMax - 2);
    CHECK(rig.sent().empty());
}

TEST_CASE("smux: data beyond the first window end the session") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3) + many(8, psh(3, kFull))));
    CHECK(code_of(rig.feed(frame(Command::psh, 3, 1))) == errc::window_exceeded);
    CHECK(rig.received[3] == kFirstWindowBytes);
}

TEST_CASE("smux: the peer may fill its first window even when its second has begun") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3) + many(2, psh(3, kFull))));
    rig->consumed(3, 2);
    REQUIRE(rig.feed(many(6, psh(3, kFull))));
    CHECK(code_of(rig.feed(psh(3, "x"))) == errc::window_exceeded);
}

TEST_CASE("smux: data beyond the later window end the session") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3) + many(8, psh(3, kFull))));
    rig->consumed(3, kFirstWindowBytes);
    CHECK(rig.sent() == hex(upd(3, kFirstWindowBytes)));
    REQUIRE(rig.feed(many(2, psh(3, kFull))));
    // Consumed but not told does not count.
    rig->consumed(3, kPayloadMax - 1);
    CHECK(rig.sent().empty());
    CHECK(code_of(rig.feed(psh(3, "x"))) == errc::window_exceeded);
}

TEST_CASE("smux: a peer's frame may be longer than ours where its window allows") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3) + psh(3, Bytes(65535))));
    CHECK(rig.received[3] == 65535);
}

TEST_CASE("smux: the totals of a stream run over 2^32") {
    Counter events;
    const auto core = make_smux({.role = Role::server}, events, SteadyTime{});
    REQUIRE(core->on_bytes(syn(3), SteadyTime{}, events));
    const Bytes full = psh(3, kFull);
    const std::uint64_t end = (std::uint64_t{1} << 32) + 10 * kPayloadMax;
    bool fine = true;
    for (std::uint64_t at = 0; at < end && fine; at += kPayloadMax) {
        fine = core->on_bytes(full, SteadyTime{}, events).has_value();
        core->consumed(3, kPayloadMax);
        fine = fine && core->sendable(3) == kPayloadMax;
        core->begin_data(3, kPayloadMax);
        const auto taken = static_cast<std::uint32_t>(at + kPayloadMax);
        fine = fine && core->on_bytes(upd(3, taken), SteadyTime{}, events).has_value();
    }
    CHECK(fine);
    CHECK(events.received == end);
    REQUIRE(core->on_bytes(full, SteadyTime{}, events));
    core->consumed(3, kPayloadMax);
    CHECK(hex(events.last) == hex(upd(3, 11 * kPayloadMax)));
}

TEST_CASE("smux: both directions end one after the other, with one FIN each") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3)));
    SECTION("the peer first") {
        REQUIRE(rig.feed(fin(3) + fin(3) + psh(3, "late")));
        CHECK(rig.seen() == "stream 3; finished 3");
        CHECK(rig.sent() == hex(upd(3, 4)));
        rig->close(3, rig.now);
    }
    SECTION("we first") {
        rig->close(3, rig.now);
        CHECK(rig->sendable(3) == 0);
        CHECK(rig->streams() == 1);
        rig->close(3, rig.now);
        REQUIRE(rig.feed(fin(3)));
        CHECK(rig.seen() == "stream 3; finished 3");
    }
    CHECK(rig.sent() == hex(fin(3)));
    CHECK(rig->streams() == 0);
    rig->close(3, rig.now);
    rig->reset(3);
    CHECK(rig.sent().empty());
}

TEST_CASE("smux: after our close the peer's data are discarded and their window given back") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3) + psh(3, "ab") + frame(Command::psh, 3, 4)));
    REQUIRE(rig.feed(as_bytes("cd")));
    rig->close(3, rig.now);
    CHECK(rig.sent() == hex(fin(3) + upd(3, 6)));
    REQUIRE(rig.feed(as_bytes("ef")));
    REQUIRE(rig.feed(many(20, psh(3, kFull))));
    CHECK(rig.sent().size() == 20 * 2 * (kHeaderBytes + kUpdateBytes));
    rig->consumed(3, 6);
    CHECK(rig.sent().empty());
    CHECK(rig.seen() == "stream 3; data 3 61626364");
}

TEST_CASE("smux: a reset is a FIN, where none was sent, and forgets the stream") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3) + syn(5)));
    rig->reset(3);
    CHECK(rig.sent() == hex(fin(3)));
    rig->close(5, rig.now);
    rig->reset(5);
    CHECK(rig.sent() == hex(fin(5)));
    CHECK(rig->streams() == 0);
    REQUIRE(rig.feed(psh(3, "ab") + fin(3)));
    CHECK(rig.seen() == "stream 3; stream 5");
}

TEST_CASE("smux: our FIN without the peer's is waited for, 30 s") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3)));
    rig->close(3, rig.now);
    rig.now += 30s - 1ns;
    REQUIRE(rig.feed(kNop));
    REQUIRE(rig.tick());
    CHECK(rig->streams() == 1);
    rig.sent();
    REQUIRE(rig.pass(1ns));
    CHECK(rig.seen() == "stream 3; reset 3 close_timed_out");
    CHECK(rig.sent().empty());
    CHECK(rig->streams() == 0);
}

TEST_CASE("smux: frames of unknown streams are discarded with their payload") {
    auto rig = smux_server();
    REQUIRE(rig.feed(psh(3, "abc") + upd(3, 77) + fin(3) + psh(0, "x") + syn(3)));
    CHECK(rig.seen() == "stream 3");
    rig->begin_data(9, 0);
    rig->consumed(9, 100);
    rig->close(9, rig.now);
    CHECK(rig->sendable(9) == 0);
    CHECK(rig.sent().empty());
}

TEST_CASE("smux: streams beyond the limit are refused with FIN") {
    CoreOptions options;
    options.streams_max = 2;
    auto rig = smux_server(options);
    REQUIRE(rig.feed(syn(3)));
    rig->open(rig.now).value();
    rig.sent();
    REQUIRE(rig.feed(syn(5) + psh(5, "abc") + fin(5)));
    CHECK(rig.seen() == "stream 3; refused 5");
    CHECK(rig.sent() == hex(fin(5)));
    CHECK(rig->open(rig.now).error() == errc::too_many_streams);
}

TEST_CASE("smux: after our go-away, which sends nothing, the peer's new streams are refused") {
    auto rig = smux_server();
    REQUIRE(rig.feed(syn(3)));
    rig->go_away();
    CHECK(rig.sent().empty());
    CHECK(rig->open(rig.now).error() == errc::going_away);
    REQUIRE(rig.feed(syn(5) + psh(3, "a")));
    CHECK(rig.seen() == "stream 3; refused 5; data 3 61");
    CHECK(rig.sent() == hex(fin(5)));
}

TEST_CASE("smux: numbers run out") {
    CoreOptions options;
    options.first_id = ~0U - 2;
    auto rig = smux_client(options);
    CHECK(rig->open(rig.now).value() == ~0U - 2);
    CHECK(rig->open(rig.now).value() == ~0U);
    CHECK(rig->open(rig.now).error() == errc::ids_exhausted);
}

TEST_CASE("smux: another version or command, or a length that cannot be, ends the session") {
    for (const std::string_view head : {
             "0102000003000000",
             "0002000003000000",
             "0205000003000000",
             "0200010003000000",
             "0201010003000000",
             "0203010000000000",
             "0204070003000000",
             "0204000003000000",
             "0204ffff03000000",
         }) {
        CAPTURE(head);
        auto rig = smux_server();
        const auto done = rig.feed(skywire::test::hex(head));
        CHECK(code_of(done) == errc::bad_frame);
        CHECK(done.error().message().find("smux frame of") == 0);
        CHECK(code_of(rig.feed(syn(3))) == errc::bad_frame);
        CHECK(code_of(rig.pass(1h)) == errc::bad_frame);
        CHECK(rig.seen().empty());
        CHECK(rig.sent().empty());
    }
}

TEST_CASE("smux: frames may be cut anywhere") {
    const Bytes wire = syn(3) + psh(3, "hello") + upd(3, 2) + psh(3, "") + kNop + fin(3);
    for (std::size_t piece = 1; piece <= wire.size(); ++piece) {
        auto rig = smux_server();
        rig.during_stream = [&rig](StreamId id) { rig->begin_data(id, 2); };
        REQUIRE(rig.feed(wire, piece));
        CHECK(rig.seen() == "stream 3; data 3 68656c6c6f; finished 3");
        CHECK(rig.sent() == hex(frame(Command::psh, 3, 2)));
    }
}

TEST_CASE("smux: the events' callee may end streams") {
    auto rig = smux_server();
    SECTION("in on_stream") {
        rig.during_stream = [&](StreamId id) { rig->reset(id); };
        REQUIRE(rig.feed(syn(3) + psh(3, "abc")));
        CHECK(rig.seen() == "stream 3");
    }
    SECTION("in on_data") {
        rig.during_data = [&](StreamId id, std::size_t) { rig->reset(id); };
        REQUIRE(rig.feed(syn(3) + psh(3, "abc") + fin(3), 1));
        CHECK(rig.seen() == "stream 3; data 3 61");
    }
    SECTION("in on_data, by close") {
        rig.during_data = [&](StreamId id, std::size_t) { rig->close(id, rig.now); };
        REQUIRE(rig.feed(syn(3) + psh(3, "abc") + fin(3), 1));
        CHECK(rig.seen() == "stream 3; data 3 61; finished 3");
        CHECK(rig->streams() == 0);
    }
    SECTION("in on_finished") {
        rig.during_finished = [&](StreamId id) { rig->close(id, rig.now); };
        REQUIRE(rig.feed(syn(3) + fin(3)));
        CHECK(rig->streams() == 0);
    }
}

TEST_CASE("smux: a NOP goes out every 10 s whatever was received, and when we are asked to ping") {
    auto rig = smux_client();
    for (int second = 1; second <= 40; ++second) {
        rig.now += 1s;
        REQUIRE(rig.feed(kNop));
        REQUIRE(rig.tick());
        CHECK(rig.sent() == (second % 10 == 0 ? hex(kNop) : ""));
    }
    rig->ping(rig.now);
    CHECK(rig.sent() == hex(kNop));
    CHECK(rig.seen().empty());
}

TEST_CASE("smux: a peer that only keeps alive every 10 s lives, a silent one is given up at 15 s") {
    auto rig = smux_client();
    for (int i = 0; i < 10; ++i) {
        for (int second = 0; second < 10; ++second)
            REQUIRE(rig.pass(1s));
        REQUIRE(rig.feed(kNop));
    }
    rig.sent();
    REQUIRE(rig.pass(5s));
    CHECK(rig.sent() == hex(kNop));
    REQUIRE(rig.pass(10s - 1ns));
    CHECK(code_of(rig.pass(1ns)) == errc::peer_silent);
}

}  // namespace skywire::mux::test
