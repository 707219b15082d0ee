#include "rpc/message.hpp"

#include "gob/reader.hpp"
#include "gob/writer.hpp"
#include "rpc/error.hpp"
#include "rpc/methods.hpp"
#include "rpc/test_messages.hpp"

#include <set>

namespace skywire::rpc {
namespace {

using namespace test;

Bytes written(Outgoing& outgoing, const Request& header, const Body& body) {
    Bytes out;
    outgoing.append(out, header, body);
    return out;
}

Bytes written(Outgoing& outgoing, const Response& header, const Body& body) {
    Bytes out;
    outgoing.append(out, header, body);
    return out;
}

}  // namespace

TEST_CASE("rpc: first and later calls with a number, as recorded") {
    const auto recording = recordings().at("router_rpc_dmsg_port_136");
    const auto calls = writes(recording, kCalls);
    Outgoing outgoing;
    const std::string method = "RPCGateway.ReserveIDs";
    CHECK(
        to_hex(written(outgoing, Request{method, 0}, body_of<std::uint64_t>(3))) == to_hex(calls[0])
    );
    CHECK(
        to_hex(written(outgoing, Request{method, 1}, body_of<std::uint64_t>(200))) ==
        to_hex(calls[1])
    );
}

TEST_CASE("rpc: an unknown method is refused with the recorded bytes") {
    const auto recording = recordings().at("fresh_DelRules_2026_shape_then_unknown_method");
    const auto answers = writes(recording, kAnswers);
    Outgoing outgoing;
    CHECK(
        to_hex(written(outgoing, Response{"RPCGateway.DelRules", 0, {}}, body_of(true))) ==
        to_hex(answers[0])
    );
    Methods methods;
    methods.add("RPCGateway.DelRules", {});
    const std::string text = methods.unknown_text("RPCGateway.Nope");
    CHECK(text == skywire::test::text(recording, "unknown_method_error"));
    CHECK(
        to_hex(written(outgoing, Response{"RPCGateway.Nope", 1, text}, body_of(Nothing()))) ==
        to_hex(answers[1])
    );
    CHECK(methods.unknown_text("Other.Nope") == "rpc: can't find service Other.Nope");
    CHECK(methods.unknown_text("nope") == "rpc: service/method request ill-formed: nope");
    CHECK(is_unknown_method(refused_by_peer(text)));
    CHECK_FALSE(is_unknown_method(refused_by_peer("failure code 1 (boom)")));
}

TEST_CASE("rpc: every recorded connection is read, in pieces of any size") {
    const json::value file = recordings();
    for (const auto& [name, recording] : file.as_object()) {
        INFO(name);
        const Bytes calls = joined(writes(recording, kCalls));
        const Bytes answers = joined(writes(recording, kAnswers));
        const std::size_t count = writes(recording, kCalls).size();
        for (const std::size_t step : {std::size_t{1}, std::size_t{7}, calls.size()}) {
            const auto seen = read_in_steps<Request>(calls, step);
            CHECK_FALSE(seen.error);
            REQUIRE(seen.headers.size() == count);
            for (std::size_t i = 0; i < count; ++i)
                CHECK(seen.headers[i].seq == i);
        }
        const auto seen = read_in_steps<Response>(answers, 3);
        CHECK_FALSE(seen.error);
        CHECK(seen.headers.size() == count);
    }
}

TEST_CASE("rpc: any byte of a connection changed: an error or other messages, never more") {
    const json::value file = recordings();
    for (const auto& [name, recording] : file.as_object()) {
        INFO(name);
        for (const std::string_view direction : {kCalls, kAnswers}) {
            Bytes bytes = joined(writes(recording, direction));
            for (std::byte& byte : bytes) {
                const std::byte kept = byte;
                for (const std::byte other : {kept ^ std::byte{1}, kept ^ std::byte{0xff}}) {
                    byte = other;
                    const auto at_once = read_in_steps<Response>(bytes, bytes.size());
                    CHECK(at_once.headers.size() <= bytes.size());
                    for (const auto& header : at_once.headers)
                        CHECK(header.method.size() <= kMethodBytesMax);
                }
                byte = kept;
            }
        }
    }
}

TEST_CASE("rpc: names of methods have a limit") {
    Outgoing outgoing;
    const Bytes fits =
        written(outgoing, Request{std::string(kMethodBytesMax, 'x'), 0}, body_of(true));
    CHECK(read_in_steps<Request>(fits, 100).headers.size() == 1);
    const Bytes beyond =
        written(outgoing, Request{std::string(kMethodBytesMax + 1, 'x'), 0}, body_of(true));
    Bytes both = fits;
    both.insert(both.end(), beyond.begin(), beyond.end());
    const auto seen = read_in_steps<Request>(both, 100);
    CHECK(seen.headers.size() == 1);
    CHECK(seen.error == make_error_code(errc::name_too_long));
}

TEST_CASE("rpc: a header that is none ends the stream") {
    Bytes bytes;
    Bytes body;
    gob::write_uint(body, 3);
    gob::write_value(bytes, gob::kUint, body, /*single=*/true);
    const auto seen = read_in_steps<Request>(bytes, 100);
    CHECK(seen.headers.empty());
    CHECK(seen.error == make_error_code(gob::errc::wrong_kind));
}

TEST_CASE("rpc errors: every code has its own sentence and reason") {
    std::set<std::string> sentences;
    std::set<std::string_view> reasons;
    for (int value = 0; value <= static_cast<int>(errc::too_many_calls); ++value) {
        sentences.insert(make_error_code(static_cast<errc>(value)).message());
        reasons.insert(reason(static_cast<errc>(value)));
    }
    CHECK(sentences.size() == 5);
    CHECK(reasons.size() == 5);
    CHECK(refused_by_peer("a\nb").message() == "a\\x0ab");
    CHECK(refused_by_peer(std::string(1000, 'x')).message().size() < 300);
}

}  // namespace skywire::rpc
