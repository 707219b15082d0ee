#pragma once

#include "base/bytes.hpp"
#include "crypto/error.hpp"
#include "crypto/hash.hpp"
#include "crypto/keys.hpp"

#include <array>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

/// Recoverable ECDSA as the network uses it: the message is SHA-256 of the payload, once; verifying
/// is recovering the signer's key and comparing. spec/dmsg.md section 1.
namespace skywire::crypto {

/// r(32), s(32), recovery id(1). Any 65 bytes make one: what they are worth, `verify` says.
class Signature {
 public:
    static constexpr std::size_t kSize = 65;
    static constexpr std::size_t kTextSize = 130;

    /// 65 zero bytes, which verify for no key.
    constexpr Signature() noexcept = default;

    /// 130 hex digits, either case. errc::invalid_signature, invalid_signature_length.
    static Result<Signature> from_text(std::string_view text);

    /// 65 bytes. errc::invalid_signature_length.
    static Result<Signature> from_bytes(ByteSpan bytes);

    std::span<const std::byte, kSize> bytes() const noexcept { return bytes_; }
    std::string to_text() const { return to_hex(bytes_); }

    friend bool operator==(const Signature&, const Signature&) noexcept = default;

 private:
    std::array<std::byte, kSize> bytes_{};
};

/// Signs SHA-256 of `payload`; the nonce is that of RFC 6979, so the same input gives the same
/// bytes.
Signature sign(const SecretKey& secret_key, ByteSpan payload);

/// Signs a digest. errc::zero_digest.
Result<Signature> sign_digest(const SecretKey& secret_key, const Digest& digest);

/// Signs a digest with a nonce handed in: only to reproduce recorded bytes. A nonce used for two
/// digests gives the key away. errc::zero_digest, invalid_nonce.
Result<Signature> sign_digest_with_nonce(
    const SecretKey& secret_key, const Digest& digest, const Digest& nonce
);

/// The key that made the signature; bits above the low two of the recovery id are not looked at.
/// errc::not_recoverable.
Result<PublicKey> recover(const Digest& digest, const Signature& signature);

/// Success where `signer` made `signature` over the digest. errc::not_recoverable, wrong_signer,
/// not_canonical, in this order, as the network's verifier finds them. Costs about 42 us.
[[nodiscard]] Result<> verify_digest(
    const PublicKey& signer, const Digest& digest, const Signature& signature
);

/// The same over SHA-256 of `payload`.
[[nodiscard]] Result<> verify(
    const PublicKey& signer, ByteSpan payload, const Signature& signature
);

}  // namespace skywire::crypto

template <>
struct fmt::formatter<skywire::crypto::Signature> : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(const skywire::crypto::Signature& signature, Context& context) const {
        return fmt::formatter<std::string_view>::format(signature.to_text(), context);
    }
};
