#include "crypto/signature.hpp"

#include "base/assert.hpp"
#include "crypto/detail/curve.hpp"

#include <algorithm>

#include <secp256k1_recovery.h>

namespace skywire::crypto {
namespace {

using detail::curve;
using detail::raw;
using detail::raw_writable;

constexpr std::size_t kRecoveryIdAt = 64;
constexpr std::size_t kSecondHalfAt = 32;

/// Hands the library the nonce it is told to use, once: it asks again when the first was no good.
int fixed_nonce(
    unsigned char* nonce,
    const unsigned char*,
    const unsigned char*,
    const unsigned char*,
    void* data,
    unsigned int attempt
) {
    if (attempt > 0) return 0;
    std::copy_n(static_cast<const unsigned char*>(data), sizeof(Digest), nonce);
    return 1;
}

Result<Signature> sign_with(
    const SecretKey& secret_key,
    const Digest& digest,
    secp256k1_nonce_function nonce_function,
    const void* nonce_data
) {
    if (digest == Digest{}) return Error(errc::zero_digest);
    secp256k1_ecdsa_recoverable_signature made;
    if (secp256k1_ecdsa_sign_recoverable(
            curve(), &made, raw(digest), raw(secret_key.bytes()), nonce_function, nonce_data
        ) != 1) {
        return Error(errc::invalid_nonce);
    }
    std::array<std::byte, Signature::kSize> bytes;
    int recovery_id = 0;
    secp256k1_ecdsa_recoverable_signature_serialize_compact(
        curve(), raw_writable(bytes), &recovery_id, &made
    );
    bytes[kRecoveryIdAt] = static_cast<std::byte>(recovery_id);
    return Signature::from_bytes(bytes);
}

}  // namespace

Result<Signature> Signature::from_text(std::string_view text) {
    Bytes bytes;
    if (!from_hex(text, bytes)) return Error(errc::invalid_signature);
    return from_bytes(bytes);
}

Result<Signature> Signature::from_bytes(ByteSpan bytes) {
    if (bytes.size() != kSize) return Error(errc::invalid_signature_length);
    Signature signature;
    std::copy(bytes.begin(), bytes.end(), signature.bytes_.begin());
    return signature;
}

Signature sign(const SecretKey& secret_key, ByteSpan payload) {
    const auto signature = sign_digest(secret_key, sha256(payload));
    // No payload with a digest of zeros is known, and RFC 6979 never runs out of nonces.
    SKY_ASSERT(signature.has_value());
    return *signature;
}

Result<Signature> sign_digest(const SecretKey& secret_key, const Digest& digest) {
    return sign_with(secret_key, digest, nullptr, nullptr);
}

Result<Signature> sign_digest_with_nonce(
    const SecretKey& secret_key, const Digest& digest, const Digest& nonce
) {
    return sign_with(secret_key, digest, fixed_nonce, nonce.data());
}

Result<PublicKey> recover(const Digest& digest, const Signature& signature) {
    const ByteSpan bytes = signature.bytes();
    // Masked: for an id above 3 the library calls its illegal-argument handler.
    const int recovery_id = std::to_integer<int>(bytes[kRecoveryIdAt] & std::byte{3});
    secp256k1_ecdsa_recoverable_signature parsed;
    secp256k1_pubkey point;
    if (secp256k1_ecdsa_recoverable_signature_parse_compact(
            curve(), &parsed, raw(bytes), recovery_id
        ) != 1 ||
        secp256k1_ecdsa_recover(curve(), &point, &parsed, raw(digest)) != 1) {
        return Error(errc::not_recoverable);
    }
    return PublicKeyAccess::make(point);
}

Result<> verify_digest(const PublicKey& signer, const Digest& digest, const Signature& signature) {
    const auto recovered = recover(digest, signature);
    if (!recovered) return recovered.error();
    if (*recovered != signer) return Error(errc::wrong_signer);
    const ByteSpan bytes = signature.bytes();
    const bool high_s = (bytes[kSecondHalfAt] & std::byte{0x80}) != std::byte{0};
    if (high_s || bytes[kRecoveryIdAt] > std::byte{3}) return Error(errc::not_canonical);
    return {};
}

Result<> verify(const PublicKey& signer, ByteSpan payload, const Signature& signature) {
    return verify_digest(signer, sha256(payload), signature);
}

}  // namespace skywire::crypto
