#include "gob/writer.hpp"

#include "base/assert.hpp"

#include <bit>

namespace skywire::gob {
namespace {

constexpr std::size_t kDefinesArray = 0;
constexpr std::size_t kDefinesSlice = 1;
constexpr std::size_t kDefinesStruct = 2;
constexpr std::size_t kDefinesMap = 3;
constexpr std::size_t kDefinesBinaryMarshaler = 5;

void write_message(Bytes& out, TypeId id, ByteSpan body, bool single) {
    Bytes head;
    write_int(head, id);
    if (single) head.push_back(std::byte{0});
    write_uint(out, head.size() + body.size());
    out.insert(out.end(), head.begin(), head.end());
    out.insert(out.end(), body.begin(), body.end());
}

void write_common(StructWriter& definition, Bytes& out, TypeId id, const Type& type) {
    definition.begin(0);
    StructWriter common(out);
    common.text_field(0, type.name);
    common.int_field(1, id);
    common.finish();
}

std::size_t definition_field(Kind kind) {
    switch (kind) {
        case Kind::array:
            return kDefinesArray;
        case Kind::slice:
            return kDefinesSlice;
        case Kind::structure:
            return kDefinesStruct;
        case Kind::map:
            return kDefinesMap;
        case Kind::opaque:
            return kDefinesBinaryMarshaler;
        case Kind::boolean:
        case Kind::integer:
        case Kind::unsigned_integer:
        case Kind::floating:
        case Kind::bytes:
        case Kind::text:
        case Kind::complex:
        case Kind::interface:
            break;
    }
    constexpr bool kIsBuiltIn = true;
    SKY_ASSERT(!kIsBuiltIn);
    return 0;
}

void write_fields(StructWriter& definition, Bytes& out, const Type& type) {
    if (type.fields.empty()) return;
    definition.begin(1);
    write_uint(out, type.fields.size());
    for (const Field& field : type.fields) {
        StructWriter entry(out);
        entry.text_field(0, field.name);
        entry.int_field(1, field.type);
        entry.finish();
    }
}

}  // namespace

void write_uint(Bytes& out, std::uint64_t value) {
    if (value < 0x80) {
        out.push_back(static_cast<std::byte>(value));
        return;
    }
    const int size = (static_cast<int>(std::bit_width(value)) + 7) / 8;
    out.push_back(static_cast<std::byte>(0x100 - size));
    for (int shift = (size - 1) * 8; shift >= 0; shift -= 8)
        out.push_back(static_cast<std::byte>(value >> shift));
}

void write_int(Bytes& out, std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    write_uint(out, value < 0 ? ~bits << 1 | 1 : bits << 1);
}

void write_bool(Bytes& out, bool value) {
    out.push_back(std::byte{value});
}

void write_float(Bytes& out, double value) {
    write_uint(out, __builtin_bswap64(std::bit_cast<std::uint64_t>(value)));
}

void write_bytes(Bytes& out, ByteSpan value) {
    write_uint(out, value.size());
    out.insert(out.end(), value.begin(), value.end());
}

void write_text(Bytes& out, std::string_view value) {
    write_bytes(out, as_bytes(value));
}

void write_byte_array(Bytes& out, ByteSpan value) {
    write_uint(out, value.size());
    for (const std::byte byte : value)
        write_uint(out, std::to_integer<std::uint64_t>(byte));
}

void StructWriter::begin(std::size_t index) {
    SKY_ASSERT(index >= next_index_);
    write_uint(out_, index + 1 - next_index_);
    next_index_ = index + 1;
}

void StructWriter::uint_field(std::size_t index, std::uint64_t value) {
    if (value == 0) return;
    begin(index);
    write_uint(out_, value);
}

void StructWriter::int_field(std::size_t index, std::int64_t value) {
    if (value == 0) return;
    begin(index);
    write_int(out_, value);
}

void StructWriter::bool_field(std::size_t index, bool value) {
    if (!value) return;
    begin(index);
    write_bool(out_, value);
}

void StructWriter::float_field(std::size_t index, double value) {
    if (value == 0) return;
    begin(index);
    write_float(out_, value);
}

void StructWriter::bytes_field(std::size_t index, ByteSpan value) {
    if (value.empty()) return;
    begin(index);
    write_bytes(out_, value);
}

void StructWriter::text_field(std::size_t index, std::string_view value) {
    bytes_field(index, as_bytes(value));
}

void write_value(Bytes& out, TypeId type, ByteSpan body, bool single) {
    write_message(out, type, body, single);
}

void write_definition(Bytes& out, TypeId id, const Type& type) {
    Bytes body;
    StructWriter outer(body);
    outer.begin(definition_field(type.kind));
    StructWriter inner(body);
    write_common(inner, body, id, type);
    switch (type.kind) {
        case Kind::array:
            inner.int_field(1, type.element);
            inner.int_field(2, static_cast<std::int64_t>(type.length));
            break;
        case Kind::slice:
            inner.int_field(1, type.element);
            break;
        case Kind::structure:
            write_fields(inner, body, type);
            break;
        case Kind::map:
            inner.int_field(1, type.key);
            inner.int_field(2, type.element);
            break;
        case Kind::boolean:
        case Kind::integer:
        case Kind::unsigned_integer:
        case Kind::floating:
        case Kind::bytes:
        case Kind::text:
        case Kind::complex:
        case Kind::interface:
        case Kind::opaque:
            break;
    }
    inner.finish();
    outer.finish();
    write_message(out, -id, body, /*single=*/false);
}

}  // namespace skywire::gob
