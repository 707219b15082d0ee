#include "transport/raw_handshake.hpp"

#include "base/test.hpp"
#include "net/network.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

using namespace skywire;
using namespace skywire::transport;

namespace {

std::vector<std::string> lines(std::string_view name) {
    std::vector<std::string> texts;
    const json::value file = test::vectors("visor/raw_handshake.json");
    for (const json::value& each : file.at(name).as_array())
        texts.push_back(test::text(each, "utf8"));
    return texts;
}

RawNonce nonce_in(const std::string& line) {
    RawNonce nonce{};
    const json::value value = parse_json(line).value();
    for (std::size_t i = 0; i < nonce.size(); ++i)
        nonce[i] = static_cast<std::byte>(value.at("Nonce").as_array()[i].to_number<int>());
    return nonce;
}

Result<> visor_rule(const RawHello& hello) {
    if (hello.destination.port == kRawHandshakePort) return {};
    return fail(errc::not_found, "not listening on given port");
}

crypto::KeyPair pair_of(std::string_view name) {
    return crypto::deterministic_key_pair(name);
}

}  // namespace

TEST_CASE("raw handshake: the recorded ones, as acceptor") {
    for (const std::string_view name : {"accepted", "rejected"}) {
        const auto recorded = lines(name);
        REQUIRE(recorded.size() == 4);
        RawAcceptor acceptor(nonce_in(recorded[1]), visor_rule);
        const auto first = acceptor.on_bytes(as_bytes(recorded[0]));
        REQUIRE(first);
        CHECK(first->reply == recorded[1]);
        const auto second = acceptor.on_bytes(as_bytes(recorded[2]));
        REQUIRE(second);
        CHECK(second->done);
        CHECK(second->reply == recorded[3]);
        CHECK(acceptor.refused().has_value() == (name == "rejected"));
        CHECK(acceptor.hello().line() == recorded[2]);
        CHECK_FALSE(acceptor.on_bytes(as_bytes("x")));
    }
}

TEST_CASE("raw handshake: the recorded ones, as dialer") {
    for (const std::string_view name : {"accepted", "rejected"}) {
        const auto recorded = lines(name);
        const auto keys = pair_of("dialer");
        const auto hello = RawHello::parse(recorded[2]).value();
        CHECK(recorded[0] == RawDialer::kFirst);
        RawDialer dialer(keys, hello.source.port, hello.destination);
        const auto first = dialer.on_bytes(as_bytes(recorded[1]));
        REQUIRE(first);
        // The same line but for who signs.
        const auto ours = RawHello::parse(first->reply).value();
        CHECK(ours.line() == first->reply);
        CHECK(ours.nonce == hello.nonce);
        CHECK(ours.destination == hello.destination);
        CHECK(ours.source.port == hello.source.port);
        const auto second = dialer.on_bytes(as_bytes(recorded[3]));
        if (name == "accepted") {
            REQUIRE(second);
            CHECK(second->done);
        } else {
            CHECK(second.error() == make_error_code(errc::forbidden));
            CHECK(
                second.error().message().find("not listening on given port") != std::string::npos
            );
        }
    }
}

TEST_CASE("raw handshake: the signed text of a recorded line") {
    const json::value file = test::vectors("visor/raw_handshake.json");
    const std::string line = test::text(file, "frame2_signed_line");
    const auto hello = RawHello::parse(line);
    REQUIRE(hello);
    CHECK(hello->line() == line);
    CHECK(hello->signed_text() == test::text(file, "frame2_signing_payload"));
    CHECK(crypto::verify(hello->source.key, as_bytes(hello->signed_text()), hello->signature));
    CHECK(to_hex(hello->nonce) == test::text(file, "frame2_fixed_nonce_hex"));
}

TEST_CASE("raw handshake: frames of the resolver, whose key is null") {
    const json::value file = test::vectors("services/ar_sudph_2025.json");
    for (const json::value& frame : file.at("handshake_frames").as_array()) {
        if (test::text(frame, "name") != "frame2") continue;
        const auto hello = RawHello::parse(test::text(frame, "frame"));
        REQUIRE(hello);
        CHECK(hello->destination.key.is_null());
        CHECK(hello->signed_text() == test::text(frame, "signed_text"));
        CHECK(crypto::verify(hello->source.key, as_bytes(hello->signed_text()), hello->signature));
    }
}

