#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "gob/value.hpp"

#include <memory>
#include <optional>

namespace skywire::gob {

/// Takes one direction of a gob stream apart: definitions go into its table, values come out. A
/// core: bytes in, values out; it keeps no bytes. Types stay defined for the life of the decoder,
/// as they do on a connection that carries many calls.
class Decoder {
 public:
    explicit Decoder(const Limits& limits = {}) : types_(std::make_unique<TypeTable>(limits)) {}

    /// Takes whole messages off the front of `input`, definitions up to and with the first value,
    /// and returns that value, a view of the bytes taken. Nothing where the bytes end before a
    /// value: what is left of `input` is to be offered again with more behind it.
    ///
    /// An error ends the stream, and the decoder with it: errc::out_of_range, unknown_type,
    /// too_complex, truncated (within a message). Costs time in proportion to the bytes taken.
    Result<std::optional<Value>> next(ByteSpan& input);

    /// The first value of bytes that are all there is; errc::truncated where they hold none. What
    /// stands behind the value is not looked at, as in the network's decoder.
    Result<Value> first(ByteSpan bytes);

    const TypeTable& types() const noexcept { return *types_; }

 private:
    Result<> define(TypeId id, ByteSpan body);
    Result<Value> value_of(const Type& type, ByteSpan body) const;

    // Values point to it: it stays where it is when the decoder moves.
    std::unique_ptr<TypeTable> types_;
};

}  // namespace skywire::gob
