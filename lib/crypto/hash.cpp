// For SHA256_Init and its companions, see ShortSha256.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "crypto/hash.hpp"

#include "base/assert.hpp"

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

namespace skywire::crypto {
namespace {

constexpr std::size_t kBlockSize = 64;

/// Fetched once: a look-up by name costs as much as hashing a kilobyte.
const EVP_MD* sha256_method() {
    static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    SKY_ASSERT(method != nullptr);
    return method;
}

void begin(EVP_MD_CTX* context) {
    SKY_ASSERT(EVP_DigestInit_ex2(context, sha256_method(), nullptr) == 1);
}

void add(EVP_MD_CTX* context, ByteSpan data) {
    SKY_ASSERT(EVP_DigestUpdate(context, data.data(), data.size()) == 1);
}

Digest end(EVP_MD_CTX* context) {
    Digest digest;
    auto* out = reinterpret_cast<unsigned char*>(digest.data());
    SKY_ASSERT(EVP_DigestFinal_ex(context, out, nullptr) == 1);
    return digest;
}

/// SHA-256 of short texts through the library's older interface, which its version 3 calls
/// deprecated but keeps: 100 ns for 64 bytes instead of 130, and a state that can be copied, so
/// that the HKDF of a handshake costs 0.4 us instead of 0.8.
class ShortSha256 {
 public:
    ShortSha256() { SHA256_Init(&state_); }

    void update(ByteSpan data) { SHA256_Update(&state_, data.data(), data.size()); }
    Digest finish() {
        Digest digest;
        SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &state_);
        return digest;
    }
    void forget() noexcept { OPENSSL_cleanse(&state_, sizeof state_); }

 private:
    SHA256_CTX state_;
};

/// Both halves of HMAC with the key already in them.
class HmacKey {
 public:
    explicit HmacKey(ByteSpan key) {
        std::array<std::byte, kBlockSize> block{};
        if (key.size() > kBlockSize) {
            const Digest hashed = sha256(key);
            std::copy(hashed.begin(), hashed.end(), block.begin());
        } else {
            std::copy(key.begin(), key.end(), block.begin());
        }
        for (std::byte& b : block)
            b ^= std::byte{0x36};
        inner_.update(block);
        for (std::byte& b : block)
            b ^= std::byte{0x36 ^ 0x5c};
        outer_.update(block);
        wipe(block);
    }
    ~HmacKey() {
        inner_.forget();
        outer_.forget();
    }
    HmacKey(const HmacKey&) = delete;
    HmacKey& operator=(const HmacKey&) = delete;

    Digest of(std::initializer_list<ByteSpan> pieces) const {
        ShortSha256 inner = inner_;
        for (const ByteSpan piece : pieces)
            inner.update(piece);
        ShortSha256 outer = outer_;
        outer.update(inner.finish());
        return outer.finish();
    }

 private:
    ShortSha256 inner_;
    ShortSha256 outer_;
};

}  // namespace

Digest sha256(ByteSpan data) {
    return sha256({data});
}

Digest sha256(std::initializer_list<ByteSpan> pieces) {
    ShortSha256 hash;
    for (const ByteSpan piece : pieces)
        hash.update(piece);
    return hash.finish();
}

void Sha256::Free::operator()(evp_md_ctx_st* context) const noexcept {
    EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
    SKY_ASSERT(context_);
    begin(context_.get());
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(ByteSpan data) {
    add(context_.get(), data);
}

Digest Sha256::finish() {
    const Digest digest = end(context_.get());
    begin(context_.get());
    return digest;
}

Digest hmac_sha256(ByteSpan key, std::initializer_list<ByteSpan> pieces) {
    return HmacKey(key).of(pieces);
}

void hkdf_sha256(const HkdfInput& input, std::span<std::byte> out) {
    SKY_ASSERT(out.size() <= 255 * sizeof(Digest));
    Digest pseudorandom_key = hmac_sha256(input.salt, {input.key});
    const HmacKey expand(pseudorandom_key);
    Digest block{};
    std::byte counter{1};
    ByteSpan previous;
    while (!out.empty()) {
        block = expand.of({previous, input.info, ByteSpan(&counter, 1)});
        previous = block;
        counter = static_cast<std::byte>(std::to_integer<unsigned>(counter) + 1);
        const std::size_t size = std::min(out.size(), block.size());
        std::copy_n(block.begin(), size, out.begin());
        out = out.subspan(size);
    }
    wipe(pseudorandom_key);
    wipe(block);
}

void wipe(std::span<std::byte> bytes) noexcept {
    OPENSSL_cleanse(bytes.data(), bytes.size());
}

}  // namespace skywire::crypto