TEST_CASE("raw handshake: any byte changed is refused") {
    const auto recorded = lines("accepted");
    for (std::size_t i = 0; i < recorded[2].size(); ++i) {
        std::string changed = recorded[2];
        changed[i] = static_cast<char>(changed[i] ^ 1);
        RawAcceptor acceptor(nonce_in(recorded[1]), visor_rule);
        REQUIRE(acceptor.on_bytes(as_bytes(recorded[0])));
        const auto step = acceptor.on_bytes(as_bytes(changed));
        INFO(i << " " << changed);
        // Without its newline the line is only not complete.
        CHECK((!step || step->reply.empty()));
    }
}

TEST_CASE("raw handshake: a nonce of another handshake is refused") {
    const auto recorded = lines("accepted");
    RawAcceptor acceptor(RawNonce{}, visor_rule);
    REQUIRE(acceptor.on_bytes(as_bytes(recorded[0])));
    CHECK(acceptor.on_bytes(as_bytes(recorded[2])).error() == make_error_code(errc::forbidden));
}

TEST_CASE("raw handshake: steps out of order, bytes before their turn, lines without end") {
    const auto recorded = lines("accepted");
    const auto fresh = [&] { return RawAcceptor(nonce_in(recorded[1]), visor_rule); };
    CHECK_FALSE(fresh().on_bytes(as_bytes(recorded[2])));
    CHECK_FALSE(fresh().on_bytes(as_bytes("get_nonce\n")));
    CHECK_FALSE(fresh().on_bytes(as_bytes(recorded[0] + recorded[2])));
    RawAcceptor pipelined = fresh();
    REQUIRE(pipelined.on_bytes(as_bytes(recorded[0])));
    CHECK_FALSE(pipelined.on_bytes(as_bytes(recorded[2] + "noise")));
    RawAcceptor endless = fresh();
    REQUIRE(endless.on_bytes(as_bytes(recorded[0])));
    const std::string piece(100, ' ');
    Result<RawStep> step = RawStep();
    for (int i = 0; i < 30 && step; ++i)
        step = endless.on_bytes(as_bytes(piece));
    CHECK(step.error() == make_error_code(errc::out_of_range));
}

TEST_CASE("raw handshake: pieces of any size come to the same") {
    const auto recorded = lines("accepted");
    for (const std::size_t size : {1U, 2U, 7U, 100U}) {
        RawAcceptor acceptor(nonce_in(recorded[1]), visor_rule);
        for (const std::size_t line : {0U, 2U}) {
            std::string replies;
            for (std::size_t at = 0; at < recorded[line].size(); at += size) {
                const auto step = acceptor.on_bytes(as_bytes(recorded[line].substr(at, size)));
                REQUIRE(step);
                replies += step->reply;
            }
            CHECK(replies == recorded[line + 1]);
        }
    }
}

TEST_CASE("raw handshake: two ends of a stream") {
    net::TestLoop loop;
    auto [near, far] = net::make_pipe(loop.context.loop);
    const auto keys = pair_of("near");
    const RawEndpoint to{pair_of("far").public_key, kRawHandshakePort};
    for (const bool welcome : {true, false}) {
        net::Scope scope(loop.context.loop);
        std::optional<Result<RawHello>> accepted;
        net::Stream& stream = *far;
        scope.spawn("acceptor", [&stream, &accepted, welcome]() -> Task<> {
            accepted =
                co_await accept_raw(stream, RawNonce{}, [welcome](const RawHello&) -> Result<> {
                    if (welcome) return {};
                    return fail(errc::limit_reached, "no \"room\"");
                });
        });
        const auto dialled = loop.run(dial_raw(*near, RawDialer(keys, 49153, to)));
        loop.run(scope.wait_empty());
        REQUIRE(accepted);
        CHECK(dialled.has_value() == welcome);
        CHECK(accepted->has_value() == welcome);
        if (welcome) {
            CHECK((*accepted)->source == RawEndpoint{keys.public_key, 49153});
            CHECK((*accepted)->destination == to);
        } else {
            CHECK(dialled.error() == make_error_code(errc::forbidden));
        }
    }
}
