// Requests and responses that are not what they should be, from hostile clients and servers.

#include "dmsg/stream.hpp"
#include "dmsg/test_party.hpp"
#include "gob/error.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::Couple;
using test::Party;
using test::Started;
using test::World;

using Opened = Started<Result<std::unique_ptr<Stream>>>;

struct Rig {
    Party& near() { return *couple.near; }
    Party& far() { return *couple.far; }
    SteadyTime soon() { return world.clock.now() + 20s; }
    Address from() const { return {couple.near_keys.public_key, 49153}; }
    Address to() const { return {couple.far_keys.public_key, 80}; }

    noise::Handshake dialer() {
        return noise::Handshake::make(
                   noise::Pattern::kk,
                   noise::Role::initiator,
                   couple.near_keys,
                   couple.far_keys.public_key
        )
            .value();
    }

    /// A request that is in order.
    StreamRequest request() {
        StreamRequest made;
        made.timestamp = 1;
        made.source = from();
        made.destination = to();
        made.noise_message = dialer().write_message(world.random).value();
        return made;
    }

    SignedObject sign(const StreamRequest& asked) {
        return SignedObject::sign(encode(asked), couple.near_keys.secret_key);
    }

    /// What our responder makes of an object.
    Result<std::unique_ptr<Stream>> respond(const SignedObject& object) {
        auto carrier = near().session.mux().open().value();
        Started<Result<>>(world.loop, near().session.send(*carrier, object)).wait().value();
        Opened opened(
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
        auto result = std::move(opened.wait());
        if (!result) {
            // No stream of a refused request stays.
            world.loop.settle();
            CHECK(far().session.mux().streams() <= 1);
            Started<Result<Bytes>> end(world.loop, test::read_bytes(*carrier, 1));
            CHECK(end.ended());
            const bool nothing = !end.wait() || end.wait()->empty();
            CHECK(nothing);
        }
        carrier->close();
        return result;
    }

    Result<std::unique_ptr<Stream>> respond(const StreamRequest& asked) {
        return respond(sign(asked));
    }

    /// What our dialer makes of the response that `answer` gives to its request.
    template <class Answer>
    Result<std::unique_ptr<Stream>> dial(Answer answer) {
        Opened opened(
            world.loop,
            open_stream(world.context, near().session, couple.near_keys, from(), to(), soon())
        );
        const auto carrier = far().accept();
        Started<Result<SignedObject>> asked(world.loop, far().session.receive(*carrier, soon()));
        const SignedObject object = answer(asked.wait().value());
        Started<Result<>>(world.loop, far().session.send(*carrier, object)).wait().value();
        return std::move(opened.wait());
    }

    /// The response that is in order.
    StreamResponse accept(const SignedObject& asked) {
        const auto received = decode_request(asked.payload()).value();
        auto handshake =
            noise::Handshake::make(
                noise::Pattern::kk, noise::Role::responder, couple.far_keys, received.source.pk
            )
                .value();
        handshake.read_message(received.noise_message).value();
        StreamResponse response;
        response.request_hash = asked.hash();
        response.accepted = true;
        response.noise_message = handshake.write_message(world.random).value();
        return response;
    }

    SignedObject sign(const StreamResponse& response) {
        return SignedObject::sign(encode(response), couple.far_keys.secret_key);
    }

    /// What our dialer makes of a response that `change` has changed.
    template <class Change>
    Error dial_changed(Change change) {
        return dial([&](const SignedObject& asked) {
                   StreamResponse response = accept(asked);
                   change(response);
                   return sign(response);
               }
        ).error();
    }

    World world;
    Couple couple{world};
};

}  // namespace

