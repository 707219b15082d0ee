#include "dmsg/session.hpp"

#include "dmsg/test_party.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::Couple;
using test::framed;
using test::object_of;
using test::Party;
using test::Started;
using test::World;

using First = Started<Result<Session::FirstObject>>;
using Received = Started<Result<SignedObject>>;

struct Rig {
    explicit Rig(mux::Protocol protocol = mux::Protocol::yamux) : couple(world, protocol) {}

    Party& near() { return *couple.near; }
    Party& far() { return *couple.far; }
    SteadyTime soon() { return world.clock.now() + 5s; }

    /// A stream of the near end's, which begins with these bytes.
    std::unique_ptr<mux::Stream> open(Bytes bytes = {}) {
        auto stream = near().session.mux().open().value();
        if (!bytes.empty()) test::write_raw(world, *stream, std::move(bytes));
        return stream;
    }

    void send(mux::Stream& stream, const SignedObject& object) {
        Started<Result<>>(world.loop, near().session.send(stream, object)).wait().value();
    }

    Result<Session::FirstObject> receive_first(mux::Stream& stream) {
        return First(world.loop, far().session.receive_first(stream, soon())).wait();
    }

    Result<SignedObject> receive(mux::Stream& stream) {
        return Received(world.loop, far().session.receive(stream, soon())).wait();
    }

    /// What the far end makes of a stream that begins so.
    Result<Session::FirstObject> answer(Bytes bytes) {
        const auto ours = open(std::move(bytes));
        const auto theirs = far().accept();
        ours->close();
        return receive_first(*theirs);
    }

    World world;
    Couple couple;
};

}  // namespace

TEST_CASE("session: a stream begins with an object, a ping marker, or nothing") {
    for (const auto protocol : {mux::Protocol::yamux, mux::Protocol::smux}) {
        Rig rig(protocol);
        const auto ours = rig.near().session.mux().open().value();
        rig.send(*ours, object_of("hello"));
        const auto theirs = rig.far().accept();
        const auto first = rig.receive_first(*theirs);
        REQUIRE(first);
        CHECK(std::get<SignedObject>(*first) == object_of("hello"));
        CHECK(rig.far().session.mux().protocol() == protocol);

        const auto marker = rig.answer(Bytes(2));
        REQUIRE(marker);
        CHECK(std::holds_alternative<Session::PingMarker>(*marker));
        const auto nothing = rig.answer({});
        REQUIRE(nothing);
        CHECK(std::holds_alternative<Session::Nothing>(*nothing));
    }
}

TEST_CASE("session: keys and addresses") {
    Rig rig;
    CHECK(rig.near().session.remote() == rig.couple.far_keys.public_key);
    CHECK(rig.far().session.remote() == rig.couple.near_keys.public_key);
}

TEST_CASE("session: no byte behind an object is taken") {
    Rig rig;
    noise::ObjectBox box(rig.near().keys);
    Bytes bytes = framed(box.seal(object_of("first").bytes()).value());
    bytes = test::concat(bytes, framed(box.seal(object_of("second").bytes()).value()));
    bytes = test::concat(bytes, as_bytes("data"));
    const auto ours = rig.open(bytes);
    const auto theirs = rig.far().accept();
    CHECK(std::get<SignedObject>(rig.receive_first(*theirs).value()) == object_of("first"));
    CHECK(rig.receive(*theirs).value() == object_of("second"));
    const auto rest =
        Started<Result<Bytes>>(rig.world.loop, test::read_bytes(*theirs, 4)).wait().value();
    CHECK(as_text(rest) == "data");
}

TEST_CASE("session: an object comes in any cut") {
    Rig rig;
    noise::ObjectBox box(rig.near().keys);
    for (std::size_t piece = 1; piece < 100; piece += 7) {
        const Bytes bytes = framed(box.seal(object_of("cut").bytes()).value());
        const auto ours = rig.near().session.mux().open().value();
        std::unique_ptr<mux::Stream> theirs;
        std::optional<First> first;
        for (std::size_t from = 0; from < bytes.size(); from += piece) {
            const auto begin = bytes.begin() + std::ptrdiff_t(from);
            const auto end = bytes.begin() + std::ptrdiff_t(std::min(from + piece, bytes.size()));
            test::write_raw(rig.world, *ours, Bytes(begin, end));
            rig.world.loop.settle();
            if (first) continue;
            theirs = rig.far().accept();
            first.emplace(rig.world.loop, rig.far().session.receive_first(*theirs, rig.soon()));
        }
        CHECK(std::get<SignedObject>(first->wait().value()) == object_of("cut"));
    }
}

