#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <memory>
#include <span>

/// ChaCha20-Poly1305 (RFC 8439) with the nonces of the Noise text: 4 zero bytes and a 64-bit
/// number, little-endian. A nonce seals one message under a key, never two: counting is the
/// caller's.
namespace skywire::crypto {

/// One message: what is sealed or opened, and what is covered by the tag without being in it.
struct AeadInput {
    std::uint64_t nonce = 0;
    ByteSpan data;
    ByteSpan associated = {};
};

/// The cipher under one key, both directions. Holds contexts of the library (about 1 kB), because
/// making one for each message costs as much as sealing a kilobyte. Used by one thread at a time.
class Aead {
 public:
    static constexpr std::size_t kKeySize = 32;
    static constexpr std::size_t kTagSize = 16;
    using Key = std::span<const std::byte, kKeySize>;

    explicit Aead(Key key);
    ~Aead();
    Aead(Aead&&) noexcept;
    Aead& operator=(Aead&&) noexcept;

    /// The sealed text and its tag into `into`, which has exactly data.size() + kTagSize bytes and
    /// begins where `data` begins or does not overlap it.
    void seal(const AeadInput& input, std::span<std::byte> into);

    /// True and the plaintext where `data`, a sealed text with its tag, is authentic. `into` has at
    /// least data.size() - kTagSize bytes and begins where `data` begins or does not overlap it;
    /// after a failure it is as it was. Data shorter than a tag are not authentic.
    [[nodiscard]] bool open(const AeadInput& input, std::span<std::byte> into);

 private:
    friend void aead_seal(Key key, const AeadInput& input, std::span<std::byte> into);
    friend bool aead_open(Key key, const AeadInput& input, std::span<std::byte> into);

    struct State;
    /// The thread's own state, borrowed for one message.
    struct Shared;
    std::unique_ptr<State> state_;
};

/// The same for keys that are used rarely, or once: in a context of the thread, which forgets the
/// key at the end. Safe to call from any thread.
void aead_seal(Aead::Key key, const AeadInput& input, std::span<std::byte> into);
[[nodiscard]] bool aead_open(Aead::Key key, const AeadInput& input, std::span<std::byte> into);

}  // namespace skywire::crypto
