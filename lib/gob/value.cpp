#include "gob/value.hpp"

#include "base/assert.hpp"
#include "gob/detail/cursor.hpp"

#include <limits>

#include <fmt/format.h>

namespace skywire::gob {
namespace {

using detail::Cursor;

/// Once walked over by the Decoder, a value has no damage left to find.
void sure(errc outcome) {
    SKY_ASSERT(outcome == errc::ok);
}

}  // namespace

Error wrong_kind(Kind expected, Kind found) {
    return {
        make_error_code(errc::wrong_kind),
        fmt::format("{} where {} is expected", name_of(found), name_of(expected))
    };
}

Value Value::take(const TypeTable& types, const Type& type, ByteSpan& rest) {
    Cursor cursor(rest);
    constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();
    Cursor::Budget budget{kNoLimit, kNoLimit};
    sure(cursor.skip(types, type, budget));
    const ByteSpan bytes = rest.first(rest.size() - cursor.rest().size());
    rest = cursor.rest();
    return {types, type, bytes};
}

Result<> Value::demand(Kind kind) const {
    if (type_->kind != kind) return wrong_kind(kind, type_->kind);
    return {};
}

std::uint64_t Value::number() const {
    Cursor cursor(bytes_);
    std::uint64_t value = 0;
    sure(cursor.read_unsigned(value));
    return value;
}

ByteSpan Value::counted() const {
    Cursor cursor(bytes_);
    ByteSpan value;
    sure(cursor.read_counted(value));
    return value;
}

Result<bool> Value::as_bool() const {
    if (auto right = demand(Kind::boolean); !right) return right.error();
    return number() != 0;
}

Result<std::int64_t> Value::as_int() const {
    if (auto right = demand(Kind::integer); !right) return right.error();
    Cursor cursor(bytes_);
    std::int64_t value = 0;
    sure(cursor.read_signed(value));
    return value;
}

Result<std::uint64_t> Value::as_uint() const {
    if (auto right = demand(Kind::unsigned_integer); !right) return right.error();
    return number();
}

Result<double> Value::as_float() const {
    if (auto right = demand(Kind::floating); !right) return right.error();
    return detail::float_of(number());
}

Result<std::string_view> Value::as_text() const {
    if (auto right = demand(Kind::text); !right) return right.error();
    return skywire::as_text(counted());
}

Result<ByteSpan> Value::as_bytes() const {
    if (auto right = demand(Kind::bytes); !right) return right.error();
    return counted();
}

Result<ByteSpan> Value::as_opaque() const {
    if (auto right = demand(Kind::opaque); !right) return right.error();
    return counted();
}

Result<Value::Elements> Value::elements() const {
    if (kind() != Kind::array && kind() != Kind::slice) return wrong_kind(Kind::slice, kind());
    Cursor cursor(bytes_);
    std::uint64_t count = 0;
    sure(cursor.read_count(1, count));
    Elements elements;
    elements.types_ = types_;
    elements.element_ = types_->find(type_->element);
    elements.left_ = static_cast<std::size_t>(count);
    elements.rest_ = cursor.rest();
    return elements;
}

std::optional<Value> Value::Elements::next() {
    if (left_ == 0) return std::nullopt;
    --left_;
    return take(*types_, *element_, rest_);
}

Result<Value::Entries> Value::entries() const {
    if (auto right = demand(Kind::map); !right) return right.error();
    Cursor cursor(bytes_);
    std::uint64_t count = 0;
    sure(cursor.read_count(2, count));
    Entries entries;
    entries.types_ = types_;
    entries.key_ = types_->find(type_->key);
    entries.element_ = types_->find(type_->element);
    entries.left_ = static_cast<std::size_t>(count);
    entries.rest_ = cursor.rest();
    return entries;
}

std::optional<Value::Entry> Value::Entries::next() {
    if (left_ == 0) return std::nullopt;
    --left_;
    const Value key = take(*types_, *key_, rest_);
    return Entry{key, take(*types_, *element_, rest_)};
}

Result<Value::Members> Value::members() const {
    if (auto right = demand(Kind::structure); !right) return right.error();
    Members members;
    members.types_ = types_;
    members.type_ = type_;
    members.rest_ = bytes_;
    return members;
}

std::optional<Value::Member> Value::Members::next() {
    if (rest_.empty()) return std::nullopt;
    Cursor cursor(rest_);
    detail::FieldStep step;
    sure(detail::read_field_step(cursor, *type_, next_index_, step));
    rest_ = cursor.rest();
    if (step.end) return std::nullopt;
    next_index_ = step.index + 1;
    return Member{step.index, take(*types_, *types_->find(type_->fields[step.index].type), rest_)};
}

}  // namespace skywire::gob