TEST_CASE("session: objects of different streams arrive in any order, none twice") {
    Rig rig;
    noise::ObjectBox box(rig.near().keys);
    std::vector<Bytes> records;
    for (int i = 0; i < 20; ++i)
        records.push_back(framed(box.seal(object_of(std::to_string(i)).bytes()).value()));
    for (std::size_t i = records.size(); i-- > 0;) {
        const auto object = rig.answer(records[i]);
        REQUIRE(object);
        CHECK(std::get<SignedObject>(*object) == object_of(std::to_string(i)));
    }
    for (const Bytes& record : records) {
        CHECK(rig.answer(record).error() == make_error_code(noise::errc::replayed_nonce));
    }
    CHECK(!rig.far().ended);
}

TEST_CASE("session: each byte of an object flipped is refused; the next object passes") {
    Rig rig;
    noise::ObjectBox box(rig.near().keys);
    const Bytes record = framed(box.seal(object_of("victim").bytes()).value());
    for (std::size_t at = 0; at < record.size(); ++at) {
        for (const auto bit : {std::byte{1}, std::byte{0x80}}) {
            Bytes bad = record;
            bad[at] ^= bit;
            CHECK(!rig.answer(bad).has_value());
        }
    }
    const auto object = rig.answer(record);
    REQUIRE(object);
    CHECK(std::get<SignedObject>(*object) == object_of("victim"));
    CHECK(!rig.far().ended);
}

TEST_CASE("session: objects that end too early, and lengths that cannot be") {
    Rig rig;
    noise::ObjectBox box(rig.near().keys);
    const Bytes record = framed(box.seal(object_of("whole").bytes()).value());
    for (std::size_t size = 1; size < record.size(); ++size) {
        const Bytes part(record.begin(), record.begin() + std::ptrdiff_t(size));
        CHECK(rig.answer(part).error() == make_error_code(errc::closed));
    }
    for (std::size_t size = 1; size <= 89; ++size) {
        const auto error = rig.answer(framed(Bytes(size))).error();
        CHECK(error == make_error_code(Code::signed_object_invalid));
    }
    CHECK(
        rig.answer(framed(Bytes(90, std::byte{1}))).error() ==
        make_error_code(noise::errc::not_authentic)
    );
    // A sealed text without room for a payload behind its signature.
    CHECK(
        rig.answer(framed(box.seal(Bytes(65)).value())).error() ==
        make_error_code(Code::signed_object_invalid)
    );
}

TEST_CASE("session: the longest object, and one that is too long") {
    Rig rig;
    const auto key = crypto::deterministic_key_pair("signer").secret_key;
    const auto longest = SignedObject::sign(Bytes(65535 - 24 - 65), key);
    const auto ours = rig.near().session.mux().open().value();
    rig.send(*ours, longest);
    const auto theirs = rig.far().accept();
    CHECK(std::get<SignedObject>(rig.receive_first(*theirs).value()) == longest);

    const auto longer = SignedObject::sign(Bytes(65535 - 24 - 64), key);
    Started<Result<>> sent(rig.world.loop, rig.near().session.send(*ours, longer));
    CHECK(sent.wait().error() == make_error_code(noise::errc::frame_too_long));
}

TEST_CASE("session: an object where one is due") {
    Rig rig;
    const auto marker = rig.open(Bytes(2));
    auto theirs = rig.far().accept();
    CHECK(rig.receive(*theirs).error() == make_error_code(Code::signed_object_invalid));
    const auto empty = rig.open();
    theirs = rig.far().accept();
    empty->close();
    CHECK(rig.receive(*theirs).error() == make_error_code(errc::closed));
}

TEST_CASE("session: whoever waits for an object is not kept waiting") {
    Rig rig;
    const auto silent = rig.open();
    const auto dripping = rig.open(Bytes(1, std::byte{1}));
    const auto first_stream = rig.far().accept();
    const auto second_stream = rig.far().accept();
    First first(rig.world.loop, rig.far().session.receive_first(*first_stream, rig.soon()));
    Received second(rig.world.loop, rig.far().session.receive(*second_stream, rig.soon()));
    rig.world.advance(4999ms);
    CHECK(!first.ended());
    CHECK(!second.ended());
    rig.world.advance(1ms);
    CHECK(first.wait().error() == make_error_code(errc::timed_out));
    CHECK(second.wait().error() == make_error_code(errc::timed_out));

    First cancelled(rig.world.loop, rig.far().session.receive_first(*first_stream, rig.soon()));
    cancelled.cancel();
    CHECK(cancelled.ended());

    First lost(rig.world.loop, rig.far().session.receive_first(*first_stream, SteadyTime::max()));
    rig.near().session.mux().abort(fail(errc::closed, "test"));
    CHECK(lost.wait().error() == make_error_code(mux::errc::session_ended));
    CHECK(rig.far().ended);
}

TEST_CASE("session: going away is told") {
    Rig rig;
    const auto ours = rig.open();
    rig.far().accept();
    rig.near().session.mux().go_away();
    rig.world.loop.settle();
    CHECK(rig.far().gone_away);
    CHECK(!rig.far().ended);
}

}  // namespace skywire::dmsg
