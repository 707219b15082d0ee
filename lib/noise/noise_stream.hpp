#pragma once

#include "base/clock.hpp"
#include "base/random.hpp"
#include "net/stream.hpp"
#include "noise/handshake.hpp"
#include "noise/record.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

/// Noise over another byte stream: CXO over TCP (spec/cxo.md "Noise TCP"), and whatever else holds
/// the keys of a finished handshake. Frames and records: spec/dmsg.md section 3.
namespace skywire::noise {

/// How long a handshake of CXO over TCP may take.
inline constexpr Duration kHandshakeLimit = std::chrono::seconds(30);

/// Seals what is written and opens what is read. Each `write` begins a frame of its own. The end of
/// the carrier between two frames is the end of the stream: the network has no signed one.
///
/// Errors, besides the carrier's: those of RecordOpener and RecordSealer, errc::frame_too_long, and
/// skywire::errc::closed for an end inside a frame. All but a cancelled read are final: later
/// reads, or writes, give the same error again (after a cancelled write skywire::errc::closed).
/// Buffers (64 KiB a direction) exist only while bytes are in them or an operation is under way;
/// who has many idle streams waits with `wait_readable`.
class NoiseStream final : public net::Stream {
 public:
    /// `remote_key` is whom the handshake has proven; `surplus` is what was read behind its last
    /// message, at most kBufferSize bytes.
    NoiseStream(
        std::unique_ptr<net::Stream> carrier,
        const TransportKeys& keys,
        const crypto::PublicKey& remote_key,
        ByteSpan surplus = {}
    );
    ~NoiseStream() override;
    NoiseStream(const NoiseStream&) = delete;
    NoiseStream& operator=(const NoiseStream&) = delete;

    static constexpr std::size_t kBufferSize = 65536;

    const crypto::PublicKey& remote_key() const noexcept { return remote_key_; }

    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override;
    Task<Result<>> write(ByteSpan head, ByteSpan tail = {}) override;
    Task<Result<>> write_all(std::span<const ByteSpan> parts) override;
    Task<Result<>> wait_readable() override;
    void close() noexcept override { carrier_->close(); }
    const net::Address& local() const noexcept override { return carrier_->local(); }
    const net::Address& remote() const noexcept override { return carrier_->remote(); }

 private:
    ByteSpan unread() const noexcept { return {buffer_.get() + start_, end_ - start_}; }
    bool has_frame() const noexcept;
    Task<Result<std::size_t>> fill();
    Result<std::size_t> open_frame(std::span<std::byte> into);
    std::size_t take_opened(std::span<std::byte> into) noexcept;
    void release_if_empty() noexcept;

    std::unique_ptr<net::Stream> carrier_;
    crypto::PublicKey remote_key_;
    RecordSealer sealer_;
    RecordOpener opener_;

    /// Frames as they came: [start_, end_) is not looked at yet.
    std::unique_ptr<std::byte[]> buffer_;
    std::size_t start_ = 0;
    std::size_t end_ = 0;
    /// Plaintext inside buffer_, before start_, that did not fit into a reader's span.
    std::span<const std::byte> opened_;
    std::optional<Error> read_error_;
    std::optional<Error> write_error_;
};

/// Runs `handshake` (fresh, of any pattern) over `carrier` in frames of length(2, big-endian) and
/// message, until `deadline`; payloads of the peer are ignored. `random` and `clock` outlive the
/// call. On an error the carrier is closed and gone. Errors: those of Handshake, the carrier's,
/// errc::frame_too_long, skywire::errc::closed when the peer ends it, timed_out, cancelled.
Task<Result<std::unique_ptr<NoiseStream>>> noise_handshake(
    std::unique_ptr<net::Stream> carrier,
    Handshake handshake,
    Random& random,
    Clock& clock,
    SteadyTime deadline
);

}  // namespace skywire::noise
