#include "gob/detail/cursor.hpp"

#include <bit>

namespace skywire::gob::detail {

errc Cursor::read_unsigned(std::uint64_t& into) noexcept {
    if (rest_.empty()) return errc::truncated;
    const auto first = std::to_integer<std::uint8_t>(rest_.front());
    if (first < 0x80) {
        into = first;
        rest_ = rest_.subspan(1);
        return errc::ok;
    }
    const std::size_t size = 0x100U - first;
    if (size > sizeof into) return errc::out_of_range;
    if (rest_.size() <= size) return errc::truncated;
    std::uint64_t value = 0;
    for (const std::byte byte : rest_.subspan(1, size))
        value = value << 8 | std::to_integer<std::uint64_t>(byte);
    into = value;
    rest_ = rest_.subspan(1 + size);
    return errc::ok;
}

errc Cursor::read_signed(std::int64_t& into) noexcept {
    std::uint64_t value = 0;
    if (const errc failed = read_unsigned(value); failed != errc::ok) return failed;
    const std::uint64_t magnitude = value >> 1;
    into = static_cast<std::int64_t>((value & 1) != 0 ? ~magnitude : magnitude);
    return errc::ok;
}

errc Cursor::read_counted(ByteSpan& into) noexcept {
    std::uint64_t size = 0;
    if (const errc failed = read_unsigned(size); failed != errc::ok) return failed;
    if (size > rest_.size()) return errc::truncated;
    into = rest_.first(static_cast<std::size_t>(size));
    rest_ = rest_.subspan(into.size());
    return errc::ok;
}

errc Cursor::read_count(std::uint64_t bytes_each, std::uint64_t& into) noexcept {
    if (const errc failed = read_unsigned(into); failed != errc::ok) return failed;
    // No value takes less than a byte, so a count above the rest is a lie: known before any work.
    return into > rest_.size() / bytes_each ? errc::truncated : errc::ok;
}

errc Cursor::skip(const TypeTable& types, const Type& type, Budget& budget) {
    if (budget.values == 0) return errc::too_complex;
    --budget.values;
    std::uint64_t number = 0;
    ByteSpan bytes;
    switch (type.kind) {
        case Kind::boolean:
        case Kind::integer:
        case Kind::unsigned_integer:
        case Kind::floating:
            return read_unsigned(number);
        case Kind::bytes:
        case Kind::text:
        case Kind::opaque:
            return read_counted(bytes);
        case Kind::complex: {
            const errc failed = read_unsigned(number);
            return failed != errc::ok ? failed : read_unsigned(number);
        }
        case Kind::interface:
            return errc::unknown_type;
        case Kind::array:
        case Kind::slice:
        case Kind::map:
        case Kind::structure: {
            if (budget.nesting == 0) return errc::too_complex;
            --budget.nesting;
            const errc failed = type.kind == Kind::structure ? skip_fields(types, type, budget)
                                                             : skip_elements(types, type, budget);
            ++budget.nesting;
            return failed;
        }
    }
    return errc::unknown_type;
}

errc Cursor::skip_elements(const TypeTable& types, const Type& type, Budget& budget) {
    const bool map = type.kind == Kind::map;
    std::uint64_t count = 0;
    if (const errc failed = read_count(map ? 2 : 1, count); failed != errc::ok) return failed;
    if (type.kind == Kind::array && count != type.length) return errc::out_of_range;
    const Type* const key = map ? types.find(type.key) : nullptr;
    const Type* const element = types.find(type.element);
    if (element == nullptr || (map && key == nullptr)) return errc::unknown_type;
    for (std::uint64_t i = 0; i < count; ++i) {
        if (map) {
            if (const errc failed = skip(types, *key, budget); failed != errc::ok) return failed;
        }
        if (const errc failed = skip(types, *element, budget); failed != errc::ok) return failed;
    }
    return errc::ok;
}

errc Cursor::skip_fields(const TypeTable& types, const Type& type, Budget& budget) {
    FieldStep step;
    for (std::size_t next = 0;; next = step.index + 1) {
        if (const errc failed = read_field_step(*this, type, next, step); failed != errc::ok) {
            return failed;
        }
        if (step.end) return errc::ok;
        const Type* const field = types.find(type.fields[step.index].type);
        if (field == nullptr) return errc::unknown_type;
        if (const errc failed = skip(types, *field, budget); failed != errc::ok) return failed;
    }
}

errc read_field_step(
    Cursor& cursor, const Type& type, std::size_t next_index, FieldStep& into
) noexcept {
    std::uint64_t delta = 0;
    if (const errc failed = cursor.read_unsigned(delta); failed != errc::ok) return failed;
    into.end = delta == 0;
    if (into.end) return errc::ok;
    if (delta > type.fields.size() - next_index) return errc::out_of_range;
    into.index = next_index + static_cast<std::size_t>(delta) - 1;
    return errc::ok;
}

double float_of(std::uint64_t encoded) noexcept {
    return std::bit_cast<double>(__builtin_bswap64(encoded));
}

}  // namespace skywire::gob::detail
