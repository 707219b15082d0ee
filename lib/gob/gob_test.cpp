#include "base/test.hpp"
#include "gob/decoder.hpp"
#include "gob/reader.hpp"
#include "gob/writer.hpp"

#include <limits>
#include <map>

using namespace skywire;
using gob::Decoder;
using gob::Kind;
using gob::Limits;
using gob::Type;
using gob::TypeId;
using gob::Value;

namespace {

Type structure(std::string name, std::vector<gob::Field> fields) {
    Type type;
    type.name = std::move(name);
    type.fields = std::move(fields);
    return type;
}

Type list_of(TypeId element) {
    Type type;
    type.kind = Kind::slice;
    type.element = element;
    return type;
}

Type map_of(TypeId key, TypeId element) {
    Type type;
    type.kind = Kind::map;
    type.key = key;
    type.element = element;
    return type;
}

Type array_of(TypeId element, std::uint64_t length) {
    Type type;
    type.kind = Kind::array;
    type.element = element;
    type.length = length;
    return type;
}

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

struct RpcHeader {
    std::string method;
    std::uint64_t seq = 0;
    std::string error;
};

struct EdgeRules {
    std::array<std::byte, 70> descriptor{};
    Bytes forward;
    Bytes reverse;
};

}  // namespace

template <>
struct gob::Reads<RpcHeader> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, RpcHeader& into) {
        StructReader in(value);
        in.field("ServiceMethod", into.method);
        in.field("Seq", into.seq);
        in.field("Error", into.error);
        return in.finish();
    }
};

template <>
struct gob::Reads<EdgeRules> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, EdgeRules& into) {
        StructReader in(value);
        in.field("Desc", into.descriptor);
        in.field("Forward", into.forward);
        in.field("Reverse", into.reverse);
        return in.finish();
    }
};

namespace {

template <class T>
T read_next(Decoder& decoder, ByteSpan& input) {
    const auto value = decoder.next(input);
    REQUIRE(value.has_value());
    REQUIRE(value->has_value());
    T read{};
    REQUIRE(gob::read(**value, read));
    return read;
}

/// One direction of a recorded connection.
Bytes recorded(const json::value& writes, std::string_view direction) {
    Bytes stream;
    for (const json::value& write : writes.as_array()) {
        if (test::text(write, "dir") != direction) continue;
        const Bytes bytes = test::hex(test::text(write, "hex"));
        stream.insert(stream.end(), bytes.begin(), bytes.end());
    }
    return stream;
}

Bytes router_stream(std::string_view direction) {
    const json::value file = test::vectors("visor/gob_rpc.json");
    return recorded(file.at("router_rpc_dmsg_port_136").at("writes"), direction);
}

}  // namespace

