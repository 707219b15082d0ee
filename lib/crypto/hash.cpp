#include "crypto/hash.hpp"

#include "base/assert.hpp"

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/evp.h>

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

/// One context a thread: making one costs more than hashing a short text.
EVP_MD_CTX* shared_context() {
    struct Free {
        void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    };
    thread_local const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
    SKY_ASSERT(context);
    return context.get();
}

}  // namespace

Digest sha256(ByteSpan data) {
    return sha256({data});
}

Digest sha256(std::initializer_list<ByteSpan> pieces) {
    EVP_MD_CTX* context = shared_context();
    begin(context);
    for (const ByteSpan piece : pieces)
        add(context, piece);
    return end(context);
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
    std::array<std::byte, kBlockSize> block{};
    if (key.size() > kBlockSize) {
        const Digest hashed = sha256(key);
        std::copy(hashed.begin(), hashed.end(), block.begin());
    } else {
        std::copy(key.begin(), key.end(), block.begin());
    }
    EVP_MD_CTX* context = shared_context();
    for (std::byte& b : block)
        b ^= std::byte{0x36};
    begin(context);
    add(context, block);
    for (const ByteSpan piece : pieces)
        add(context, piece);
    const Digest inner = end(context);
    for (std::byte& b : block)
        b ^= std::byte{0x36 ^ 0x5c};
    begin(context);
    add(context, block);
    add(context, inner);
    wipe(block);
    return end(context);
}

void hkdf_sha256(const HkdfInput& input, std::span<std::byte> out) {
    SKY_ASSERT(out.size() <= 255 * sizeof(Digest));
    Digest pseudorandom_key = hmac_sha256(input.salt, {input.key});
    Digest block{};
    std::byte counter{1};
    ByteSpan previous;
    while (!out.empty()) {
        block = hmac_sha256(pseudorandom_key, {previous, input.info, ByteSpan(&counter, 1)});
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
