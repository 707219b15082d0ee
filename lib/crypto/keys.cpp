#include "crypto/keys.hpp"

#include "base/assert.hpp"
#include "crypto/detail/curve.hpp"

#include <algorithm>

#include <secp256k1_ecdh.h>

namespace skywire::crypto {
namespace {

using detail::curve;
using detail::raw;
using detail::raw_writable;

/// Digits of a secret stand in a buffer that is wiped, whatever becomes of them.
struct SecretBytes {
    Bytes bytes;
    ~SecretBytes() { wipe(bytes); }
};

/// The first of SHA256(start), SHA256(SHA256(start)), ... that is a secret key.
SecretKey first_secret_key_of_hashes(const Digest& start) {
    Digest digest = sha256(start);
    for (;;) {
        if (auto key = SecretKey::from_bytes(digest)) return *key;
        digest = sha256(digest);
    }
}

}  // namespace

/// The points of keys that this thread has read lately: a key is read from a message, and soon
/// after multiplied, or read again. A look-up costs 20 ns, reading 5 us. Ephemeral keys do not come
/// here.
class RecentPoints {
 public:
    static Result<CurvePoint> read(ByteSpan bytes) {
        if (bytes.size() != PublicKey::kSize) return Error(errc::invalid_public_key_length);
        thread_local RecentPoints recent;
        std::size_t place = 0;
        std::memcpy(&place, bytes.data() + 1, sizeof place);
        CurvePoint& kept = recent.points_[place % recent.points_.size()];
        const bool known = std::equal(bytes.begin(), bytes.end(), kept.key_.bytes().begin());
        if (known && !kept.key_.is_null()) return kept;
        auto point = CurvePoint::from_bytes(bytes);
        if (point) kept = *point;
        return point;
    }

 private:
    std::array<CurvePoint, 128> points_{};
};

Result<PublicKey> PublicKey::from_text(std::string_view text) {
    const bool zeros = std::all_of(text.begin(), text.end(), [](char c) { return c == '0'; });
    if (zeros) return PublicKey();
    return from_text_not_null(text);
}

Result<PublicKey> PublicKey::from_text_not_null(std::string_view text) {
    Bytes bytes;
    if (!from_hex(text, bytes)) return Error(errc::invalid_public_key);
    return from_bytes(bytes);
}

Result<PublicKey> PublicKey::from_bytes(ByteSpan bytes) {
    const auto point = RecentPoints::read(bytes);
    if (!point) return point.error();
    return point->key();
}

Result<SecretKey> SecretKey::from_text(std::string_view text) {
    SecretBytes secret;
    if (!from_hex(text, secret.bytes)) return Error(errc::invalid_secret_key);
    return from_bytes(secret.bytes);
}

Result<SecretKey> SecretKey::from_bytes(ByteSpan bytes) {
    if (bytes.size() != kSize) return Error(errc::invalid_secret_key_length);
    if (secp256k1_ec_seckey_verify(curve(), raw(bytes)) != 1) {
        return Error(errc::invalid_secret_key);
    }
    SecretKey key;
    std::copy(bytes.begin(), bytes.end(), key.bytes_.begin());
    return key;
}

PublicKey public_key_of(const SecretKey& secret_key) {
    secp256k1_pubkey point;
    SKY_ASSERT(secp256k1_ec_pubkey_create(curve(), &point, raw(secret_key.bytes())) == 1);
    return PublicKeyAccess::make(point);
}

KeyPair generate_key_pair(Random& random) {
    std::array<std::byte, SecretKey::kSize> bytes;
    for (;;) {
        random.fill(bytes);
        const auto secret_key = SecretKey::from_bytes(bytes);
        wipe(bytes);
        if (secret_key) return {public_key_of(*secret_key), *secret_key};
    }
}

KeyPair deterministic_key_pair(std::string_view seed) {
    const Digest hash = sha256(as_bytes(seed));
    const SecretKey a = first_secret_key_of_hashes(hash);
    const SecretKey b = first_secret_key_of_hashes(sha256(hash));
    secp256k1_pubkey point;
    SKY_ASSERT(secp256k1_ec_pubkey_create(curve(), &point, raw(b.bytes())) == 1);
    SKY_ASSERT(secp256k1_ec_pubkey_tweak_mul(curve(), &point, raw(a.bytes())) == 1);
    const Digest salted = sha256({hash, PublicKeyAccess::make(point).bytes()});
    const SecretKey secret_key = first_secret_key_of_hashes(sha256({as_bytes(seed), salted}));
    return {public_key_of(secret_key), secret_key};
}

Result<Digest> ecdh(const SecretKey& ours, const PublicKey& theirs) {
    const auto point = CurvePoint::from_key(theirs);
    if (!point) return point.error();
    return ecdh(ours, *point);
}

Result<CurvePoint> CurvePoint::from_bytes(ByteSpan bytes) {
    if (bytes.size() != PublicKey::kSize) return Error(errc::invalid_public_key_length);
    secp256k1_pubkey point;
    if (secp256k1_ec_pubkey_parse(curve(), &point, raw(bytes), bytes.size()) != 1) {
        return Error(errc::invalid_public_key);
    }
    CurvePoint read;
    read.key_ = PublicKeyAccess::make(point);
    static_assert(sizeof point == sizeof read.point_);
    std::memcpy(read.point_.data(), &point, sizeof point);
    return read;
}

Result<CurvePoint> CurvePoint::from_key(const PublicKey& key) {
    return RecentPoints::read(key.bytes());
}

Digest ecdh(const SecretKey& ours, const CurvePoint& theirs) {
    secp256k1_pubkey point;
    std::memcpy(&point, theirs.point_.data(), sizeof point);
    Digest shared;
    SKY_ASSERT(
        secp256k1_ecdh(
            curve(), raw_writable(shared), &point, raw(ours.bytes()), nullptr, nullptr
        ) == 1
    );
    return shared;
}

}  // namespace skywire::crypto