TEST_CASE("stream set-up: requests are checked in the network's order") {
    Rig rig;
    REQUIRE(rig.respond(rig.request()));

    struct Case {
        Code code;
        std::function<void(StreamRequest&)> spoil;
    };
    // From the first check to the last: what spoils a later one as well is still refused for the
    // earlier.
    const std::vector<Case> cases{
        {Code::request_source_key, [](StreamRequest& it) { it.source.pk = {}; }},
        {Code::request_source_port, [](StreamRequest& it) { it.source.port = 0; }},
        {Code::request_destination_key, [](StreamRequest& it) { it.destination.pk = {}; }},
        {Code::request_destination_port, [](StreamRequest& it) { it.destination.port = 0; }},
        {Code::request_timestamp, [](StreamRequest& it) { it.timestamp = 0; }},
        {Code::request_signature,
         [](StreamRequest& it) {
             it.source.pk = crypto::deterministic_key_pair("somebody else").public_key;
         }},
    };
    for (std::size_t first = 0; first < cases.size(); ++first) {
        StreamRequest spoilt = rig.request();
        cases[first].spoil(spoilt);
        CHECK(rig.respond(spoilt).error() == make_error_code(cases[first].code));
        for (std::size_t i = cases.size() - 1; i > first; --i) {
            if (first == 0 && cases[i].code == Code::request_signature) continue;
            cases[i].spoil(spoilt);
        }
        CHECK(rig.respond(spoilt).error() == make_error_code(cases[first].code));
    }

    StreamRequest other = rig.request();
    other.destination.pk = crypto::deterministic_key_pair("somebody else").public_key;
    CHECK(rig.respond(other).error() == make_error_code(Code::request_destination_key));
    StreamRequest past = rig.request();
    past.timestamp = -5;
    CHECK(rig.respond(past).error() == make_error_code(Code::request_timestamp));
    CHECK(!rig.far().ended);
    REQUIRE(rig.respond(rig.request()));
}

TEST_CASE("stream set-up: requests that cannot be read") {
    Rig rig;
    const auto category = [&](std::string_view payload) {
        const auto object = SignedObject::sign(as_bytes(payload), rig.couple.near_keys.secret_key);
        return &rig.respond(object).error().code().category();
    };
    CHECK(category("x") == &gob::gob_category());
    CHECK(category(std::string(60000, '\xff')) == &gob::gob_category());

    StreamRequest short_message = rig.request();
    short_message.noise_message.pop_back();
    CHECK(rig.respond(short_message).error() == make_error_code(noise::errc::short_message));
    StreamRequest changed = rig.request();
    changed.noise_message.back() ^= std::byte{1};
    CHECK(rig.respond(changed).error() == make_error_code(noise::errc::not_authentic));
    StreamRequest none = rig.request();
    none.noise_message.clear();
    CHECK(rig.respond(none).error() == make_error_code(noise::errc::short_message));
    StreamRequest no_point = rig.request();
    no_point.noise_message[0] = std::byte{5};
    CHECK(rig.respond(no_point).error() == make_error_code(noise::errc::invalid_point));
    StreamRequest no_ip = rig.request();
    no_ip.ip_info = true;
    no_ip.noise_message.clear();
    CHECK(rig.respond(no_ip).error() == make_error_code(noise::errc::short_message));
    CHECK(!rig.far().ended);
}

TEST_CASE("stream set-up: an offer of the post-quantum hybrid is declined") {
    Rig rig;
    auto handshake = rig.dialer();
    StreamRequest request = rig.request();
    request.noise_message = handshake.write_message(rig.world.random, Bytes(1184)).value();
    REQUIRE(request.noise_message.size() == 1233);
    auto carrier = rig.near().session.mux().open().value();
    Started<Result<>>(rig.world.loop, rig.near().session.send(*carrier, rig.sign(request)))
        .wait()
        .value();
    Opened opened(
        rig.world.loop,
        answer_stream(
            rig.world.context,
            rig.far().session,
            rig.far().accept(),
            rig.couple.far_keys,
            [](std::uint16_t) { return true; },
            rig.soon()
        )
    );
    REQUIRE(opened.wait());
    Started<Result<SignedObject>> answer(
        rig.world.loop, rig.near().session.receive(*carrier, rig.soon())
    );
    const auto response = decode_response(answer.wait().value().payload()).value();
    CHECK(response.noise_message.size() == 49);
    CHECK(handshake.read_message(response.noise_message).value().empty());
}

