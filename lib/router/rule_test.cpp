#include "router/rule.hpp"

#include "base/test.hpp"
#include "router/error.hpp"

#include <set>

namespace skywire::router {
namespace {

constexpr std::string_view kA =
    "020601ce1e71a3872299469d640354b83e3d9d3e3d20dbf5e2d9356e7a589e3184";
constexpr std::string_view kB =
    "03bcbce38587f321d821a0a8239f9a34466de62061250d932d7d4ebe0ec591353a";

crypto::PublicKey key(std::string_view text) {
    return crypto::PublicKey::from_text(text).value();
}

TransportId id(std::string_view text) {
    return TransportId::from_text(text).value();
}

const json::value& vector_of(const json::value& file, std::string_view begin) {
    for (const json::value& each : file.as_array()) {
        if (test::text(each, "desc").starts_with(begin)) return each;
    }
    throw std::runtime_error("no vector " + std::string(begin));
}

}  // namespace

TEST_CASE("rules: the recorded bytes, both ways") {
    const json::value file = test::vectors("visor/rules.json");
    const auto hex_of = [&](std::string_view begin) {
        return test::text(vector_of(file, begin), "hex");
    };
    const RouteDescriptor there{key(kA), key(kB), 49152, 1};
    CHECK(to_hex(there.encode()) == hex_of("descriptor src"));
    CHECK(to_hex(there.inverted().encode()) == hex_of("descriptor inverted"));
    CHECK(RouteDescriptor::decode(test::hex(hex_of("descriptor src"))).value() == there);

    const Duration keep_alive = std::chrono::seconds(30);
    const ConsumeRule consume{keep_alive, RouteId{7}, there};
    const ForwardRule forward{
        keep_alive, RouteId{1}, there, RouteId{2}, id("a1788510-ef6e-0c89-ba6b-175e07b18964")
    };
    const IntermediaryRule intermediary{
        keep_alive, RouteId{5}, RouteId{6}, id("d6f1a248-204c-06db-83a0-b50103197174")
    };
    CHECK(to_hex(encode(consume)) == hex_of("consume"));
    CHECK(to_hex(encode(forward)) == hex_of("forward"));
    CHECK(to_hex(encode(intermediary)) == hex_of("intermediary"));
    CHECK(decode_rule_as<ConsumeRule>(encode(consume)).value() == consume);
    CHECK(decode_rule_as<ForwardRule>(encode(forward)).value() == forward);
    CHECK(decode_rule_as<IntermediaryRule>(encode(intermediary)).value() == intermediary);
    CHECK(
        decode_rule_as<ForwardRule>(encode(consume)).error() == make_error_code(errc::wrong_kind)
    );
    CHECK(key_of(decode_rule(encode(forward)).value()) == RouteId{1});
}

TEST_CASE("rules: any byte changed, any length: an error or another rule") {
    const json::value file = test::vectors("visor/rules.json");
    for (const json::value& each : file.as_array()) {
        INFO(test::text(each, "desc"));
        if (!each.as_object().contains("summary")) continue;
        Bytes bytes = test::hex(test::text(each, "hex"));
        const Bytes original = bytes;
        for (std::size_t size = 0; size < bytes.size(); ++size)
            CHECK_FALSE(decode_rule(ByteSpan(bytes).first(size)));
        bytes.push_back(std::byte{0});
        CHECK_FALSE(decode_rule(bytes));
        bytes.pop_back();
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            for (const auto flip : {std::byte{1}, std::byte{0x80}, std::byte{0xff}}) {
                bytes[i] ^= flip;
                const auto rule = decode_rule(bytes);
                const bool padding = bytes.size() != ConsumeRule::kSize && i + 17 >= bytes.size();
                if (padding) {
                    REQUIRE(rule);
                    CHECK(encode(*rule) == original);
                } else if (rule) {
                    CHECK(encode(*rule) == bytes);
                }
                bytes[i] ^= flip;
            }
        }
    }
}

TEST_CASE("rules: a time beyond what a clock holds, a kind that nobody knows, a null key") {
    const json::value file = test::vectors("visor/rules.json");
    Bytes bytes = test::hex(test::text(vector_of(file, "intermediary"), "hex"));
    bytes[0] = std::byte{0x80};
    CHECK(decode_rule(bytes).error() == make_error_code(errc::malformed_rule));
    bytes[0] = std::byte{0};
    bytes[8] = std::byte{3};
    CHECK(decode_rule(bytes).error() == make_error_code(errc::malformed_rule));
    Bytes consume = test::hex(test::text(vector_of(file, "consume"), "hex"));
    std::fill_n(consume.begin() + 13, 33, std::byte{0});
    CHECK_FALSE(decode_rule(consume));
}

TEST_CASE("router errors: every code has its own sentence and reason") {
    std::set<std::string> sentences;
    std::set<std::string_view> reasons;
    for (int value = 0; value <= static_cast<int>(errc::wrong_kind); ++value) {
        sentences.insert(make_error_code(static_cast<errc>(value)).message());
        reasons.insert(reason(static_cast<errc>(value)));
    }
    CHECK(sentences.size() == 9);
    CHECK(reasons.size() == 9);
}

}  // namespace skywire::router
