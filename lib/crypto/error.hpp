#pragma once

#include "base/result.hpp"

#include <type_traits>

/// Keys, signatures, hashes: typed wrappers over libsecp256k1 and OpenSSL. spec/dmsg.md section 1.
namespace skywire::crypto {

/// Peers map some of these failures by their text: `message()` of each is the network's own.
enum class errc {
    ok = 0,
    /// Not hex, no point of the curve, or null where a key is needed.
    invalid_public_key,
    /// Hex, but not of 33 bytes.
    invalid_public_key_length,
    /// Not hex, zero, or not below the order of the group.
    invalid_secret_key,
    /// Hex, but not of 32 bytes.
    invalid_secret_key_length,
    /// Not hex.
    invalid_signature,
    /// Hex, but not of 65 bytes.
    invalid_signature_length,
    /// No key can have made this signature: r or s out of range, or r is no point's coordinate.
    not_recoverable,
    /// The signature is another key's, or covers another digest.
    wrong_signer,
    /// The right key's, but in a form the network refuses: top bit of s set, or recovery id
    /// above 3.
    not_canonical,
    /// A digest of zeros is never signed.
    zero_digest,
    /// The nonce that was handed in is zero or not below the order of the group.
    invalid_nonce,
};

const boost::system::error_category& crypto_category() noexcept;
ErrorCode make_error_code(errc code) noexcept;

}  // namespace skywire::crypto

template <>
struct boost::system::is_error_code_enum<skywire::crypto::errc> : std::true_type {};
