#include "base/test.hpp"
#include "gob/decoder.hpp"
#include "gob/test_types.hpp"
#include "gob/writer.hpp"

#include <limits>

// What a sender may not do, and what it may cost.

using namespace skywire;
using gob::Decoder;
using gob::Kind;
using gob::Limits;
using gob::Type;
using gob::TypeId;

using namespace gob::test;

namespace {

/// What the first value's absence is called.
ErrorCode refusal(ByteSpan bytes, const Limits& limits = {}) {
    Decoder decoder(limits);
    const auto value = decoder.first(bytes);
    REQUIRE_FALSE(value.has_value());
    CHECK_FALSE(value.error().context().empty());
    return value.error().code();
}

ErrorCode refusal(std::string_view hex, const Limits& limits = {}) {
    INFO(hex);
    return refusal(test::hex(hex), limits);
}

}  // namespace

TEST_CASE("gob: numbers longer than needed are read, impossible ones refused") {
    Decoder decoder;
    const Bytes longer = test::hex(
        "0b0600f8"
        "00000000000000ff"
    );
    CHECK(decoder.first(longer).value().as_uint().value() == 255);
    CHECK(
        refusal("0c0600f7"
                "0000000000000000ff") == make_error_code(gob::errc::out_of_range)
    );
    CHECK(refusal("03060080") == make_error_code(gob::errc::out_of_range));
    CHECK(refusal("80") == make_error_code(gob::errc::out_of_range));
    CHECK(refusal("f8ffffffffffffffff") == make_error_code(gob::errc::out_of_range));
}

TEST_CASE("gob: bytes that end early, inside a message and between messages") {
    for (const char* const hex : {"", "03", "0302", "ff", "fe01"}) {
        INFO(hex);
        const Bytes bytes = test::hex(hex);
        Decoder decoder;
        ByteSpan input = bytes;
        CHECK_FALSE(decoder.next(input).value());
        CHECK(input.size() == bytes.size());
        CHECK(decoder.first(bytes).error() == make_error_code(gob::errc::truncated));
    }
    for (const char* const hex :
         {"00",
          "0102",
          "020200",
          "0302"
          "00ff",
          "040c000261",
          "040a00ff61"}) {
        CHECK(refusal(hex) == make_error_code(gob::errc::truncated));
    }
}

TEST_CASE("gob: values that nothing describes") {
    for (const char* const hex :
         {"020000",  // type 0
          "0320"
          "0000",      // type 16: describes definitions, is never sent
          "03100000",  // an interface
          "03ff8000",  // 64, not defined
          "06fcffffffff0000"}) {
        CHECK(refusal(hex) == make_error_code(gob::errc::unknown_type));
    }
    // A list of a type that is never defined, even without elements.
    Bytes bytes;
    gob::write_definition(bytes, 64, list_of(65));
    gob::write_value(bytes, 64, test::hex("00"), /*single=*/true);
    CHECK(refusal(bytes) == make_error_code(gob::errc::unknown_type));
    // A single value that does not begin with 0.
    CHECK(refusal("03020101") == make_error_code(gob::errc::out_of_range));
    // Bytes behind the value, within its message.
    CHECK(refusal("0402000100") == make_error_code(gob::errc::out_of_range));
}

TEST_CASE("gob: definitions that contradict themselves or go too far") {
    const auto definition = [](TypeId id, std::string_view body) {
        Bytes bytes;
        gob::write_value(bytes, -id, test::hex(body));
        return bytes;
    };
    // No kind, two kinds, a kind nobody knows.
    CHECK(refusal(definition(64, "00")) == make_error_code(gob::errc::unknown_type));
    CHECK(
        refusal(definition(
            64,
            "0100"
            "0100"
            "00"
        )) == make_error_code(gob::errc::unknown_type)
    );
    CHECK(refusal(definition(64, "0800")) == make_error_code(gob::errc::out_of_range));
    // Cut off, and with a byte more.
    CHECK(refusal(definition(64, "0201")) == make_error_code(gob::errc::truncated));
    CHECK(refusal(definition(64, "03000000")) == make_error_code(gob::errc::out_of_range));
    // Built-in numbers, and numbers without an opposite.
    for (const TypeId id :
         {TypeId{1}, TypeId{16}, TypeId{63}, TypeId{1} << 31, std::numeric_limits<TypeId>::max()}) {
        CHECK(refusal(definition(id, "030000")) == make_error_code(gob::errc::out_of_range));
    }
    Bytes least;
    gob::write_value(least, std::numeric_limits<TypeId>::min(), test::hex("030000"));
    CHECK(refusal(least) == make_error_code(gob::errc::out_of_range));

    Bytes twice;
    gob::write_definition(twice, 64, structure("A", {}));
    gob::write_definition(twice, 64, structure("B", {}));
    CHECK(refusal(twice) == make_error_code(gob::errc::unknown_type));
    Bytes same_name;
    gob::write_definition(same_name, 64, structure("A", {{"X", 1}, {"Y", 1}, {"X", 2}}));
    CHECK(refusal(same_name) == make_error_code(gob::errc::unknown_type));
    Bytes long_name;
    gob::write_definition(long_name, 64, structure("A", {{std::string(300, 'x'), 1}}));
    CHECK(refusal(long_name) == make_error_code(gob::errc::out_of_range));
    Bytes negative;
    Type array = array_of(gob::kUint, 0);
    array.length = static_cast<std::uint64_t>(-5);
    gob::write_definition(negative, 64, array);
    CHECK(refusal(negative) == make_error_code(gob::errc::out_of_range));
}

