#include "base/test.hpp"
#include "gob/decoder.hpp"
#include "gob/reader.hpp"
#include "gob/test_types.hpp"
#include "gob/writer.hpp"

#include <limits>
#include <map>

using namespace skywire;
using gob::Decoder;
using gob::Kind;
using gob::Type;
using gob::TypeId;
using gob::Value;

using namespace gob::test;

namespace {

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
