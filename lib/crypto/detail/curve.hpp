#pragma once

#include "crypto/keys.hpp"

#include <secp256k1.h>

namespace skywire::crypto {

/// The only door into a PublicKey for bytes that the curve library has just made.
struct PublicKeyAccess {
    static PublicKey make(const secp256k1_pubkey& point);
};

}  // namespace skywire::crypto

namespace skywire::crypto::detail {

/// The library's context: made once, blinded once against timing and power analysis (0.9 ms), never
/// freed. Safe to use from any thread. Arguments the library calls illegal make its functions
/// return 0; its default is to end the process.
const secp256k1_context* curve();

inline const unsigned char* raw(ByteSpan bytes) noexcept {
    return reinterpret_cast<const unsigned char*>(bytes.data());
}
inline unsigned char* raw_writable(std::span<std::byte> bytes) noexcept {
    return reinterpret_cast<unsigned char*>(bytes.data());
}

}  // namespace skywire::crypto::detail
