#pragma once

#include "base/bytes.hpp"
#include "gob/type.hpp"

#include <cstdint>
#include <string_view>

/// Writing gob: the senders of the network are matched by hand, field by field, under type numbers
/// that are constants of the caller. spec/dmsg.md section 7, spec/visor.md section 10.2.
namespace skywire::gob {

/// Appends to `out`.
void write_uint(Bytes& out, std::uint64_t value);
void write_int(Bytes& out, std::int64_t value);
void write_bool(Bytes& out, bool value);
void write_float(Bytes& out, double value);
/// A length and the bytes: bytes, text, and what a type's own encoder made.
void write_bytes(Bytes& out, ByteSpan value);
void write_text(Bytes& out, std::string_view value);
/// An array of bytes: as many unsigned numbers.
void write_byte_array(Bytes& out, ByteSpan value);

/// Appends the fields of a struct, numbered from 0, in rising order. Zero numbers, false, and empty
/// bytes and texts are left out, as the format asks. Arrays and nested structs are always sent:
/// call `begin` and write the value behind it.
class StructWriter {
 public:
    explicit StructWriter(Bytes& out) : out_(out) {}

    void uint_field(std::size_t index, std::uint64_t value);
    void int_field(std::size_t index, std::int64_t value);
    void bool_field(std::size_t index, bool value);
    void float_field(std::size_t index, double value);
    void bytes_field(std::size_t index, ByteSpan value);
    void text_field(std::size_t index, std::string_view value);

    /// The head of a field whose value the caller appends next.
    void begin(std::size_t index);

    /// Ends the struct; needed once.
    void finish() { out_.push_back(std::byte{0}); }

 private:
    Bytes& out_;
    std::size_t next_index_ = 0;
};

/// Appends one message with a value: its length, its type, and `body`; for a type that is no struct
/// `single` puts the 0 before it.
void write_value(Bytes& out, TypeId type, ByteSpan body, bool single = false);

/// Appends the message that defines a type, in the form the network's encoder gives it. Of `type`
/// those members count that its kind has. An opaque type is defined as a binary marshaler, as the
/// network's keys and UUIDs are.
void write_definition(Bytes& out, TypeId id, const Type& type);

}  // namespace skywire::gob
