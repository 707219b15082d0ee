#pragma once

#include "base/bytes.hpp"

#include <array>
#include <initializer_list>
#include <memory>

struct evp_md_ctx_st;

namespace skywire::crypto {

/// A SHA-256 value.
using Digest = std::array<std::byte, 32>;

/// SHA-256 of `data`.
Digest sha256(ByteSpan data);

/// SHA-256 of the pieces one after another.
Digest sha256(std::initializer_list<ByteSpan> pieces);

/// SHA-256 of data that comes piece by piece.
class Sha256 {
 public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;

    void update(ByteSpan data);
    /// The value of all data so far; the object then begins anew.
    Digest finish();

 private:
    struct Free {
        void operator()(evp_md_ctx_st* context) const noexcept;
    };
    std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// HMAC-SHA256 (RFC 2104) over the pieces one after another.
Digest hmac_sha256(ByteSpan key, std::initializer_list<ByteSpan> pieces);

/// HKDF-SHA256 (RFC 5869), extract and expand; fills `out`, at most 8160 bytes. With empty `info`
/// and 64 or 96 bytes of output it is the HKDF of the Noise text.
struct HkdfInput {
    ByteSpan salt;
    ByteSpan key;
    ByteSpan info;
};
void hkdf_sha256(const HkdfInput& input, std::span<std::byte> out);

/// Overwrites secret bytes; the compiler does not drop it.
void wipe(std::span<std::byte> bytes) noexcept;

}  // namespace skywire::crypto
