#pragma once

#include "base/bytes.hpp"
#include "base/random.hpp"
#include "crypto/error.hpp"
#include "crypto/hash.hpp"

#include <array>
#include <compare>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

/// Keys of the network: secp256k1. Formats: spec/dmsg.md section 1.
namespace skywire::crypto {

/// A point of the curve in compressed form, or the null key (33 zero bytes), which says "no key" in
/// all structures. An object of this type is always one of the two: there is no unchecked way in.
class PublicKey {
 public:
    static constexpr std::size_t kSize = 33;
    static constexpr std::size_t kTextSize = 66;

    /// The null key.
    constexpr PublicKey() noexcept = default;

    /// 66 hex digits, either case. Text made of the digit 0 alone, of any length, also empty, is
    /// the null key: the network's JSON and flag decoder. errc::invalid_public_key,
    /// invalid_public_key_length.
    static Result<PublicKey> from_text(std::string_view text);

    /// As from_text, with the null key refused.
    static Result<PublicKey> from_text_not_null(std::string_view text);

    /// 33 bytes that are a point; the null key is refused. Costs about 5 us (a square root), or
    /// next to nothing for a key that this thread has read lately.
    static Result<PublicKey> from_bytes(ByteSpan bytes);

    constexpr bool is_null() const noexcept { return bytes_[0] == std::byte{0}; }
    std::span<const std::byte, kSize> bytes() const noexcept { return bytes_; }

    /// 66 lower-case digits; zeros for the null key.
    std::string to_text() const { return to_hex(bytes_); }

    /// Order of the bytes, which is the order of the texts.
    friend auto operator<=>(const PublicKey& a, const PublicKey& b) noexcept {
        return std::memcmp(a.bytes_.data(), b.bytes_.data(), kSize) <=> 0;
    }
    friend bool operator==(const PublicKey& a, const PublicKey& b) noexcept {
        return a.bytes_ == b.bytes_;
    }

 private:
    friend struct PublicKeyAccess;

    std::array<std::byte, kSize> bytes_{};
};

/// A number k with 1 <= k < n. It has no formatter and no text form but `reveal_text`; its bytes
/// are overwritten when it dies. A moved-from key is still the key.
class SecretKey {
 public:
    static constexpr std::size_t kSize = 32;
    static constexpr std::size_t kTextSize = 64;

    /// 64 hex digits, either case. errc::invalid_secret_key, invalid_secret_key_length.
    static Result<SecretKey> from_text(std::string_view text);

    /// 32 bytes, big-endian. The same errors.
    static Result<SecretKey> from_bytes(ByteSpan bytes);

    SecretKey(const SecretKey&) noexcept = default;
    SecretKey& operator=(const SecretKey&) noexcept = default;
    ~SecretKey() { wipe(bytes_); }

    std::span<const std::byte, kSize> bytes() const noexcept { return bytes_; }

    /// The digits, for a key file or a configuration that is being written; never for logs.
    std::string reveal_text() const { return to_hex(bytes_); }

    friend bool operator==(const SecretKey& a, const SecretKey& b) noexcept {
        return equal_in_constant_time(a.bytes_, b.bytes_);
    }

 private:
    SecretKey() noexcept = default;

    std::array<std::byte, kSize> bytes_{};
};

struct KeyPair {
    PublicKey public_key;
    SecretKey secret_key;
};

/// The point of a secret key.
PublicKey public_key_of(const SecretKey& secret_key);

/// A new pair from 32 bytes of `random` (rarely more).
KeyPair generate_key_pair(Random& random);

/// The pair that the network's tools derive from a seed text: tests and fixed examples only.
KeyPair deterministic_key_pair(std::string_view seed);

/// What two parties share: SHA-256 of the compressed point, 32 bytes. `theirs` must not be null:
/// errc::invalid_public_key.
Result<Digest> ecdh(const SecretKey& ours, const PublicKey& theirs);

/// A public key and its point as the curve's library computes with it: who multiplies a key more
/// than once reads it once.
class CurvePoint {
 public:
    /// As PublicKey::from_bytes, always read anew: for keys that come once.
    static Result<CurvePoint> from_bytes(ByteSpan bytes);
    /// errc::invalid_public_key for the null key. Where this thread has read the key lately, its
    /// point is still at hand.
    static Result<CurvePoint> from_key(const PublicKey& key);

    const PublicKey& key() const noexcept { return key_; }

 private:
    friend Digest ecdh(const SecretKey& ours, const CurvePoint& theirs);
    friend class RecentPoints;

    CurvePoint() noexcept = default;

    PublicKey key_;
    std::array<std::byte, 64> point_{};
};

/// The same value.
Digest ecdh(const SecretKey& ours, const CurvePoint& theirs);

}  // namespace skywire::crypto

template <>
struct std::hash<skywire::crypto::PublicKey> {
    std::size_t operator()(const skywire::crypto::PublicKey& key) const noexcept {
        // A coordinate of a point is as good as random.
        std::size_t value = 0;
        std::memcpy(&value, key.bytes().data() + 1, sizeof value);
        return value;
    }
};

template <>
struct fmt::formatter<skywire::crypto::PublicKey> : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(const skywire::crypto::PublicKey& key, Context& context) const {
        return fmt::formatter<std::string_view>::format(key.to_text(), context);
    }
};
