#include "gob/decoder.hpp"

#include "gob/detail/cursor.hpp"
#include "gob/reader.hpp"

#include <fmt/format.h>

namespace skywire::gob {
namespace {

using detail::Cursor;

struct Common {
    std::string name;
    /// Repeats the type's number, but for some types that encode themselves: not relied upon.
    std::int64_t id = 0;
};

struct Definition {
    Type type;
    int kinds = 0;
};

}  // namespace

template <>
struct Reads<Common> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, Common& common) {
        StructReader in(value);
        in.field("name", common.name);
        in.field("id", common.id);
        return in.finish();
    }
};

template <>
struct Reads<Field> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, Field& field) {
        StructReader in(value);
        in.field("name", field.name);
        in.field("id", field.type);
        return in.finish();
    }
};

/// The inner part of a definition, whichever kind it is of: each has some of these fields.
template <>
struct Reads<Type> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, Type& type) {
        Common common;
        std::int64_t length = 0;
        StructReader in(value);
        in.field("common", common);
        in.field("fields", type.fields);
        in.field("key", type.key);
        in.field("element", type.element);
        in.field("length", length);
        type.name = std::move(common.name);
        if (length < 0) return Error(errc::out_of_range, fmt::format("an array of {}", length));
        type.length = static_cast<std::uint64_t>(length);
        return in.finish();
    }
};

template <>
struct Reads<Definition> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, Definition& definition) {
        StructReader in(value);
        const auto kind = [&](std::string_view name, Kind kind_of_type) {
            if (!in.has(name)) return;
            ++definition.kinds;
            definition.type.kind = kind_of_type;
            in.field(name, definition.type);
        };
        kind("array", Kind::array);
        kind("slice", Kind::slice);
        kind("struct", Kind::structure);
        kind("map", Kind::map);
        kind("gob encoder", Kind::opaque);
        kind("binary marshaler", Kind::opaque);
        kind("text marshaler", Kind::opaque);
        return in.finish();
    }
};

Result<std::optional<Value>> Decoder::next(ByteSpan& input) {
    while (true) {
        Cursor cursor(input);
        std::uint64_t size = 0;
        const errc prefix = cursor.read_unsigned(size);
        if (prefix == errc::truncated) return std::optional<Value>();
        if (prefix != errc::ok) return Error(prefix, "gob: the length of a message is no number");
        if (size > types_->limits().message_bytes) {
            return Error(
                errc::out_of_range,
                fmt::format(
                    "gob: a message of {} bytes is above the limit of {}",
                    size,
                    types_->limits().message_bytes
                )
            );
        }
        if (size > cursor.rest().size()) return std::optional<Value>();
        const ByteSpan message = cursor.rest().first(static_cast<std::size_t>(size));
        input = cursor.rest().subspan(message.size());

        Cursor body(message);
        TypeId id = 0;
        if (const errc failed = body.read_signed(id); failed != errc::ok) {
            return Error(failed, "gob: a message without a type");
        }
        if (id < 0) {
            // Not -id: the least number has no opposite.
            const TypeId defined = id < -kLastDefined ? 0 : -id;
            if (auto done = define(defined, body.rest()); !done) return done.error();
            continue;
        }
        const Type* const type = id < kFirstDefined && id > kString ? nullptr : types_->find(id);
        if (type == nullptr) {
            return Error(errc::unknown_type, fmt::format("gob: nothing defines type {}", id));
        }
        // Values that are not structs stand where a struct's only field would.
        if (type->kind != Kind::structure) {
            std::uint64_t delta = 0;
            if (const errc failed = body.read_unsigned(delta); failed != errc::ok || delta != 0) {
                return Error(
                    failed != errc::ok ? failed : errc::out_of_range,
                    "gob: a single value does not begin with 0"
                );
            }
        }
        auto value = value_of(*type, body.rest());
        if (!value) return value.error();
        return std::optional<Value>(*value);
    }
}

Result<Value> Decoder::first(ByteSpan bytes) {
    auto value = next(bytes);
    if (!value) return value.error();
    if (!*value) return Error(errc::truncated, "gob: the bytes end before a value");
    return **value;
}

Result<> Decoder::define(TypeId id, ByteSpan body) {
    const auto value = value_of(TypeTable::definition(), body);
    if (!value) return value.error().within(fmt::format("gob: definition of type {}", id));
    Definition definition;
    if (auto done = read(*value, definition); !done) {
        return done.error().within(fmt::format("gob: definition of type {}", id));
    }
    if (definition.kinds != 1) {
        return Error(
            errc::unknown_type,
            fmt::format("gob: type {} is defined as {} kinds of type", id, definition.kinds)
        );
    }
    return types_->add(id, std::move(definition.type));
}

Result<Value> Decoder::value_of(const Type& type, ByteSpan body) const {
    Cursor cursor(body);
    Cursor::Budget budget{types_->limits().nesting, types_->limits().values};
    errc failed = cursor.skip(*types_, type, budget);
    if (failed == errc::ok && !cursor.empty()) failed = errc::out_of_range;
    if (failed != errc::ok) {
        return Error(
            failed,
            fmt::format(
                "gob: byte {} of a value of {}: {}",
                body.size() - cursor.rest().size(),
                body.size(),
                make_error_code(failed).message()
            )
        );
    }
    return Value(*types_, type, body);
}

}  // namespace skywire::gob