TEST_CASE("stream set-up: a stream that asks nothing") {
    Rig rig;
    for (const std::size_t size : {0UL, 1UL, 2UL}) {
        auto carrier = rig.near().session.mux().open().value();
        if (size > 0) test::write_raw(rig.world, *carrier, Bytes(size));
        carrier->close();
        rig.world.loop.settle();
        if (size == 0 && rig.far().opened.empty()) continue;
        Opened opened(
            rig.world.loop,
            answer_stream(
                rig.world.context,
                rig.far().session,
                rig.far().accept(),
                rig.couple.far_keys,
                [](std::uint16_t) { return true; },
                rig.soon()
            )
        );
        CHECK(opened.wait().error() == make_error_code(errc::closed));
    }
}

TEST_CASE("stream set-up: responses are checked in the network's order") {
    Rig rig;
    REQUIRE(rig.dial([&](const SignedObject& asked) { return rig.sign(rig.accept(asked)); }));

    CHECK(rig.dial_changed([](StreamResponse& it) {
        it.request_hash[31] ^= std::byte{1};
    }) == make_error_code(Code::response_hash));
    CHECK(rig.dial_changed([](StreamResponse& it) {
        it.accepted = false;
    }) == make_error_code(Code::response_rejected));
    CHECK(rig.dial_changed([](StreamResponse& it) {
        it.accepted = false;
        it.error_code = 306;
    }) == make_error_code(Code::no_listener));
    CHECK(rig.dial_changed([](StreamResponse& it) {
        it.accepted = false;
        it.error_code = 999;
    }) == make_error_code(Code{999}));
    CHECK(rig.dial_changed([](StreamResponse& it) {
        it.noise_message.clear();
    }) == make_error_code(noise::errc::short_message));
    CHECK(rig.dial_changed([](StreamResponse& it) {
        it.noise_message[40] ^= std::byte{1};
    }) == make_error_code(noise::errc::not_authentic));
    CHECK(rig.dial_changed([](StreamResponse& it) {
        it.noise_message[0] = std::byte{0};
    }) == make_error_code(noise::errc::invalid_point));

    // The server signs what the destination should have signed.
    const auto forged = rig.dial([&](const SignedObject& asked) {
        return SignedObject::sign(
            encode(rig.accept(asked)), crypto::deterministic_key_pair("server").secret_key
        );
    });
    CHECK(forged.error() == make_error_code(Code::response_signature));
    const auto garbage = rig.dial([&](const SignedObject&) {
        return SignedObject::sign(as_bytes("garbage"), rig.couple.far_keys.secret_key);
    });
    CHECK(garbage.error().code().category() == gob::gob_category());
    const auto echo = rig.dial([&](const SignedObject& asked) { return asked; });
    CHECK(!echo.has_value());
    CHECK(!rig.near().ended);
    rig.world.loop.settle();
    CHECK(rig.near().session.mux().streams() == 0);
}

TEST_CASE("stream set-up: each byte of the response flipped is refused") {
    Rig rig;
    SignedObject sample = rig.sign(StreamResponse{});
    REQUIRE(rig.dial([&](const SignedObject& asked) { return sample = rig.sign(rig.accept(asked)); }
    ));
    for (std::size_t at = 0; at < sample.bytes().size(); ++at) {
        INFO("byte " << at);
        const auto result = rig.dial([&](const SignedObject& asked) {
            Bytes bytes = rig.sign(rig.accept(asked)).bytes();
            bytes[std::min(at, bytes.size() - 1)] ^= std::byte{1};
            return SignedObject::from_bytes(bytes).value();
        });
        CHECK(!result.has_value());
    }
    CHECK(!rig.near().ended);
}

