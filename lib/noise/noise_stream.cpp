#include "noise/noise_stream.hpp"

#include "base/assert.hpp"
#include "net/deadline.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace skywire::noise {
namespace {

constexpr std::size_t kFrameSizeMax = kFramePrefix + kFrameLengthMax;
constexpr std::size_t kFrameOverhead = kFramePrefix + kRecordOverhead;
constexpr std::size_t kNonceSize = 8;

std::size_t read_length(ByteSpan frame) noexcept {
    return std::to_integer<std::size_t>(frame[0]) << 8 | std::to_integer<std::size_t>(frame[1]);
}

void write_length(std::size_t length, std::span<std::byte> into) noexcept {
    into[0] = static_cast<std::byte>(length >> 8);
    into[1] = static_cast<std::byte>(length & 0xff);
}

/// Walks over the bytes of several spans.
class Gather {
 public:
    explicit Gather(std::span<const ByteSpan> parts) : parts_(parts) {
        for (const ByteSpan part : parts)
            left_ += part.size();
    }
    std::size_t left() const noexcept { return left_; }

    /// The next `size` bytes: where they lie, if that is in one piece, else copied into `room`.
    ByteSpan take(std::size_t size, std::span<std::byte> room) noexcept {
        left_ -= size;
        skip_empty();
        if (parts_.front().size() - done_ >= size) return take_here(size);
        for (std::size_t copied = 0; copied < size; skip_empty()) {
            const std::size_t here = std::min(size - copied, parts_.front().size() - done_);
            const ByteSpan piece = take_here(here);
            std::copy(piece.begin(), piece.end(), room.begin() + static_cast<long>(copied));
            copied += here;
        }
        return room.first(size);
    }

 private:
    void skip_empty() noexcept {
        while (!parts_.empty() && done_ == parts_.front().size()) {
            parts_ = parts_.subspan(1);
            done_ = 0;
        }
    }
    ByteSpan take_here(std::size_t size) noexcept {
        return parts_.front().subspan(std::exchange(done_, done_ + size), size);
    }

    std::span<const ByteSpan> parts_;
    /// Bytes of the first part that are taken already.
    std::size_t done_ = 0;
    std::size_t left_ = 0;
};

/// As many frames as fit into `into`; their bytes.
Result<std::size_t> seal_batch(RecordSealer& sealer, Gather& from, std::span<std::byte> into) {
    std::size_t filled = 0;
    while (from.left() > 0) {
        const std::size_t size = std::min(from.left(), kFramePlaintextMax);
        if (into.size() - filled < size + kFrameOverhead) break;
        const auto frame = into.subspan(filled, size + kFrameOverhead);
        const auto record = frame.subspan(kFramePrefix);
        write_length(record.size(), frame);
        const ByteSpan plaintext = from.take(size, record.subspan(kNonceSize, size));
        if (const auto sealed = sealer.seal(plaintext, record); !sealed) return sealed.error();
        filled += frame.size();
    }
    return filled;
}

/// Runs the handshake; what was read behind its last message. The references are locals of the one
/// caller, which awaits this.
Task<Result<Bytes>> exchange(net::Stream& carrier, Handshake& handshake, Random& random) {
    Bytes buffer(kFrameSizeMax);
    std::size_t filled = 0;
    while (!handshake.finished()) {
        if (handshake.writes_next()) {
            const auto message = handshake.write_message(random);
            if (!message) co_return message.error();
            std::array<std::byte, kFramePrefix> prefix;
            write_length(message->size(), prefix);
            const auto written = co_await carrier.write(prefix, *message);
            if (!written) co_return written.error();
            continue;
        }
        const std::size_t length = filled < kFramePrefix ? 0 : read_length(buffer);
        if (length > kFrameLengthMax) co_return Error(make_error_code(errc::frame_too_long));
        const std::size_t frame = kFramePrefix + length;
        if (filled < kFramePrefix || filled < frame) {
            const auto got = co_await carrier.read_some(std::span(buffer).subspan(filled));
            if (!got) co_return got.error();
            if (*got == 0) co_return fail(skywire::errc::closed, "ended during the handshake");
            filled += *got;
            continue;
        }
        const auto read = handshake.read_message(ByteSpan(buffer).subspan(kFramePrefix, length));
        if (!read) co_return read.error();
        filled -= frame;
        std::memmove(buffer.data(), buffer.data() + frame, filled);
    }
    buffer.resize(filled);
    co_return buffer;
}

}  // namespace

NoiseStream::NoiseStream(
    std::unique_ptr<net::Stream> carrier,
    const TransportKeys& keys,
    const crypto::PublicKey& remote_key,
    ByteSpan surplus
)
    : carrier_(std::move(carrier)),
      remote_key_(remote_key),
      sealer_(keys.send),
      opener_(keys.receive) {
    SKY_ASSERT(surplus.size() <= kBufferSize);
    if (surplus.empty()) return;
    buffer_ = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
    std::copy(surplus.begin(), surplus.end(), buffer_.get());
    end_ = surplus.size();
}

NoiseStream::~NoiseStream() = default;

