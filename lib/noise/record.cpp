#include "noise/record.hpp"

#include "base/assert.hpp"
#include "crypto/aead.hpp"

#include <algorithm>
#include <limits>

namespace skywire::noise {
namespace {

constexpr std::size_t kNonceSize = 8;
static_assert(kRecordOverhead == kNonceSize + crypto::Aead::kTagSize);

/// Never used to seal with: the Noise text keeps it back.
constexpr std::uint64_t kNonceEnd = std::numeric_limits<std::uint64_t>::max();

std::uint64_t read_nonce(ByteSpan record) noexcept {
    std::uint64_t nonce = 0;
    for (const std::byte byte : record.first(kNonceSize))
        nonce = nonce << 8 | std::to_integer<std::uint64_t>(byte);
    return nonce;
}

void write_nonce(std::uint64_t nonce, std::span<std::byte> into) noexcept {
    for (std::size_t i = kNonceSize; i-- > 0; nonce >>= 8)
        into[i] = static_cast<std::byte>(nonce & 0xff);
}

Error error(errc code) {
    return Error(make_error_code(code));
}

}  // namespace

struct RecordSealer::State {
    State(const CipherKey& key, std::uint64_t first_nonce)
        : cipher(key.bytes()), next(first_nonce) {}

    void seal(ByteSpan plaintext, std::span<std::byte> into) {
        write_nonce(next, into);
        cipher.seal({next, plaintext}, into.subspan(kNonceSize));
        ++next;
    }

    crypto::Aead cipher;
    std::uint64_t next;
};

RecordSealer::RecordSealer(const CipherKey& key, std::uint64_t first_nonce)
    : state_(std::make_unique<State>(key, first_nonce)) {}
RecordSealer::~RecordSealer() = default;
RecordSealer::RecordSealer(RecordSealer&&) noexcept = default;
RecordSealer& RecordSealer::operator=(RecordSealer&&) noexcept = default;

Result<> RecordSealer::seal(ByteSpan plaintext, std::span<std::byte> into) {
    if (state_->next == kNonceEnd) return error(errc::nonces_exhausted);
    SKY_ASSERT(into.size() == plaintext.size() + kRecordOverhead);
    state_->seal(plaintext, into);
    return {};
}

Result<std::size_t> RecordSealer::seal_frames(ByteSpan plaintext, std::span<std::byte> into) {
    const std::size_t frames = (plaintext.size() + kFramePlaintextMax - 1) / kFramePlaintextMax;
    if (kNonceEnd - state_->next < frames) return error(errc::nonces_exhausted);
    const std::size_t written = sealed_frames_size(plaintext.size());
    SKY_ASSERT(into.size() >= written);
    while (!plaintext.empty()) {
        const ByteSpan piece = plaintext.first(std::min(plaintext.size(), kFramePlaintextMax));
        const std::size_t length = piece.size() + kRecordOverhead;
        into[0] = static_cast<std::byte>(length >> 8);
        into[1] = static_cast<std::byte>(length & 0xff);
        state_->seal(piece, into.subspan(kFramePrefix, length));
        plaintext = plaintext.subspan(piece.size());
        into = into.subspan(kFramePrefix + length);
    }
    return written;
}

std::size_t RecordSealer::sealed_frames_size(std::size_t plaintext_size) noexcept {
    const std::size_t frames = (plaintext_size + kFramePlaintextMax - 1) / kFramePlaintextMax;
    return plaintext_size + frames * (kFramePrefix + kRecordOverhead);
}

struct RecordOpener::State {
    explicit State(const CipherKey& key) : cipher(key.bytes()) {}

    Error fail(errc code) {
        failure = code;
        return error(code);
    }

    crypto::Aead cipher;
    std::uint64_t last = 0;
    errc failure = errc::ok;
};

RecordOpener::RecordOpener(const CipherKey& key) : state_(std::make_unique<State>(key)) {}
RecordOpener::~RecordOpener() = default;
RecordOpener::RecordOpener(RecordOpener&&) noexcept = default;
RecordOpener& RecordOpener::operator=(RecordOpener&&) noexcept = default;

Result<std::size_t> RecordOpener::open(ByteSpan record, std::span<std::byte> into) {
    State& state = *state_;
    if (state.failure != errc::ok) return error(state.failure);
    if (record.size() < kRecordOverhead) return state.fail(errc::short_record);
    const std::uint64_t nonce = read_nonce(record);
    if (nonce <= state.last) return state.fail(errc::replayed_nonce);
    state.last = nonce;
    if (!state.cipher.open({nonce, record.subspan(kNonceSize)}, into)) {
        return state.fail(errc::not_authentic);
    }
    return record.size() - kRecordOverhead;
}

ObjectBox::ObjectBox(const TransportKeys& keys, std::uint64_t first_nonce)
    : keys_(keys), next_(first_nonce) {}

Result<Bytes> ObjectBox::seal(ByteSpan plaintext) {
    if (next_ == kNonceEnd) return error(errc::nonces_exhausted);
    Bytes record(plaintext.size() + kRecordOverhead);
    write_nonce(next_, record);
    const auto sealed = std::span(record).subspan(kNonceSize);
    crypto::aead_seal(keys_.send.bytes(), {next_, plaintext}, sealed);
    ++next_;
    return record;
}

Result<Bytes> ObjectBox::open(ByteSpan record) {
    if (record.size() < kRecordOverhead) return error(errc::short_record);
    const std::uint64_t nonce = read_nonce(record);
    if (!is_fresh(nonce)) return error(errc::replayed_nonce);
    Bytes plaintext(record.size() - kRecordOverhead);
    const ByteSpan sealed = record.subspan(kNonceSize);
    if (!crypto::aead_open(keys_.receive.bytes(), {nonce, sealed}, plaintext)) {
        return error(errc::not_authentic);
    }
    remember(nonce);
    return plaintext;
}

bool ObjectBox::is_fresh(std::uint64_t nonce) const noexcept {
    if (nonce == 0) return false;
    if (nonce > highest_) return true;
    if (highest_ - nonce >= kWindow) return false;
    return (word_of(nonce) >> (nonce % 64) & 1) == 0;
}

void ObjectBox::remember(std::uint64_t nonce) noexcept {
    if (nonce > highest_) {
        if (nonce - highest_ >= kWindow) {
            seen_.fill(0);
        } else {
            // The places between belong to nonces that fall out of the window.
            for (std::uint64_t skipped = highest_ + 1; skipped < nonce; ++skipped)
                word_of(skipped) &= ~(std::uint64_t{1} << (skipped % 64));
        }
        highest_ = nonce;
    }
    word_of(nonce) |= std::uint64_t{1} << (nonce % 64);
}

}  // namespace skywire::noise
