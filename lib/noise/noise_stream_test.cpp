#include "noise/noise_stream.hpp"

#include "base/test.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

#include <deque>
#include <functional>
#include <string>
#include <vector>

using namespace skywire;
using namespace skywire::noise;

namespace {

/// What a scripted carrier saw, and what it will say.
struct Script {
    std::deque<Bytes> incoming;
    std::vector<Bytes> writes;
    int waits = 0;
    std::optional<Error> write_failure;
    /// Instead of the end of the stream.
    std::optional<Error> read_failure;
};

/// Hands out the chunks of a script as they are, and never waits.
class ScriptedStream final : public net::Stream {
 public:
    explicit ScriptedStream(Script& script) : script_(script) {}

    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override {
        if (script_.incoming.empty()) {
            const auto failure = std::exchange(script_.read_failure, {});
            if (failure) co_return *failure;
            co_return std::size_t{0};
        }
        Bytes& chunk = script_.incoming.front();
        const std::size_t size = std::min(into.size(), chunk.size());
        std::copy_n(chunk.begin(), size, into.begin());
        chunk.erase(chunk.begin(), chunk.begin() + static_cast<long>(size));
        if (chunk.empty()) script_.incoming.pop_front();
        co_return size;
    }
    Task<Result<>> write(ByteSpan head, ByteSpan tail) override {
        if (script_.write_failure) co_return *script_.write_failure;
        Bytes all(head.begin(), head.end());
        all.insert(all.end(), tail.begin(), tail.end());
        script_.writes.push_back(std::move(all));
        co_return Result<>();
    }
    Task<Result<>> wait_readable() override {
        ++script_.waits;
        co_return Result<>();
    }
    void close() noexcept override {}
    const net::Address& local() const noexcept override { return address_; }
    const net::Address& remote() const noexcept override { return address_; }

 private:
    Script& script_;
    net::Address address_ = net::Address::unix_path("script");
};

TransportKeys test_keys() {
    crypto::Digest one;
    crypto::Digest two;
    one.fill(std::byte{1});
    two.fill(std::byte{2});
    return {CipherKey(one), CipherKey(two)};
}

/// Frames as the peer of `test_keys` sends them.
Bytes peer_frames(RecordSealer& sealer, ByteSpan plaintext) {
    Bytes frames(RecordSealer::sealed_frames_size(plaintext.size()));
    sealer.seal_frames(plaintext, frames).value();
    return frames;
}

Bytes empty_frame(RecordSealer& sealer) {
    Bytes frame(kFramePrefix + kRecordOverhead);
    frame[1] = static_cast<std::byte>(kRecordOverhead);
    sealer.seal({}, std::span(frame).subspan(kFramePrefix)).value();
    return frame;
}

struct Fixture {
    std::string read(std::size_t room) {
        const auto work = [this, room]() -> Task<std::string> {
            Bytes buffer(room);
            const auto size = co_await stream.read_some(buffer);
            if (!size) co_return size.error().message();
            if (*size == 0) co_return "end";
            co_return std::string(as_text(ByteSpan(buffer).first(*size)));
        };
        return loop.run(work());
    }
    Result<> write(std::vector<ByteSpan> parts) {
        const auto work = [this, &parts]() -> Task<Result<>> {
            co_return co_await stream.write_all(parts);
        };
        return loop.run(work());
    }
    void incoming(std::string_view plaintext) {
        script.incoming.push_back(peer_frames(peer, as_bytes(plaintext)));
    }

    net::TestLoop loop;
    Script script;
    RecordSealer peer{test_keys().receive};
    NoiseStream stream{std::make_unique<ScriptedStream>(script), test_keys(), {}};
};

Bytes random_bytes(Random& random, std::size_t size) {
    Bytes bytes(size);
    random.fill(bytes);
    return bytes;
}

/// Two ends with a handshake of XX between them.
struct PipeFixture {
    explicit PipeFixture(std::size_t room = 4096, ManualClock* clock = nullptr) : loop(clock) {
        std::tie(a, b) = net::make_pipe(loop.ioc.get_executor(), room);
    }

    struct Outcome {
        NoiseStream& stream() { return *result.value(); }

        bool ended = false;
        Result<std::unique_ptr<NoiseStream>> result{Error()};
    };

