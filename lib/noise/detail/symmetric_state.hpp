#pragma once

#include "noise/handshake.hpp"

#include <cstdint>
#include <string_view>

/// The SymmetricState of the Noise text, with SHA-256 and ChaCha20-Poly1305.
namespace skywire::noise::detail {

class SymmetricState {
 public:
    /// What EncryptAndHash adds once there is a key.
    static constexpr std::size_t kTagSize = 16;

    /// `protocol_name` is longer than a hash, as all of the network's are.
    explicit SymmetricState(std::string_view protocol_name);

    void mix_hash(ByteSpan data);
    void mix_key(ByteSpan input);
    /// Appends to `message`: the plaintext itself as long as there is no key.
    void encrypt_and_hash(ByteSpan plaintext, Bytes& message);
    /// The plaintext into `into`, which has exactly its size; false where it is not authentic.
    [[nodiscard]] bool decrypt_and_hash(ByteSpan sealed, std::span<std::byte> into);

    struct Split {
        CipherKey first;
        CipherKey second;
    };
    Split split() const;

    /// How much longer than its plaintext the next sealed text is.
    std::size_t overhead() const noexcept { return has_key_ ? kTagSize : 0; }
    const crypto::Digest& hash() const noexcept { return hash_; }
    const CipherKey& chaining_key() const noexcept { return chaining_key_; }
    const CipherKey& key() const noexcept { return key_; }

 private:
    crypto::Digest hash_;
    CipherKey chaining_key_;
    CipherKey key_;
    std::uint64_t nonce_ = 0;
    bool has_key_ = false;
};

}  // namespace skywire::noise::detail