bool NoiseStream::has_frame() const noexcept {
    if (unread().size() < kFramePrefix) return false;
    const std::size_t length = read_length(unread());
    // One that is too long is there at once: as an error.
    return length > kFrameLengthMax || unread().size() >= kFramePrefix + length;
}

Task<Result<std::size_t>> NoiseStream::fill() {
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
    // Nothing opened waits in the buffer, and what is unread is less than a frame.
    if (start_ == end_ || kBufferSize - end_ < kFrameSizeMax) {
        std::memmove(buffer_.get(), buffer_.get() + start_, end_ - start_);
        end_ -= std::exchange(start_, 0);
    }
    const auto got = co_await carrier_->read_some({buffer_.get() + end_, kBufferSize - end_});
    if (!got) {
        if (got.error() != make_error_code(skywire::errc::cancelled)) read_error_ = got.error();
        co_return got.error();
    }
    if (*got == 0 && start_ < end_) {
        read_error_ = fail(skywire::errc::closed, "ended inside a frame");
        co_return *read_error_;
    }
    end_ += *got;
    co_return *got;
}

Result<std::size_t> NoiseStream::open_frame(std::span<std::byte> into) {
    const std::size_t length = read_length(unread());
    if (length > kFrameLengthMax) return Error(make_error_code(errc::frame_too_long));
    const std::span<std::byte> record(buffer_.get() + start_ + kFramePrefix, length);
    start_ += kFramePrefix + length;
    if (length <= into.size() + kRecordOverhead) return opener_.open(record, into);
    const auto plaintext = record.subspan(kNonceSize);
    const auto size = opener_.open(record, plaintext);
    if (!size) return size.error();
    opened_ = plaintext.first(*size);
    return take_opened(into);
}

std::size_t NoiseStream::take_opened(std::span<std::byte> into) noexcept {
    const std::size_t size = std::min(into.size(), opened_.size());
    std::copy_n(opened_.begin(), size, into.begin());
    opened_ = opened_.subspan(size);
    return size;
}

void NoiseStream::release_if_empty() noexcept {
    if (start_ == end_ && opened_.empty()) {
        buffer_.reset();
        start_ = end_ = 0;
    }
}

Task<Result<std::size_t>> NoiseStream::read_some(std::span<std::byte> into) {
    SKY_ASSERT(!into.empty());
    while (true) {
        std::size_t size = take_opened(into);
        while (size < into.size() && !read_error_ && has_frame()) {
            const auto opened = open_frame(into.subspan(size));
            if (!opened) {
                read_error_ = opened.error();
                break;
            }
            size += *opened;
        }
        if (size > 0) {
            release_if_empty();
            co_return size;
        }
        if (read_error_) co_return *read_error_;
        const auto filled = co_await fill();
        if (!filled) co_return filled.error();
        if (*filled == 0) {
            release_if_empty();
            co_return std::size_t{0};
        }
    }
}

Task<Result<>> NoiseStream::wait_readable() {
    while (opened_.empty() && !read_error_ && !has_frame()) {
        release_if_empty();
        const bool inside_frame = buffer_ != nullptr;
        const auto ready = co_await carrier_->wait_readable();
        if (!ready) co_return ready.error();
        if (!inside_frame) break;
        const auto filled = co_await fill();
        if (!filled && !read_error_) co_return filled.error();
    }
    co_return Result<>();
}

Task<Result<>> NoiseStream::write(ByteSpan head, ByteSpan tail) {
    const std::array<ByteSpan, 2> parts{head, tail};
    co_return co_await NoiseStream::write_all(parts);
}

Task<Result<>> NoiseStream::write_all(std::span<const ByteSpan> parts) {
    if (write_error_) co_return *write_error_;
    Gather from(parts);
    const std::size_t room = std::min(kBufferSize, RecordSealer::sealed_frames_size(from.left()));
    const auto buffer = std::make_unique_for_overwrite<std::byte[]>(room);
    while (from.left() > 0) {
        const auto sealed = seal_batch(sealer_, from, {buffer.get(), room});
        if (!sealed) {
            write_error_ = sealed.error();
            co_return *write_error_;
        }
        // Stands where this coroutine is cancelled: the carrier may have half a frame.
        write_error_ = fail(skywire::errc::closed, "an earlier write was cut off");
        const auto written = co_await carrier_->write({buffer.get(), *sealed});
        if (!written) {
            if (written.error() != make_error_code(skywire::errc::cancelled)) {
                write_error_ = written.error();
            }
            co_return written.error();
        }
        write_error_.reset();
    }
    co_return Result<>();
}

Task<Result<std::unique_ptr<NoiseStream>>> noise_handshake(
    std::unique_ptr<net::Stream> carrier,
    Handshake handshake,
    Random& random,
    Clock& clock,
    SteadyTime deadline
) {
    auto exchanged =
        co_await net::with_deadline(clock, deadline, exchange(*carrier, handshake, random));
    if (!exchanged) {
        carrier->close();
        co_return exchanged.error();
    }
    co_return std::make_unique<NoiseStream>(
        std::move(carrier), handshake.keys(), handshake.remote(), *exchanged
    );
}

}  // namespace skywire::noise
