#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "noise/error.hpp"
#include "noise/handshake.hpp"

#include <cstdint>
#include <memory>
#include <span>

/// What travels after a handshake: nonce(8, big-endian) and the sealed text with its tag,
/// spec/dmsg.md section 3. Nonces count from 1 per direction.
namespace skywire::noise {

/// A record is this much longer than its plaintext.
inline constexpr std::size_t kRecordOverhead = 24;
/// Stream data: length(2, big-endian) and record; the length says at most this.
inline constexpr std::size_t kFrameLengthMax = 4094;
inline constexpr std::size_t kFramePrefix = 2;
/// The most plaintext in one frame of stream data.
inline constexpr std::size_t kFramePlaintextMax = kFrameLengthMax - kRecordOverhead;

/// Seals stream data under one key; holds a cipher context (about 1 kB).
class RecordSealer {
 public:
    /// `first_nonce` is 1 in the network; tests start elsewhere.
    explicit RecordSealer(const CipherKey& key, std::uint64_t first_nonce = 1);
    ~RecordSealer();
    RecordSealer(RecordSealer&&) noexcept;
    RecordSealer& operator=(RecordSealer&&) noexcept;

    /// The record of `plaintext` into `into`, which has exactly plaintext.size() + kRecordOverhead
    /// bytes and does not overlap it, or holds it already where it goes, behind the nonce (sealing
    /// in place). errc::nonces_exhausted.
    [[nodiscard]] Result<> seal(ByteSpan plaintext, std::span<std::byte> into);

    /// As many frames as `plaintext` needs (pieces of kFramePlaintextMax) into `into`; the bytes
    /// written: sealed_frames_size(plaintext.size()). errc::nonces_exhausted, and then none is.
    [[nodiscard]] Result<std::size_t> seal_frames(ByteSpan plaintext, std::span<std::byte> into);
    static std::size_t sealed_frames_size(std::size_t plaintext_size) noexcept;

 private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Opens stream data: each nonce must be above the last one seen, gaps are allowed, and the last
/// one seen moves before decryption. After an error the stream is over: the error repeats.
class RecordOpener {
 public:
    explicit RecordOpener(const CipherKey& key);
    ~RecordOpener();
    RecordOpener(RecordOpener&&) noexcept;
    RecordOpener& operator=(RecordOpener&&) noexcept;

    /// The plaintext's size; it goes into `into`, which has room for record.size() -
    /// kRecordOverhead and may be the record's own bytes behind the nonce (decrypting in place).
    /// errc::short_record, replayed_nonce, not_authentic.
    [[nodiscard]] Result<std::size_t> open(ByteSpan record, std::span<std::byte> into);

 private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Seals and opens the objects of a session, which arrive in any order (its streams share the
/// counter): a window of the last 1024 nonces, replays and nonce 0 refused. Rare, so no cipher
/// context is held: an idle session costs its keys, counters and window.
class ObjectBox {
 public:
    /// `first_nonce` is 1 in the network; tests start elsewhere.
    explicit ObjectBox(const TransportKeys& keys, std::uint64_t first_nonce = 1);

    /// errc::nonces_exhausted.
    Result<Bytes> seal(ByteSpan plaintext);
    /// errc::short_record, replayed_nonce, not_authentic (which does not move the window).
    Result<Bytes> open(ByteSpan record);

 private:
    static constexpr std::size_t kWindow = 1024;

    bool is_fresh(std::uint64_t nonce) const noexcept;
    void remember(std::uint64_t nonce) noexcept;
    std::uint64_t word_of(std::uint64_t nonce) const noexcept {
        return seen_[nonce % kWindow / 64];
    }
    std::uint64_t& word_of(std::uint64_t nonce) noexcept { return seen_[nonce % kWindow / 64]; }

    TransportKeys keys_;
    std::uint64_t next_;
    std::uint64_t highest_ = 0;
    /// One bit a nonce, at its number modulo the window.
    std::array<std::uint64_t, kWindow / 64> seen_{};
};

}  // namespace skywire::noise