TEST_CASE("gob: numbers and texts in the format's own examples, both ways") {
    const auto written = [](auto&& write) {
        Bytes out;
        write(out);
        return to_hex(out);
    };
    const auto number = [&](std::uint64_t value) {
        return written([&](Bytes& out) { gob::write_uint(out, value); });
    };
    CHECK(number(0) == "00");
    CHECK(number(127) == "7f");
    CHECK(number(128) == "ff80");
    CHECK(number(200) == "ffc8");
    CHECK(number(312) == "fe0138");
    CHECK(number(std::numeric_limits<std::uint64_t>::max()) == "f8ffffffffffffffff");
    const auto signed_number = [&](std::int64_t value) {
        return written([&](Bytes& out) { gob::write_int(out, value); });
    };
    CHECK(signed_number(0) == "00");
    CHECK(signed_number(-1) == "01");
    CHECK(signed_number(64) == "ff80");
    CHECK(signed_number(-65) == "ff81");
    CHECK(signed_number(30'000'000'000) == "fb0df8475800");
    CHECK(signed_number(std::numeric_limits<std::int64_t>::min()) == "f8ffffffffffffffff");
    CHECK(written([](Bytes& out) { gob::write_float(out, 17.0); }) == "fe3140");
    CHECK(written([](Bytes& out) { gob::write_text(out, "hi"); }) == "026869");

    for (const std::int64_t each :
         {std::int64_t{0},
          std::int64_t{-1},
          std::int64_t{1} << 40,
          std::numeric_limits<std::int64_t>::min(),
          std::numeric_limits<std::int64_t>::max()}) {
        Bytes body;
        gob::write_int(body, each);
        Bytes message;
        gob::write_value(message, gob::kInt, body, /*single=*/true);
        Decoder decoder;
        CHECK(decoder.first(message).value().as_int().value() == each);
    }
}

TEST_CASE("gob: single values of every built-in kind, and of no other kind") {
    Decoder decoder;
    const auto value = [&](const Bytes& bytes) { return decoder.first(bytes).value(); };
    const Bytes yes = test::hex("03020001");
    CHECK(value(yes).as_bool().value());
    CHECK(value(yes).as_int().error() == make_error_code(gob::errc::wrong_kind));
    CHECK(value(yes).as_int().error().message() == "bool where integer is expected");
    const Bytes number = test::hex("040600ffc8");
    CHECK(value(number).as_uint().value() == 200);
    CHECK_FALSE(value(number).as_bool());
    CHECK_FALSE(value(number).elements());
    CHECK_FALSE(value(number).entries());
    CHECK_FALSE(value(number).members());
    const Bytes real = test::hex("050800fe3140");
    CHECK(value(real).as_float().value() == 17.0);
    CHECK_FALSE(value(real).as_uint());
    const Bytes bytes = test::hex(
        "050a0002"
        "abcd"
    );
    CHECK(to_hex(value(bytes).as_bytes().value()) == "abcd");
    CHECK_FALSE(value(bytes).as_text());
    CHECK_FALSE(value(bytes).as_opaque());
    const Bytes text = test::hex("050c00026869");
    CHECK(value(text).as_text().value() == "hi");
    CHECK_FALSE(value(text).as_bytes());
    CHECK_FALSE(value(text).as_float());
    // Two floats: known, so that a struct's field of that kind can be passed over.
    Bytes complex;
    gob::write_definition(complex, 64, structure("T", {{"C", 7}, {"A", gob::kUint}}));
    gob::write_value(complex, 64, test::hex("01fe3140fe3140010500"));
    std::uint64_t a = 0;
    gob::StructReader in(value(complex));
    in.field("A", a);
    CHECK(in.finish());
    CHECK(a == 5);
}

TEST_CASE("gob: a recorded connection, request by request, from one table of types") {
    const Bytes stream = router_stream("client->server");
    ByteSpan input = stream;
    Decoder decoder;
    const auto header = [&] { return read_next<RpcHeader>(decoder, input); };

    RpcHeader call = header();
    CHECK(call.method == "RPCGateway.ReserveIDs");
    CHECK(call.seq == 0);
    CHECK(read_next<std::uint8_t>(decoder, input) == 3);
    call = header();
    CHECK(call.seq == 1);
    CHECK(read_next<std::uint8_t>(decoder, input) == 200);
    CHECK(header().method == "RPCGateway.AddIntermediaryRules");
    const auto rules = read_next<std::vector<Bytes>>(decoder, input);
    REQUIRE(rules.size() == 2);
    CHECK(rules[0].size() == 50);
    CHECK(header().method == "RPCGateway.AddEdgeRules");
    const auto edge = read_next<EdgeRules>(decoder, input);
    const json::value file = test::vectors("visor/gob_rpc.json");
    const json::value& expected = file.at("router_rpc_dmsg_port_136").at("edge");
    CHECK(to_hex(edge.descriptor) == test::text(expected, "Desc"));
    CHECK(to_hex(edge.forward) == test::text(expected, "Forward"));
    CHECK(to_hex(edge.reverse) == test::text(expected, "Reverse"));
    for (std::uint64_t seq = 4; seq <= 6; ++seq) {
        CHECK(header().seq == seq);
        REQUIRE(decoder.next(input).value());
    }
    CHECK(input.empty());
    CHECK_FALSE(decoder.next(input).value());
}

TEST_CASE("gob: recorded answers, errors among them") {
    const Bytes stream = router_stream("server->client");
    ByteSpan input = stream;
    Decoder decoder;
    CHECK(read_next<RpcHeader>(decoder, input).error.empty());
    CHECK(
        read_next<std::vector<std::uint8_t>>(decoder, input) == std::vector<std::uint8_t>{1, 2, 3}
    );
    read_next<RpcHeader>(decoder, input);
    CHECK(read_next<std::vector<std::uint8_t>>(decoder, input).size() == 200);
    read_next<RpcHeader>(decoder, input);
    CHECK(read_next<bool>(decoder, input));
    read_next<RpcHeader>(decoder, input);
    CHECK(read_next<bool>(decoder, input));
    CHECK(read_next<RpcHeader>(decoder, input).error == "failure code 4 (boom)");
    // The value of a failed call: a struct without a field.
    const auto nothing = decoder.next(input).value().value();
    CHECK(nothing.kind() == Kind::structure);
    CHECK_FALSE(nothing.members()->next());
}

TEST_CASE("gob: every recorded connection is read to its end, whole and byte by byte") {
    const json::value file = test::vectors("visor/gob_rpc.json");
    for (const auto& [name, recording] : file.as_object()) {
        INFO(name);
        const json::value& writes =
            recording.is_array() ? recording : recording.as_object().at("writes");
        for (const std::string_view direction : {"client->server", "server->client"}) {
            const Bytes stream = recorded(writes, direction);
            std::size_t whole = 0;
            Decoder decoder;
            ByteSpan input = stream;
            while (decoder.next(input).value())
                ++whole;
            CHECK(input.empty());

            Decoder slow;
            std::size_t values = 0;
            std::size_t taken = 0;
            for (std::size_t end = 0; end <= stream.size(); ++end) {
                ByteSpan offered = ByteSpan(stream).subspan(taken, end - taken);
                const std::size_t before = offered.size();
                if (slow.next(offered).value()) ++values;
                taken += before - offered.size();
            }
            CHECK(values == whole);
            CHECK(whole > 0);
        }
    }
}

TEST_CASE("gob: definitions are written as the network's encoder does") {
    const auto written = [](TypeId id, const Type& type) {
        Bytes out;
        gob::write_definition(out, id, type);
        return to_hex(out);
    };
    CHECK(
        written(64, structure("Request", {{"ServiceMethod", gob::kString}, {"Seq", gob::kUint}})) ==
        "2e7f030101075265717565737401ff80000102010d536572766963654d6574686f64010c0001035365"
        "71010600"
        "0000"
    );
    CHECK(written(66, list_of(gob::kUint)) == "0cff83020102ff840001060000");
    CHECK(written(70, structure("", {})) == "0aff8b030102ff8c000000");
    Type descriptor = array_of(gob::kUint, 70);
    descriptor.name = "RouteDescriptor";
    CHECK(
        written(69, descriptor) ==
        "20ff890101010f526f75746544657363726970746f7201ff8a00010601ff8c0000"
    );
    Type uuid;
    uuid.kind = Kind::opaque;
    uuid.name = "UUID";
    CHECK(written(73, uuid) == "10ff91060101045555494401ff92000000");
    CHECK(written(80, map_of(gob::kString, gob::kInt)) == "0eff9f040102ffa000010c01040000");
}

TEST_CASE("gob: maps, nested structs and arrays are read in the sender's order") {
    Bytes bytes;
    gob::write_definition(bytes, 64, structure("T", {{"M", 65}, {"A", 67}, {"N", 64}}));
    gob::write_definition(bytes, 65, map_of(gob::kString, 66));
    gob::write_definition(bytes, 66, list_of(gob::kInt));
    gob::write_definition(bytes, 67, array_of(gob::kBool, 2));
    Bytes body;
    gob::StructWriter outer(body);
    outer.begin(0);
    gob::write_uint(body, 2);
    for (const std::string_view key : {"b", "a"}) {
        gob::write_text(body, key);
        gob::write_uint(body, 2);
        gob::write_int(body, -7);
        gob::write_int(body, 7);
    }
    outer.begin(1);
    gob::write_uint(body, 2);
    gob::write_bool(body, true);
    gob::write_bool(body, false);
    outer.begin(2);
    gob::StructWriter(body).finish();
    outer.finish();
    gob::write_value(bytes, 64, body);

    Decoder decoder;
    const Value value = decoder.first(bytes).value();
    CHECK(value.type().name == "T");
    auto members = value.members().value();
    const auto map = members.next();
    REQUIRE(map);
    CHECK(map->index == 0);
    auto entries = map->value.entries().value();
    CHECK(entries.left() == 2);
    const auto first = entries.next();
    CHECK(first->key.as_text().value() == "b");
    std::vector<int> numbers;
    REQUIRE(gob::read(first->element, numbers));
    CHECK(numbers == std::vector<int>{-7, 7});
    CHECK(entries.next()->key.as_text().value() == "a");
    CHECK_FALSE(entries.next());
    auto flags = members.next()->value.elements().value();
    CHECK(flags.next()->as_bool().value());
    CHECK_FALSE(flags.next()->as_bool().value());
    CHECK_FALSE(flags.next());
    const auto inner = members.next();
    CHECK(inner->index == 2);
    CHECK_FALSE(inner->value.members()->next());
    CHECK_FALSE(members.next());
}

TEST_CASE("gob: zero fields are left out, and what is missing stays as it was") {
    Bytes body;
    gob::StructWriter writer(body);
    writer.uint_field(0, 0);
    writer.int_field(1, 0);
    writer.bool_field(2, false);
    writer.float_field(3, 0);
    writer.bytes_field(4, {});
    writer.text_field(5, "");
    writer.uint_field(6, 1);
    writer.finish();
    CHECK(to_hex(body) == "070100");

    Bytes bytes;
    gob::write_definition(bytes, 64, structure("T", {{"A", gob::kInt}, {"B", gob::kFloat}}));
    Bytes value_body;
    gob::StructWriter fields(value_body);
    fields.float_field(1, 0.25);
    fields.finish();
    gob::write_value(bytes, 64, value_body);
    Decoder decoder;
    const Value value = decoder.first(bytes).value();
    std::int32_t a = 5;
    double b = 0;
    double absent = 6;
    gob::StructReader in(value);
    in.field("A", a);
    in.field("B", b);
    in.field("C", absent);
    CHECK(in.finish());
    CHECK(a == 5);
    CHECK(b == 0.25);
    CHECK(absent == 6);
    CHECK(in.has("B"));
    CHECK_FALSE(in.has("A"));
    CHECK_FALSE(in.has("C"));

    // The first failure stays, and stops the rest.
    std::string text;
    gob::StructReader failing(value);
    failing.field("A", text);
    failing.field("B", a);
    CHECK(failing.finish().error().message() == "A: integer where string is expected");
}

TEST_CASE("gob: a reader of structs given something else") {
    Decoder decoder;
    const Bytes bytes = test::hex("03020001");
    const Value value = decoder.first(bytes).value();
    gob::StructReader in(value);
    bool flag = false;
    in.field("A", flag);
    CHECK(in.finish().error() == make_error_code(gob::errc::wrong_kind));
    RpcHeader header;
    CHECK(gob::read(value, header).error() == make_error_code(gob::errc::wrong_kind));
}

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

TEST_CASE("gob: values stay good when the decoder moves") {
    const Bytes stream = router_stream("client->server");
    ByteSpan input = stream;
    Decoder decoder;
    const Value value = decoder.next(input).value().value();
    const Decoder moved = std::move(decoder);
    RpcHeader header;
    REQUIRE(gob::read(value, header));
    CHECK(header.method == "RPCGateway.ReserveIDs");
    CHECK(moved.types().find(64) != nullptr);
}

TEST_CASE("gob errors: every code has its own sentence and reason; kinds have names") {
    std::map<std::string, std::string_view> seen;
    for (int value = 0; value <= static_cast<int>(gob::errc::too_complex); ++value) {
        const auto code = static_cast<gob::errc>(value);
        seen[make_error_code(code).message()] = gob::reason(code);
    }
    CHECK(seen.size() == 6);
    CHECK(gob::name_of(Kind::map) == "map");
    CHECK(gob::name_of(Kind::interface) == "interface");
}