TEST_CASE("stream set-up: a server that hangs up, or hangs") {
    Rig rig;
    const auto dial = [&] {
        return Opened(
            rig.world.loop,
            open_stream(
                rig.world.context,
                rig.near().session,
                rig.couple.near_keys,
                rig.from(),
                rig.to(),
                rig.soon()
            )
        );
    };
    Opened closed = dial();
    rig.far().accept()->close();
    CHECK(closed.wait().error() == make_error_code(errc::closed));
    Opened reset = dial();
    rig.far().accept().reset();
    CHECK(reset.wait().error() == make_error_code(mux::errc::reset));
    Opened partial = dial();
    const auto carrier = rig.far().accept();
    test::write_raw(rig.world, *carrier, Bytes{std::byte{1}, std::byte{0}, std::byte{7}});
    rig.world.advance(20s);
    CHECK(partial.wait().error() == make_error_code(errc::timed_out));
    Opened lost = dial();
    rig.far().session.mux().abort(fail(errc::closed, "test"));
    CHECK(lost.wait().error() == make_error_code(mux::errc::session_ended));
}

TEST_CASE("stream set-up: a destination that is no key") {
    Rig rig;
    Opened opened(
        rig.world.loop,
        open_stream(
            rig.world.context,
            rig.near().session,
            rig.couple.near_keys,
            rig.from(),
            Address{},
            rig.soon()
        )
    );
    CHECK(opened.wait().error() == make_error_code(noise::errc::missing_key));
    CHECK(rig.far().opened.empty());
}

TEST_CASE("address look-up: what servers answer") {
    Rig rig;
    const auto look_up = [&](Bytes ip, bool accepted = true) {
        Started<Result<std::string>> looked_up(
            rig.world.loop,
            look_up_ip(
                rig.world.context, rig.near().session, rig.couple.near_keys, 49153, rig.soon()
            )
        );
        const auto carrier = rig.far().accept();
        Started<Result<SignedObject>> asked(
            rig.world.loop, rig.far().session.receive(*carrier, rig.soon())
        );
        const auto object = asked.wait().value();
        const auto request = decode_request(object.payload()).value();
        CHECK(request.ip_info);
        CHECK(request.noise_message.empty());
        CHECK(request.source == rig.from());
        CHECK(request.destination == Address{rig.couple.far_keys.public_key, 1});
        CHECK(check_request_at_responder(object, request, rig.couple.far_keys.public_key));
        StreamResponse response;
        response.request_hash = object.hash();
        response.accepted = accepted;
        response.ip = std::move(ip);
        Started<Result<>>(rig.world.loop, rig.far().session.send(*carrier, rig.sign(response)))
            .wait()
            .value();
        return looked_up.wait();
    };
    const auto hex = [](std::string_view digits) { return skywire::test::hex(digits); };
    CHECK(look_up(hex("c0000201")).value() == "192.0.2.1");
    CHECK(look_up(hex("20010db8000000000000000000000001")).value() == "2001:db8::1");
    CHECK(look_up(hex("00000000000000000000ffffc0000201")).value() == "192.0.2.1");
    for (const char* wrong : {"", "01", "0102030405", "20010db80000000000000000000000"}) {
        CHECK(look_up(hex(wrong)).error() == make_error_code(errc::malformed));
    }
    CHECK(look_up({}, /*accepted=*/false).error() == make_error_code(Code::response_rejected));
}

TEST_CASE("address look-up: a server that does not know the question") {
    Rig rig;
    const auto start = [&] {
        return Started<Result<std::string>>(
            rig.world.loop,
            look_up_ip(
                rig.world.context, rig.near().session, rig.couple.near_keys, 49153, rig.soon()
            )
        );
    };
    auto refused = start();
    rig.far().accept()->close();
    CHECK(refused.wait().error() == make_error_code(errc::closed));
    auto ignored = start();
    const auto carrier = rig.far().accept();
    rig.world.advance(20s);
    CHECK(ignored.wait().error() == make_error_code(errc::timed_out));
    auto cancelled = start();
    const auto third = rig.far().accept();
    cancelled.cancel();
    CHECK(cancelled.ended());
    rig.world.loop.settle();
    Started<Result<Bytes>> rest(rig.world.loop, test::read_bytes(*third, 10000));
    rig.world.loop.settle();
    CHECK(rig.near().session.mux().streams() == 0);
}

}  // namespace skywire::dmsg
