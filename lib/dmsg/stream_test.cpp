#include "dmsg/stream.hpp"

#include "dmsg/test_party.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::Couple;
using test::framed;
using test::Party;
using test::Started;
using test::World;

using Opened = Started<Result<std::unique_ptr<Stream>>>;

/// A dialer at the near end, a responder at the far one, no server between: a session does not ask
/// who is behind it.
struct Rig {
    explicit Rig(mux::Protocol protocol = mux::Protocol::yamux) : couple(world, protocol) {}

    Party& near() { return *couple.near; }
    Party& far() { return *couple.far; }
    SteadyTime soon() { return world.clock.now() + 20s; }
    Address from() const { return {couple.near_keys.public_key, 49153}; }
    Address to() const { return {couple.far_keys.public_key, 80}; }

    Opened dial(Address destination) {
        return Opened(
            world.loop,
            open_stream(
                world.context, near().session, couple.near_keys, from(), destination, soon()
            )
        );
    }

    Opened answer() {
        return Opened(
            world.loop,
            answer_stream(
                world.context,
                far().session,
                far().accept(),
                couple.far_keys,
                [](std::uint16_t port) { return port == 80; },
                soon()
            )
        );
    }

    /// A stream, both ends.
    std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> connect() {
        Opened dialer = dial(to());
        Opened responder = answer();
        auto theirs = std::move(responder.wait().value());
        return {std::move(dialer.wait().value()), std::move(theirs)};
    }

    World world;
    Couple couple;
};

/// Sends that many bytes in writes of that size, then nothing.
Task<> pour(net::Stream& stream, std::size_t size, std::size_t piece) {
    Bytes bytes(piece);
    std::uint64_t next = 0;
    for (std::size_t done = 0; done < size;) {
        const std::size_t count = std::min(piece, size - done);
        for (std::size_t i = 0; i < count; ++i)
            bytes[i] = std::byte(next++ * 31 >> 3 & 0xff);
        (co_await stream.write(ByteSpan(bytes).first(count))).value();
        done += count;
    }
}

/// Reads that many, and checks them.
Task<bool> drain(net::Stream& stream, std::size_t size, std::size_t buffer) {
    Bytes bytes(buffer);
    std::uint64_t next = 0;
    for (std::size_t done = 0; done < size;) {
        const std::size_t count = (co_await stream.read_some(bytes)).value();
        if (count == 0) co_return false;
        for (std::size_t i = 0; i < count; ++i) {
            if (bytes[i] != std::byte(next++ * 31 >> 3 & 0xff)) co_return false;
        }
        done += count;
    }
    co_return true;
}

Task<bool> poured(net::Stream& stream, std::size_t size, std::size_t piece) {
    co_await pour(stream, size, piece);
    co_return true;
}

Result<Bytes> read(World& world, net::Stream& stream, std::size_t size) {
    return Started<Result<Bytes>>(world.loop, test::read_bytes(stream, size)).wait();
}

}  // namespace