TEST_CASE("gob: the limits hold") {
    Limits limits;
    limits.types = 3;
    Bytes types;
    for (TypeId id = 64; id < 68; ++id)
        gob::write_definition(types, id, structure("T", {}));
    CHECK(refusal(types, limits) == make_error_code(gob::errc::too_complex));

    limits = {};
    limits.fields = 3;
    Bytes fields;
    for (TypeId id = 64; id < 66; ++id)
        gob::write_definition(fields, id, structure("T", {{"A", 1}, {"B", 1}}));
    CHECK(refusal(fields, limits) == make_error_code(gob::errc::too_complex));

    limits = {};
    limits.message_bytes = 10;
    Bytes large;
    gob::write_value(large, gob::kBytes, Bytes(20), /*single=*/true);
    CHECK(refusal(large, limits) == make_error_code(gob::errc::out_of_range));
    // Refused by its length alone, before it is there.
    CHECK(refusal("0b", limits) == make_error_code(gob::errc::out_of_range));

    limits = {};
    limits.values = 4;
    Bytes list;
    gob::write_definition(list, 64, list_of(gob::kUint));
    CHECK(refusal(list, limits) == make_error_code(gob::errc::too_complex));
}

TEST_CASE("gob: counts that promise more than there is are refused before any work") {
    for (const Type& type :
         {list_of(gob::kUint), map_of(gob::kUint, gob::kUint), array_of(gob::kUint, 1 << 30)}) {
        Bytes bytes;
        gob::write_definition(bytes, 64, type);
        Bytes body;
        gob::write_uint(body, type.kind == Kind::array ? 1 << 30 : ~std::uint64_t{0});
        body.resize(body.size() + 100);
        gob::write_value(bytes, 64, body, /*single=*/true);
        CHECK(refusal(bytes) == make_error_code(gob::errc::truncated));
    }
    Bytes wrong;
    gob::write_definition(wrong, 64, array_of(gob::kUint, 3));
    gob::write_value(wrong, 64, test::hex("020101"), /*single=*/true);
    CHECK(refusal(wrong) == make_error_code(gob::errc::out_of_range));
    // Field numbers beyond the struct's.
    Bytes beyond;
    gob::write_definition(beyond, 64, structure("T", {{"A", gob::kUint}}));
    Bytes twice = beyond;
    gob::write_value(beyond, 64, test::hex("020100"));
    CHECK(refusal(beyond) == make_error_code(gob::errc::out_of_range));
    gob::write_value(
        twice,
        64,
        test::hex("01010101"
                  "00")
    );
    CHECK(refusal(twice) == make_error_code(gob::errc::out_of_range));
    Bytes far;
    gob::write_definition(far, 64, structure("T", {{"A", gob::kUint}}));
    gob::write_value(far, 64, test::hex("f8ffffffffffffffff00"));
    CHECK(refusal(far) == make_error_code(gob::errc::out_of_range));
}

TEST_CASE("gob: types that contain themselves nest as far as the limit") {
    // A struct that holds itself, a list of itself, and two that hold each other.
    const auto nested = [](std::size_t depth) {
        Bytes bytes;
        gob::write_definition(bytes, 64, structure("T", {{"T", 64}}));
        Bytes body(depth - 1, std::byte{1});
        body.resize(body.size() + depth);
        gob::write_value(bytes, 64, body);
        return bytes;
    };
    Decoder decoder;
    CHECK(decoder.first(nested(16)));
    CHECK(refusal(nested(17)) == make_error_code(gob::errc::too_complex));
    CHECK(refusal(nested(100'000)) == make_error_code(gob::errc::too_complex));

    Bytes lists;
    gob::write_definition(lists, 64, list_of(64));
    gob::write_value(lists, 64, Bytes(1000, std::byte{1}), /*single=*/true);
    CHECK(refusal(lists) == make_error_code(gob::errc::too_complex));

    Bytes pair;
    gob::write_definition(pair, 64, array_of(65, 1));
    gob::write_definition(pair, 65, map_of(64, 65));
    gob::write_value(pair, 64, Bytes(1000, std::byte{1}), /*single=*/true);
    CHECK(refusal(pair) == make_error_code(gob::errc::too_complex));
}
