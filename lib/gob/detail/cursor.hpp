#pragma once

#include "base/bytes.hpp"
#include "gob/type.hpp"

#include <cstdint>

namespace skywire::gob::detail {

/// Walks over encoded values. A failed read leaves the cursor where it was or at the damage; the
/// caller stops then.
class Cursor {
 public:
    explicit Cursor(ByteSpan bytes) noexcept : rest_(bytes) {}

    ByteSpan rest() const noexcept { return rest_; }
    bool empty() const noexcept { return rest_.empty(); }

    /// errc::truncated; out_of_range for a length byte above 8. Longer than needed is accepted, as
    /// the network's decoder does.
    [[nodiscard]] errc read_unsigned(std::uint64_t& into) noexcept;
    [[nodiscard]] errc read_signed(std::int64_t& into) noexcept;
    /// A length and as many bytes.
    [[nodiscard]] errc read_counted(ByteSpan& into) noexcept;
    /// A number of elements, of which each takes `bytes_each` bytes at least.
    [[nodiscard]] errc read_count(std::uint64_t bytes_each, std::uint64_t& into) noexcept;

    /// What is left of the work that one message may cause.
    struct Budget {
        std::size_t nesting;
        std::size_t values;
    };

    /// Past one value of `type`.
    [[nodiscard]] errc skip(const TypeTable& types, const Type& type, Budget& budget);

 private:
    errc skip_elements(const TypeTable& types, const Type& type, Budget& budget);
    errc skip_fields(const TypeTable& types, const Type& type, Budget& budget);

    ByteSpan rest_;
};

/// The next field that is set: its number, or the end of the struct.
struct FieldStep {
    bool end = false;
    std::size_t index = 0;
};

/// `next_index` is one above the last field's number, 0 at first.
[[nodiscard]] errc read_field_step(
    Cursor& cursor, const Type& type, std::size_t next_index, FieldStep& into
) noexcept;

double float_of(std::uint64_t encoded) noexcept;

}  // namespace skywire::gob::detail
