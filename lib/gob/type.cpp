#include "gob/type.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::gob {
namespace {

// The numbers under which definitions are themselves described. Nobody sends them.
constexpr TypeId kDefinition = 16;
constexpr TypeId kArrayType = 17;
constexpr TypeId kCommonType = 18;
constexpr TypeId kSliceType = 19;
constexpr TypeId kStructType = 20;
constexpr TypeId kFieldType = 21;
constexpr TypeId kFieldList = 22;
constexpr TypeId kMapType = 23;
constexpr TypeId kOpaqueType = 24;

Type scalar(Kind kind) {
    Type type;
    type.kind = kind;
    return type;
}

Type structure(std::vector<Field> fields) {
    Type type;
    type.fields = std::move(fields);
    return type;
}

std::map<TypeId, Type> make_built_in() {
    std::map<TypeId, Type> types;
    types[kBool] = scalar(Kind::boolean);
    types[kInt] = scalar(Kind::integer);
    types[kUint] = scalar(Kind::unsigned_integer);
    types[kFloat] = scalar(Kind::floating);
    types[kBytes] = scalar(Kind::bytes);
    types[kString] = scalar(Kind::text);
    types[7] = scalar(Kind::complex);
    types[8] = scalar(Kind::interface);

    types[kDefinition] = structure({
        {"array", kArrayType},
        {"slice", kSliceType},
        {"struct", kStructType},
        {"map", kMapType},
        {"gob encoder", kOpaqueType},
        {"binary marshaler", kOpaqueType},
        {"text marshaler", kOpaqueType},
    });
    types[kArrayType] = structure({{"common", kCommonType}, {"element", kInt}, {"length", kInt}});
    types[kCommonType] = structure({{"name", kString}, {"id", kInt}});
    types[kSliceType] = structure({{"common", kCommonType}, {"element", kInt}});
    types[kStructType] = structure({{"common", kCommonType}, {"fields", kFieldList}});
    types[kFieldType] = structure({{"name", kString}, {"id", kInt}});
    types[kFieldList] = scalar(Kind::slice);
    types[kFieldList].element = kFieldType;
    types[kMapType] = structure({{"common", kCommonType}, {"key", kInt}, {"element", kInt}});
    types[kOpaqueType] = structure({{"common", kCommonType}});
    return types;
}

const std::map<TypeId, Type>& built_in() {
    static const std::map<TypeId, Type> types = make_built_in();
    return types;
}

bool names_repeat(const std::vector<Field>& fields) {
    std::vector<std::string_view> names;
    names.reserve(fields.size());
    for (const Field& field : fields)
        names.push_back(field.name);
    std::sort(names.begin(), names.end());
    return std::adjacent_find(names.begin(), names.end()) != names.end();
}

}  // namespace

std::string_view name_of(Kind kind) noexcept {
    switch (kind) {
        case Kind::boolean:
            return "bool";
        case Kind::integer:
            return "integer";
        case Kind::unsigned_integer:
            return "unsigned integer";
        case Kind::floating:
            return "float";
        case Kind::bytes:
            return "bytes";
        case Kind::text:
            return "string";
        case Kind::complex:
            return "complex number";
        case Kind::interface:
            return "interface";
        case Kind::array:
            return "array";
        case Kind::slice:
            return "slice";
        case Kind::structure:
            return "struct";
        case Kind::map:
            return "map";
        case Kind::opaque:
            return "value with an encoder of its own";
    }
    return "unknown";
}

const Type* TypeTable::find(TypeId id) const noexcept {
    const auto& types = id < kFirstDefined ? built_in() : defined_;
    const auto found = types.find(id);
    return found == types.end() ? nullptr : &found->second;
}

const Type& TypeTable::definition() noexcept {
    return built_in().at(kDefinition);
}

Result<> TypeTable::add(TypeId id, Type type) {
    if (id < kFirstDefined || id > kLastDefined) {
        return Error(errc::out_of_range, fmt::format("gob: nobody may define type {}", id));
    }
    const auto too_long = [this](std::string_view name) {
        return name.size() > limits_.name_bytes;
    };
    if (too_long(type.name) || std::ranges::any_of(type.fields, too_long, &Field::name)) {
        return Error(
            errc::out_of_range,
            fmt::format("gob: a name in type {} is above {} bytes", id, limits_.name_bytes)
        );
    }
    if (defined_.size() >= limits_.types || type.fields.size() > limits_.fields - field_count_) {
        return Error(
            errc::too_complex,
            fmt::format(
                "gob: type {} is beyond {} types or {} fields", id, limits_.types, limits_.fields
            )
        );
    }
    if (names_repeat(type.fields)) {
        return Error(errc::unknown_type, fmt::format("gob: type {} names a field twice", id));
    }
    const std::size_t fields = type.fields.size();
    if (!defined_.emplace(id, std::move(type)).second) {
        return Error(errc::unknown_type, fmt::format("gob: type {} is defined twice", id));
    }
    field_count_ += fields;
    return {};
}

}  // namespace skywire::gob