TEST_CASE("stream: megabytes both ways at once, byte for byte") {
    for (const auto protocol : {mux::Protocol::yamux, mux::Protocol::smux}) {
        Rig rig(protocol);
        auto [near, far] = rig.connect();
        const std::size_t size = 3'000'000;
        Started<bool> out(rig.world.loop, poured(*near, size, 200'001));
        Started<bool> back(rig.world.loop, poured(*far, size, 999));
        Started<bool> there(rig.world.loop, drain(*far, size, 65536));
        Started<bool> here(rig.world.loop, drain(*near, size, 1000));
        CHECK(there.wait());
        CHECK(here.wait());
        CHECK(out.wait());
        CHECK(back.wait());
    }
}

TEST_CASE("stream: many at once, each with its own bytes") {
    Rig rig;
    std::vector<std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>>> streams;
    for (int i = 0; i < 20; ++i)
        streams.push_back(rig.connect());
    std::vector<Started<bool>> tasks;
    for (auto& [near, far] : streams) {
        tasks.emplace_back(rig.world.loop, poured(*near, 300'000, 7001));
        tasks.emplace_back(rig.world.loop, drain(*far, 300'000, 5000));
    }
    for (auto& task : tasks)
        CHECK(task.wait());
}

TEST_CASE("stream: addresses are keys") {
    Rig rig;
    auto [near, far] = rig.connect();
    CHECK(near->local_address() == rig.from());
    CHECK(near->remote_address() == rig.to());
    CHECK(far->local_address() == rig.to());
    CHECK(far->remote_address() == rig.from());
    CHECK(far->remote().host == rig.couple.near_keys.public_key.to_text());
    CHECK(far->remote().port == 49153);
    CHECK(near->remote().to_string() == rig.to().to_string());
}

TEST_CASE("stream: data may follow the response at once, and lie behind it") {
    Rig rig;
    Opened dialer = rig.dial(rig.to());
    Opened responder = rig.answer();
    auto far = std::move(responder.wait().value());
    test::write_raw(rig.world, *far, test::text_bytes("at once"));
    auto near = std::move(dialer.wait().value());
    CHECK(as_text(read(rig.world, *near, 7).value()) == "at once");
}

TEST_CASE("stream: pieces, empty writes, the end") {
    Rig rig;
    auto [near, far] = rig.connect();
    test::write_raw(rig.world, *near, {});
    const std::array<ByteSpan, 4> parts{as_bytes("one "), {}, as_bytes("two "), as_bytes("three")};
    Started<Result<>>(rig.world.loop, near->write_all(parts)).wait().value();
    Started<Result<>>(rig.world.loop, near->write(as_bytes(" he"), as_bytes("ad"))).wait().value();
    near->close();
    CHECK(as_text(read(rig.world, *far, 100).value()) == "one two three head");
    CHECK(read(rig.world, *far, 1).value().empty());
    CHECK(read(rig.world, *near, 1).error() == make_error_code(errc::closed));
    Started<Result<>> late(rig.world.loop, near->write(as_bytes("x"), {}));
    CHECK(late.wait().error() == make_error_code(errc::closed));
    near->close();
    far->close();
    rig.world.loop.settle();
    near.reset();
    far.reset();
    CHECK(rig.near().session.mux().streams() == 0);
    CHECK(rig.far().session.mux().streams() == 0);
}

TEST_CASE("stream: close ends what is under way") {
    Rig rig;
    auto [near, far] = rig.connect();
    Started<Result<Bytes>> reading(rig.world.loop, test::read_bytes(*near, 1));
    const Bytes large(1'000'000);
    Started<Result<>> writing(rig.world.loop, near->write(large, {}));
    CHECK(!reading.ended());
    CHECK(!writing.ended());
    near->close();
    CHECK(reading.wait().error() == make_error_code(errc::closed));
    CHECK(writing.wait().error() == make_error_code(errc::closed));
}

TEST_CASE("stream: a cancelled read loses nothing") {
    Rig rig;
    auto [near, far] = rig.connect();
    Started<Result<Bytes>> reading(rig.world.loop, test::read_bytes(*far, 1));
    reading.cancel();
    CHECK(reading.ended());
    test::write_raw(rig.world, *near, test::text_bytes("kept"));
    CHECK(as_text(read(rig.world, *far, 4).value()) == "kept");
}

TEST_CASE("stream: waiting until there is something to read") {
    Rig rig;
    auto [near, far] = rig.connect();
    Started<Result<>> waiting(rig.world.loop, far->wait_readable());
    CHECK(!waiting.ended());
    test::write_raw(rig.world, *near, test::text_bytes("ab"));
    CHECK(waiting.wait());
    CHECK(as_text(read(rig.world, *far, 1).value()) == "a");
    Started<Result<>> again(rig.world.loop, far->wait_readable());
    CHECK(again.wait());
    CHECK(as_text(read(rig.world, *far, 1).value()) == "b");
    Started<Result<>> end(rig.world.loop, far->wait_readable());
    CHECK(!end.ended());
    near->close();
    CHECK(end.wait());
    CHECK(read(rig.world, *far, 1).value().empty());
}

TEST_CASE("stream: an unknown port is refused without a word") {
    Rig rig;
    Opened dialer = rig.dial({rig.couple.far_keys.public_key, 81});
    Opened responder = rig.answer();
    CHECK(responder.wait().error() == make_error_code(Code::no_listener));
    CHECK(dialer.wait().error() == make_error_code(errc::closed));
    rig.world.loop.settle();
    CHECK(rig.near().session.mux().streams() == 0);
    CHECK(rig.far().session.mux().streams() == 0);
    CHECK(!rig.near().ended);
}

TEST_CASE("stream: a peer that goes away, a session that has ended") {
    Rig rig;
    rig.connect();
    rig.far().session.mux().go_away();
    rig.world.loop.settle();
    CHECK(rig.dial(rig.to()).wait().error() == make_error_code(mux::errc::going_away));
    rig.near().session.mux().abort(fail(errc::closed, "test"));
    CHECK(rig.dial(rig.to()).wait().error() == make_error_code(mux::errc::session_ended));
}

TEST_CASE("stream: silence ends at the deadline, on both sides") {
    Rig rig;
    Opened dialer = rig.dial(rig.to());
    auto never_answered = rig.far().accept();
    rig.world.advance(20s - 1ns);
    CHECK(!dialer.ended());
    rig.world.advance(1ns);
    CHECK(dialer.wait().error() == make_error_code(errc::timed_out));

    auto silent = rig.near().session.mux().open().value();
    test::write_raw(rig.world, *silent, Bytes{std::byte{1}});
    Opened responder = rig.answer();
    rig.world.advance(20s);
    CHECK(responder.wait().error() == make_error_code(errc::timed_out));
    CHECK(read(rig.world, *silent, 1).error() == make_error_code(mux::errc::reset));
}

TEST_CASE("stream: cancelled while it is set up, the mux stream is reset") {
    Rig rig;
    Opened dialer = rig.dial(rig.to());
    auto asked = rig.far().accept();
    dialer.cancel();
    CHECK(dialer.ended());
    (void)read(rig.world, *asked, 10000);
    CHECK(read(rig.world, *asked, 1).error() == make_error_code(mux::errc::reset));

    auto silent = rig.near().session.mux().open().value();
    test::write_raw(rig.world, *silent, Bytes{std::byte{1}});
    Opened responder = rig.answer();
    responder.cancel();
    CHECK(responder.ended());
    CHECK(read(rig.world, *silent, 1).error() == make_error_code(mux::errc::reset));
    CHECK(rig.near().session.mux().streams() == 0);
}

TEST_CASE("stream: forged, replayed and oversize records end the stream, and only it") {
    enum class Attack { flip, replay, oversize, too_short, truncate };
    for (const auto attack :
         {Attack::flip, Attack::replay, Attack::oversize, Attack::too_short, Attack::truncate}) {
        Rig rig;
        auto [other_near, other_far] = rig.connect();
        // The near end by hand.
        auto handshake = noise::Handshake::make(
                             noise::Pattern::kk,
                             noise::Role::initiator,
                             rig.couple.near_keys,
                             rig.couple.far_keys.public_key
        )
                             .value();
        StreamRequest request;
        request.timestamp = 1;
        request.source = rig.from();
        request.destination = rig.to();
        request.noise_message = handshake.write_message(rig.world.random).value();
        auto carrier = rig.near().session.mux().open().value();
        const auto object = SignedObject::sign(encode(request), rig.couple.near_keys.secret_key);
        Started<Result<>>(rig.world.loop, rig.near().session.send(*carrier, object)).wait().value();
        Opened responder = rig.answer();
        auto far = std::move(responder.wait().value());
        Started<Result<SignedObject>> answer(
            rig.world.loop, rig.near().session.receive(*carrier, rig.soon())
        );
        const auto response = decode_response(answer.wait().value().payload()).value();
        handshake.read_message(response.noise_message).value();
        noise::RecordSealer sealer(handshake.keys().send);
        Bytes good(2 + 24 + 5);
        sealer.seal_frames(as_bytes("hello"), good).value();
        test::write_raw(rig.world, *carrier, good);
        CHECK(as_text(read(rig.world, *far, 5).value()) == "hello");

        Bytes bad(2 + 24 + 5);
        sealer.seal_frames(as_bytes("again"), bad).value();
        ErrorCode expected = noise::errc::not_authentic;
        switch (attack) {
            case Attack::flip:
                bad[20] ^= std::byte{1};
                break;
            case Attack::replay:
                bad = good;
                expected = noise::errc::replayed_nonce;
                break;
            case Attack::oversize:
                bad = {std::byte{0x0f}, std::byte{0xff}};
                expected = noise::errc::frame_too_long;
                break;
            case Attack::too_short:
                bad = framed(Bytes(23));
                expected = noise::errc::short_record;
                break;
            case Attack::truncate:
                bad.pop_back();
                expected = make_error_code(errc::malformed);
                break;
        }
        test::write_raw(rig.world, *carrier, bad);
        if (attack == Attack::truncate) carrier->close();
        CHECK(read(rig.world, *far, 5).error() == expected);
        CHECK(read(rig.world, *far, 5).error() == expected);

        test::write_raw(rig.world, *other_near, test::text_bytes("unharmed"));
        CHECK(as_text(read(rig.world, *other_far, 8).value()) == "unharmed");
    }
}

TEST_CASE("stream: the session's end reaches readers and writers") {
    Rig rig;
    auto [near, far] = rig.connect();
    Started<Result<Bytes>> reading(rig.world.loop, test::read_bytes(*near, 1));
    const Bytes large(1'000'000);
    Started<Result<>> writing(rig.world.loop, far->write(large, {}));
    rig.far().session.mux().abort(fail(errc::closed, "test"));
    CHECK(writing.wait().error() == make_error_code(mux::errc::session_ended));
    rig.world.loop.settle();
    // What had come is read first, then the error.
    const auto first = reading.wait();
    const bool told = first || first.error() == make_error_code(mux::errc::session_ended);
    CHECK(told);
    const auto rest = read(rig.world, *near, large.size());
    CHECK(rest.error() == make_error_code(mux::errc::session_ended));
}

}  // namespace skywire::dmsg
