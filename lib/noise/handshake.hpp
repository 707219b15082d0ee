#pragma once

#include "base/random.hpp"
#include "base/result.hpp"
#include "crypto/hash.hpp"
#include "crypto/keys.hpp"
#include "noise/error.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <optional>

/// Noise handshakes with the network's suite, Noise_*_Secp256k1_ChaChaPoly_SHA256, and its quirks:
/// spec/dmsg.md section 2. A core: no I/O, no clock; ephemeral keys come from the Random handed in.
namespace skywire::noise {

enum class Pattern {
    /// Sessions: the initiator knows the responder's key, the responder learns the initiator's.
    xk,
    /// Streams: both know each other.
    kk,
    /// CXO over TCP: both learn.
    xx,
};

enum class Role { initiator, responder };

/// Longer messages are neither written nor read: the Noise text's own limit. Frames of the network
/// hold less (kFrameLengthMax of record.hpp).
inline constexpr std::size_t kMessageSizeMax = 65535;

/// A 32-byte cipher key, overwritten when it dies.
class CipherKey {
 public:
    static constexpr std::size_t kSize = 32;
    CipherKey() = default;
    explicit CipherKey(const crypto::Digest& bytes) : bytes_(bytes) {}
    CipherKey(const CipherKey&) = default;
    CipherKey& operator=(const CipherKey&) = default;
    ~CipherKey() { crypto::wipe(bytes_); }
    const crypto::Digest& bytes() const noexcept { return bytes_; }

 private:
    crypto::Digest bytes_{};
};

/// What a finished handshake leaves, seen from our side.
struct TransportKeys {
    CipherKey send;
    CipherKey receive;
};

/// One side of one handshake. Messages are written and read in turn; after an error the handshake
/// is over.
class Handshake {
 public:
    /// XK initiators and both sides of KK know `remote` (not null); everybody else leaves it out
    /// and compares `remote()` afterwards. errc::missing_key where it is needed and absent.
    static Result<Handshake> make(
        Pattern pattern,
        Role role,
        const crypto::KeyPair& local,
        std::optional<crypto::PublicKey> remote = std::nullopt
    );
    ~Handshake();
    Handshake(Handshake&&) noexcept;
    Handshake& operator=(Handshake&&) noexcept;

    /// The next message of ours; the payload is empty in the network. errc::wrong_turn,
    /// frame_too_long.
    Result<Bytes> write_message(Random& random, ByteSpan payload = {});

    /// Reads the peer's next message; its payload, which is tolerated whatever it is (an offer of
    /// the post-quantum hybrid is declined by ignoring it: section 15). errc::wrong_turn,
    /// short_message, frame_too_long, invalid_point, not_authentic.
    Result<Bytes> read_message(ByteSpan message);

    /// True once the last message has passed.
    bool finished() const noexcept;
    /// True where the next message is ours.
    bool writes_next() const noexcept;

    /// The peer's long-lived key; null until a message has proven it, and after a failure.
    const crypto::PublicKey& remote() const noexcept;

    /// Of a finished handshake.
    TransportKeys keys() const;
    /// The hash of all that was said so far.
    const crypto::Digest& hash() const noexcept;

 private:
    struct State;
    explicit Handshake(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace skywire::noise
