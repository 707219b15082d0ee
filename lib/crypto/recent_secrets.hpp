#pragma once

#include "crypto/hash.hpp"
#include "crypto/keys.hpp"

namespace skywire::crypto {

/// `ecdh` of two keys that both live long, which is the same each time they meet. The secrets of
/// the 128 pairs that this thread has met last are kept, and overwritten when another takes their
/// place or the thread ends: each says no more than the secret key beside it does.
Digest ecdh_long_lived(const KeyPair& ours, const CurvePoint& theirs);

}  // namespace skywire::crypto
