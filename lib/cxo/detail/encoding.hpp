#pragma once

#include "base/bytes.hpp"
#include "crypto/hash.hpp"
#include "crypto/keys.hpp"

#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string_view>

/// The encoder that all of CXO is written in: numbers little-endian, lists and texts with a count
/// in front, structs without padding. spec/cxo.md section 2.
namespace skywire::cxo::detail {

template <std::unsigned_integral T>
T load(const std::byte* from) noexcept {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
        value = static_cast<T>(value | static_cast<T>(static_cast<T>(from[i]) << (8 * i)));
    return value;
}

/// Reads from the front. Once something was missing, `ok` is false and all that follows is zero or
/// empty: ask once, at the end.
class Reader {
 public:
    explicit Reader(ByteSpan bytes) noexcept : rest_(bytes) {}

    template <std::unsigned_integral T>
    T number() noexcept {
        const ByteSpan from = bytes(sizeof(T));
        return from.empty() ? T{0} : load<T>(from.data());
    }

    /// Exactly so many.
    ByteSpan bytes(std::size_t size) noexcept {
        if (size > rest_.size()) {
            ok_ = false;
            rest_ = {};
            return {};
        }
        const ByteSpan taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }

    /// A count and as many bytes.
    ByteSpan counted() noexcept { return bytes(number<std::uint32_t>()); }

    template <std::size_t size>
    std::array<std::byte, size> array() noexcept {
        std::array<std::byte, size> into{};
        const ByteSpan from = bytes(size);
        if (!from.empty()) std::memcpy(into.data(), from.data(), size);
        return into;
    }

    bool ok() const noexcept { return ok_; }
    /// Nothing missing, nothing left over.
    bool done() const noexcept { return ok_ && rest_.empty(); }
    ByteSpan rest() const noexcept { return rest_; }

 private:
    ByteSpan rest_;
    bool ok_ = true;
};

class Writer {
 public:
    explicit Writer(std::size_t size_expected = 0) { out_.reserve(size_expected); }

    template <std::unsigned_integral T>
    void number(T value) {
        std::array<std::byte, sizeof(T)> digits;
        for (std::size_t i = 0; i < sizeof(T); ++i)
            digits[i] = static_cast<std::byte>(value >> (8 * i));
        bytes(digits);
    }

    void bytes(ByteSpan bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
    void counted(ByteSpan counted_bytes) {
        number(static_cast<std::uint32_t>(counted_bytes.size()));
        bytes(counted_bytes);
    }
    void counted(std::string_view text) { counted(as_bytes(text)); }

    Bytes take() { return std::move(out_); }

 private:
    Bytes out_;
};

}  // namespace skywire::cxo::detail
