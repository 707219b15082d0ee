#include "dmsg/handshake.hpp"

#include "base/assert.hpp"
#include "net/deadline.hpp"
#include "noise/record.hpp"

#include <array>
#include <optional>
#include <span>

#include <fmt/format.h>

namespace skywire::dmsg {
namespace {

/// What one read of the connection may bring; a whole handshake of today's peers fits.
constexpr std::size_t kReadBytes = 4096;

/// The handshake on the wire: frames of two bytes of length and a message, read in gulps. What was
/// read beyond a message stays for the next one, and after the last for the multiplexer.
class Frames {
 public:
    Frames(std::unique_ptr<net::Stream> carrier, Bytes received)
        : carrier_(std::move(carrier)), received_(std::move(received)) {}

    Task<Result<Bytes>> read();
    Task<Result<>> write(Bytes message);

    net::Stream& carrier() noexcept { return *carrier_; }
    std::unique_ptr<net::Stream> release() noexcept { return std::move(carrier_); }
    Bytes surplus() { return Bytes(received_.begin(), received_.end()); }

 private:
    /// The size of the message at the front, once its length has come.
    std::optional<std::size_t> message_size() const noexcept;

    std::unique_ptr<net::Stream> carrier_;
    Bytes received_;
};

std::optional<std::size_t> Frames::message_size() const noexcept {
    if (received_.size() < noise::kFramePrefix) return std::nullopt;
    return std::to_integer<std::size_t>(received_[0]) << 8 |
           std::to_integer<std::size_t>(received_[1]);
}

Task<Result<Bytes>> Frames::read() {
    while (true) {
        if (const auto size = message_size()) {
            if (*size > noise::kFrameLengthMax) {
                co_return Error(
                    noise::errc::frame_too_long,
                    fmt::format("a frame of {} bytes, at most {}", *size, noise::kFrameLengthMax)
                );
            }
            const std::size_t end = noise::kFramePrefix + *size;
            if (received_.size() >= end) {
                const auto begin = received_.begin();
                Bytes message(begin + noise::kFramePrefix, begin + std::ptrdiff_t(end));
                received_.erase(begin, begin + std::ptrdiff_t(end));
                co_return message;
            }
        }
        const std::size_t had = received_.size();
        received_.resize(had + kReadBytes);
        const auto count = co_await carrier_->read_some(std::span(received_).subspan(had));
        received_.resize(had + (count ? *count : 0));
        if (!count) co_return count.error();
        if (*count == 0) co_return fail(skywire::errc::closed, "the peer closed the connection");
    }
}

Task<Result<>> Frames::write(Bytes message) {
    const std::size_t size = message.size();
    SKY_ASSERT(size <= noise::kFrameLengthMax);
    const std::array prefix{std::byte(size >> 8), std::byte(size & 0xff)};
    co_return co_await carrier_->write(prefix, message);
}

/// Both sides: messages in turn until the last one has passed.
Task<Result<noise::Handshake>> converse(
    Frames& frames, Random& random, Result<noise::Handshake> handshake
) {
    if (!handshake) co_return handshake.error();
    for (int number = 1; !handshake->finished(); ++number) {
        Result<> passed;
        if (handshake->writes_next()) {
            auto message = handshake->write_message(random);
            if (message) {
                passed = co_await frames.write(std::move(*message));
            } else {
                passed = message.error();
            }
        } else {
            const auto message = co_await frames.read();
            if (!message) {
                passed = message.error();
            } else if (const auto payload = handshake->read_message(*message); !payload) {
                passed = payload.error();
            }
        }
        if (!passed) co_return passed.error().within(fmt::format("handshake message {}", number));
    }
    co_return std::move(*handshake);
}

Task<Result<Handshaken>> shake(
    net::Context context,
    std::unique_ptr<net::Stream> carrier,
    Bytes received,
    Result<noise::Handshake> handshake
) {
    Frames frames(std::move(carrier), std::move(received));
    auto finished = co_await net::with_deadline(
        context.clock,
        context.clock.now() + kHandshakeTimeout,
        converse(frames, context.random, std::move(handshake))
    );
    if (!finished) {
        frames.carrier().close();
        co_return finished.error();
    }
    Handshaken made;
    made.carrier = frames.release();
    made.remote = finished->remote();
    made.keys = finished->keys();
    made.surplus = frames.surplus();
    co_return made;
}

}  // namespace

Task<Result<Handshaken>> handshake_as_client(
    net::Context context,
    std::unique_ptr<net::Stream> carrier,
    crypto::KeyPair local,
    crypto::PublicKey server
) {
    return shake(
        std::move(context),
        std::move(carrier),
        {},
        noise::Handshake::make(noise::Pattern::xk, noise::Role::initiator, local, server)
    );
}

Task<Result<Handshaken>> handshake_as_server(
    net::Context context,
    std::unique_ptr<net::Stream> carrier,
    crypto::KeyPair local,
    Bytes received
) {
    return shake(
        std::move(context),
        std::move(carrier),
        std::move(received),
        noise::Handshake::make(noise::Pattern::xk, noise::Role::responder, local)
    );
}

}  // namespace skywire::dmsg
