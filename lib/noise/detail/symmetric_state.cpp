#include "noise/detail/symmetric_state.hpp"

#include "base/assert.hpp"
#include "crypto/aead.hpp"

#include <algorithm>

namespace skywire::noise::detail {
namespace {

/// HKDF of the Noise text with two outputs.
SymmetricState::Split derive(const CipherKey& chaining_key, ByteSpan input) {
    std::array<std::byte, 2 * CipherKey::kSize> both;
    crypto::hkdf_sha256({chaining_key.bytes(), input, {}}, both);
    crypto::Digest first;
    crypto::Digest second;
    std::copy_n(both.begin(), first.size(), first.begin());
    std::copy_n(both.begin() + first.size(), second.size(), second.begin());
    SymmetricState::Split keys{CipherKey(first), CipherKey(second)};
    crypto::wipe(both);
    crypto::wipe(first);
    crypto::wipe(second);
    return keys;
}

}  // namespace

SymmetricState::SymmetricState(std::string_view protocol_name)
    : hash_(crypto::sha256(as_bytes(protocol_name))), chaining_key_(hash_) {
    SKY_ASSERT(protocol_name.size() > hash_.size());
}

void SymmetricState::mix_hash(ByteSpan data) {
    hash_ = crypto::sha256({hash_, data});
}

void SymmetricState::mix_key(ByteSpan input) {
    const Split keys = derive(chaining_key_, input);
    chaining_key_ = keys.first;
    key_ = keys.second;
    nonce_ = 0;
    has_key_ = true;
}

void SymmetricState::encrypt_and_hash(ByteSpan plaintext, Bytes& message) {
    const std::size_t begin = message.size();
    message.resize(begin + plaintext.size() + overhead());
    const auto sealed = std::span(message).subspan(begin);
    if (has_key_) {
        crypto::aead_seal(key_.bytes(), {nonce_++, plaintext, hash_}, sealed);
    } else {
        std::copy(plaintext.begin(), plaintext.end(), sealed.begin());
    }
    mix_hash(sealed);
}

bool SymmetricState::decrypt_and_hash(ByteSpan sealed, std::span<std::byte> into) {
    SKY_ASSERT(sealed.size() == into.size() + overhead());
    if (has_key_) {
        if (!crypto::aead_open(key_.bytes(), {nonce_, sealed, hash_}, into)) return false;
        ++nonce_;
    } else {
        std::copy(sealed.begin(), sealed.end(), into.begin());
    }
    mix_hash(sealed);
    return true;
}

SymmetricState::Split SymmetricState::split() const {
    return derive(chaining_key_, {});
}

}  // namespace skywire::noise::detail
