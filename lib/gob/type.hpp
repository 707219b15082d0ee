#pragma once

#include "base/result.hpp"
#include "gob/error.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// What gob messages say about types. Each sender numbers its types as it likes and defines them on
/// the stream before their first use; only the built-in ones have fixed numbers. spec/dmsg.md
/// section 7, spec/visor.md section 10.2.
namespace skywire::gob {

/// A type's number within one direction of one stream.
using TypeId = std::int64_t;

/// The built-in types.
inline constexpr TypeId kBool = 1;
inline constexpr TypeId kInt = 2;
inline constexpr TypeId kUint = 3;
inline constexpr TypeId kFloat = 4;
inline constexpr TypeId kBytes = 5;
inline constexpr TypeId kString = 6;

/// Defined types begin here.
inline constexpr TypeId kFirstDefined = 64;
inline constexpr TypeId kLastDefined = 0x7fff'ffff;

enum class Kind {
    boolean,
    integer,
    unsigned_integer,
    floating,
    bytes,
    text,
    /// Two floats; read past, no accessor.
    complex,
    /// A value with its type's name: the network has none, its values are refused.
    interface,
    /// A fixed number of elements.
    array,
    slice,
    structure,
    map,
    /// Bytes that the type's own encoder made: keys, UUIDs. Three ways of defining it, one form.
    opaque,
};

/// "struct", "unsigned integer": for messages.
std::string_view name_of(Kind kind) noexcept;

struct Field {
    std::string name;
    TypeId type = 0;
};

struct Type {
    Kind kind = Kind::structure;
    /// Empty for unnamed types. The sender's word: nothing depends on it.
    std::string name;
    /// Of a structure, numbered from 0.
    std::vector<Field> fields;
    /// Of an array, a slice, a map.
    TypeId element = 0;
    /// Of a map.
    TypeId key = 0;
    /// Of an array.
    std::uint64_t length = 0;
};

/// What a reader bears of one sender. The defaults are the visor's (spec/visor.md).
struct Limits {
    std::size_t message_bytes = 1 << 20;
    /// Values within values.
    std::size_t nesting = 16;
    /// Values of all kinds in one message, elements and fields counted.
    std::size_t values = 1 << 18;
    std::size_t types = 256;
    /// Over all types.
    std::size_t fields = 4096;
    /// Of a type or a field.
    std::size_t name_bytes = 256;
};

/// The types one sender has defined. References to a type stay good as long as the table.
class TypeTable {
 public:
    explicit TypeTable(const Limits& limits = {}) : limits_(limits) {}

    /// Built in or defined; null where nothing describes the number.
    const Type* find(TypeId id) const noexcept;

    /// Defines `id`. errc::out_of_range (the number, a name), unknown_type (defined twice, a field
    /// named twice), too_complex (types or fields beyond the limits).
    [[nodiscard]] Result<> add(TypeId id, Type type);

    const Limits& limits() const noexcept { return limits_; }

    /// The type of definitions themselves.
    static const Type& definition() noexcept;

 private:
    Limits limits_;
    std::map<TypeId, Type> defined_;
    std::size_t field_count_ = 0;
};

}  // namespace skywire::gob