    void start(Role role, std::unique_ptr<net::Stream>& carrier, Outcome& outcome) {
        scope.spawn("handshake", [this, role, &carrier, &outcome]() -> Task<> {
            const auto& keys = role == Role::initiator ? client : server;
            auto handshake = Handshake::make(Pattern::xx, role, keys).value();
            Clock& clock = loop.context.clock;
            outcome.result = co_await noise_handshake(
                std::move(carrier),
                std::move(handshake),
                loop.random,
                clock,
                clock.now() + kHandshakeLimit
            );
            outcome.ended = true;
        });
    }
    void shake() {
        start(Role::initiator, a, client_end);
        start(Role::responder, b, server_end);
        loop.run_until([&] { return client_end.ended && server_end.ended; });
    }
    std::string failure(const Outcome& outcome) {
        loop.run_until([&] { return outcome.ended; });
        REQUIRE(outcome.result.has_error());
        return outcome.result.error().message();
    }
    void write_raw(net::Stream& to, Bytes bytes) {
        const auto work = [&]() -> Task<> { (co_await to.write(bytes)).value(); };
        loop.run(work());
    }

    net::TestLoop loop;
    std::unique_ptr<net::Stream> a;
    std::unique_ptr<net::Stream> b;
    crypto::KeyPair client = crypto::deterministic_key_pair("client");
    crypto::KeyPair server = crypto::deterministic_key_pair("server");
    Outcome client_end;
    Outcome server_end;
    net::Scope scope{loop.ioc.get_executor()};
};

Task<> send_all(net::Stream& to, Bytes bytes, std::uint64_t seed) {
    SeededRandom random(seed);
    ByteSpan left(bytes);
    while (!left.empty()) {
        const ByteSpan piece = left.first(std::min(left.size(), random.below(20'000) + 1));
        const ByteSpan head = piece.first(random.below(piece.size() + 1));
        (co_await to.write(head, piece.subspan(head.size()))).value();
        left = left.subspan(piece.size());
    }
}

Task<Bytes> receive_all(net::Stream& from, std::size_t size, std::uint64_t seed) {
    SeededRandom random(seed);
    Bytes all;
    while (all.size() < size) {
        if (random.below(4) == 0) (co_await from.wait_readable()).value();
        Bytes piece(random.below(random.below(2) == 0 ? 100 : 30'000) + 1);
        const std::size_t got = (co_await from.read_some(piece)).value();
        if (got == 0) break;
        all.insert(all.end(), piece.begin(), piece.begin() + static_cast<long>(got));
    }
    co_return all;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "noise stream: 5000 bytes are frames of 4096 and 956 in one write") {
    const Bytes plaintext(5000, std::byte{'x'});
    REQUIRE(write({plaintext}));
    REQUIRE(script.writes.size() == 1);
    RecordSealer twin(test_keys().send);
    CHECK(script.writes[0] == peer_frames(twin, plaintext));
    CHECK(script.writes[0].size() == 4096 + 956);
    // Wherever the parts are cut.
    const ByteSpan all(plaintext);
    REQUIRE(write({all.first(1), {}, all.subspan(1, 4070), all.subspan(4071)}));
    CHECK(script.writes[1] == peer_frames(twin, plaintext));
}

TEST_CASE_METHOD(Fixture, "noise stream: writes are batches of 16 frames, nothing writes nothing") {
    REQUIRE(write({}));
    REQUIRE(write({{}, {}}));
    CHECK(script.writes.empty());
    const Bytes plaintext(40 * kFramePlaintextMax + 1, std::byte{'y'});
    REQUIRE(write({plaintext}));
    REQUIRE(script.writes.size() == 3);
    CHECK(script.writes[0].size() == NoiseStream::kBufferSize);
    CHECK(script.writes[1].size() == NoiseStream::kBufferSize);
    CHECK(script.writes[2].size() == 8 * 4096 + 27);
}

TEST_CASE_METHOD(Fixture, "noise stream: frames in pieces, several at once, larger than the room") {
    const Bytes frame = peer_frames(peer, as_bytes("hello"));
    for (const std::byte byte : frame)
        script.incoming.push_back({byte});
    CHECK(read(100) == "hello");
    Bytes several;
    for (const std::string_view text : {"one ", "two ", "three"}) {
        const Bytes next = peer_frames(peer, as_bytes(text));
        several.insert(several.end(), next.begin(), next.end());
    }
    script.incoming.push_back(several);
    CHECK(read(100) == "one two three");
    incoming("abcdefghij");
    CHECK(read(3) == "abc");
    CHECK(read(3) == "def");
    incoming("klm");
    CHECK(read(100) == "ghij");
    CHECK(read(100) == "klm");
    CHECK(read(1) == "end");
    CHECK(read(1) == "end");
}

TEST_CASE_METHOD(Fixture, "noise stream: empty frames are skipped") {
    script.incoming.push_back(empty_frame(peer));
    script.incoming.push_back(empty_frame(peer));
    incoming("after");
    script.incoming.push_back(empty_frame(peer));
    CHECK(read(10) == "after");
    CHECK(read(10) == "end");
}

TEST_CASE_METHOD(Fixture, "noise stream: bad frames are final errors, what came before is read") {
    incoming("good");
    std::string expected;
    Bytes bad = peer_frames(peer, as_bytes("bad"));
    SECTION("too long") {
        bad = {std::byte{0x0f}, std::byte{0xff}};
        expected = "a frame is longer than the network allows";
    }
    SECTION("shorter than a record") {
        bad = Bytes(2 + 23);
        bad[1] = std::byte{23};
        expected = "a record is shorter than its nonce and tag";
    }
    SECTION("of no length") {
        bad = Bytes(2);
        expected = "a record is shorter than its nonce and tag";
    }
    SECTION("changed") {
        bad.back() ^= std::byte{1};
        expected = "a tag does not match: wrong key, or bytes changed on the way";
    }
    SECTION("again") {
        script.incoming.push_back(bad);
        CHECK(read(4) == "good");
        CHECK(read(3) == "bad");
        incoming("good");
        expected = "a nonce was seen before, is too old, or does not rise";
    }
    Bytes& last = script.incoming.back();
    last.insert(last.end(), bad.begin(), bad.end());
    CHECK(read(100) == "good");
    CHECK(read(100) == expected);
    incoming("more");
    CHECK(read(100) == expected);
    const auto wait = [this]() -> Task<Result<>> { co_return co_await stream.wait_readable(); };
    CHECK(loop.run(wait()));
    REQUIRE(write({as_bytes("still")}));
}

TEST_CASE_METHOD(Fixture, "noise stream: the end inside a frame is an error") {
    const Bytes frame = peer_frames(peer, as_bytes("cut"));
    const std::size_t size = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{28});
    script.incoming.push_back({frame.begin(), frame.begin() + static_cast<long>(size)});
    CHECK(read(100) == "ended inside a frame");
    CHECK(read(100) == "ended inside a frame");
}

TEST_CASE_METHOD(Fixture, "noise stream: a cancelled read loses nothing, other errors stay") {
    const Bytes frame = peer_frames(peer, as_bytes("whole"));
    script.incoming.push_back({frame.begin(), frame.begin() + 10});
    script.read_failure = fail(skywire::errc::cancelled, "cancelled");
    CHECK(read(100) == "cancelled");
    script.incoming.push_back({frame.begin() + 10, frame.end()});
    CHECK(read(100) == "whole");
    script.read_failure = fail(skywire::errc::unavailable, "reset");
    CHECK(read(100) == "reset");
    incoming("late");
    CHECK(read(100) == "reset");
}

TEST_CASE_METHOD(Fixture, "noise stream: after a failed write there is none") {
    script.write_failure = fail(skywire::errc::unavailable, "reset");
    CHECK(write({as_bytes("a")}).error().message() == "reset");
    script.write_failure.reset();
    CHECK(write({as_bytes("a")}).error().message() == "reset");
    CHECK(script.writes.empty());
}

TEST_CASE_METHOD(Fixture, "noise stream: waiting is passed through unless a frame is there") {
    const auto wait = [this]() -> Task<Result<>> { co_return co_await stream.wait_readable(); };
    CHECK(loop.run(wait()));
    CHECK(script.waits == 1);
    Bytes both = peer_frames(peer, as_bytes("first"));
    const Bytes second = peer_frames(peer, as_bytes("second"));
    both.insert(both.end(), second.begin(), second.end() - 4);
    script.incoming.push_back(both);
    CHECK(read(2) == "fi");
    CHECK(loop.run(wait()));
    CHECK(script.waits == 1);
    CHECK(read(100) == "rst");
    // Half a frame: it waits for the rest, here in two pieces.
    script.incoming.push_back({second.end() - 4, second.end() - 2});
    script.incoming.push_back({second.end() - 2, second.end()});
    CHECK(loop.run(wait()));
    CHECK(script.waits == 3);
    CHECK(read(100) == "second");
}

TEST_CASE("noise stream: XX over a pipe, both learn, data in both directions at once") {
    const std::size_t room = GENERATE(std::size_t{1}, std::size_t{37}, std::size_t{100'000});
    PipeFixture f(room);
    f.shake();
    NoiseStream& client = f.client_end.stream();
    NoiseStream& server = f.server_end.stream();
    CHECK(client.remote_key() == f.server.public_key);
    CHECK(server.remote_key() == f.client.public_key);
    const std::size_t size = room == 1 ? 20'000 : 500'000;
    const Bytes up = random_bytes(f.loop.random, size);
    const Bytes down = random_bytes(f.loop.random, size);
    f.scope.spawn("up", [&] { return send_all(client, up, 1); });
    f.scope.spawn("down", [&] { return send_all(server, down, 2); });
    std::optional<Bytes> at_server;
    f.scope.spawn("server", [&]() -> Task<> { at_server = co_await receive_all(server, size, 3); });
    CHECK(f.loop.run(receive_all(client, size, 4)) == down);
    f.loop.run_until([&] { return f.scope.size() == 0; });
    CHECK(at_server == up);
    client.close();
    Bytes buffer(1);
    const auto last = [&]() -> Task<Result<std::size_t>> {
        co_return co_await server.read_some(buffer);
    };
    CHECK(f.loop.run(last()).value() == 0);
}

TEST_CASE("noise stream: what follows the last message at once is not lost") {
    PipeFixture f;
    auto handshake = Handshake::make(Pattern::xx, Role::initiator, f.client).value();
    f.start(Role::responder, f.b, f.server_end);
    const auto framed = [](const Bytes& message) {
        Bytes frame{std::byte{0}, static_cast<std::byte>(message.size())};
        frame.insert(frame.end(), message.begin(), message.end());
        return frame;
    };
    f.write_raw(*f.a, framed(handshake.write_message(f.loop.random).value()));
    const Bytes answer = f.loop.run(receive_all(*f.a, 100, 1));
    REQUIRE(handshake.read_message(ByteSpan(answer).subspan(2)));
    Bytes last = framed(handshake.write_message(f.loop.random).value());
    RecordSealer sealer(handshake.keys().send);
    const Bytes data = peer_frames(sealer, as_bytes("at once"));
    last.insert(last.end(), data.begin(), data.end());
    f.write_raw(*f.a, last);
    f.loop.run_until([&] { return f.server_end.ended; });
    const Bytes got = f.loop.run(receive_all(f.server_end.stream(), 7, 1));
    CHECK(as_text(got) == "at once");
}

TEST_CASE("noise stream: handshakes that fail close the carrier") {
    PipeFixture f;
    f.start(Role::responder, f.b, f.server_end);
    SECTION("a message that is too short") {
        f.write_raw(*f.a, test::hex("000102"));
        CHECK(f.failure(f.server_end) == "a handshake message is too short for its pattern");
    }
    SECTION("a frame without a message") {
        f.write_raw(*f.a, test::hex("0000"));
        CHECK(f.failure(f.server_end) == "a handshake message is too short for its pattern");
    }
    SECTION("a frame that is too long") {
        f.write_raw(*f.a, test::hex("0fff"));
        CHECK(f.failure(f.server_end) == "a frame is longer than the network allows");
    }
    SECTION("no point") {
        f.write_raw(*f.a, test::hex("0021" + std::string(66, '0')));
        CHECK(f.failure(f.server_end) == "a public key in a message is no point of the curve");
    }
    SECTION("the peer goes away") {
        f.write_raw(*f.a, test::hex("0021"));
        f.a->close();
        CHECK(f.failure(f.server_end) == "ended during the handshake");
        return;
    }
    const Bytes rest = f.loop.run(receive_all(*f.a, 1, 1));
    CHECK(rest.empty());
}

TEST_CASE("noise stream: a silent peer has 30 seconds") {
    ManualClock clock;
    PipeFixture f(4096, &clock);
    f.start(Role::initiator, f.a, f.client_end);
    f.loop.settle();
    clock.advance(kHandshakeLimit - std::chrono::milliseconds(1));
    f.loop.settle();
    CHECK_FALSE(f.client_end.ended);
    clock.advance(std::chrono::milliseconds(1));
    f.loop.run_until([&] { return f.client_end.ended; });
    CHECK(f.client_end.result.error() == make_error_code(skywire::errc::timed_out));
}

TEST_CASE("noise stream: a cancelled write cuts the stream off") {
    PipeFixture f(100);
    f.shake();
    NoiseStream& client = f.client_end.stream();
    std::optional<Result<>> written;
    f.scope.spawn("writer", [&]() -> Task<> { written = co_await client.write(Bytes(5000)); });
    f.loop.settle();
    CHECK_FALSE(written);
    f.scope.cancel();
    f.loop.run_until([&] { return f.scope.size() == 0; });
    const auto again = [&]() -> Task<Result<>> { co_return co_await client.write(Bytes(1)); };
    CHECK(f.loop.run(again()).error() == make_error_code(skywire::errc::closed));
}
