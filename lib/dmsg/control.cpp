#include "dmsg/control.hpp"

#include "net/deadline.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <array>

namespace skywire::dmsg {
namespace {

constexpr std::byte kPing{0x09};
constexpr std::byte kPong{0x0a};
constexpr std::size_t kStreamsMax = 64;
constexpr std::chrono::minutes kSilenceMax{2};
constexpr std::chrono::milliseconds kAcceptPause{100};

Task<> answer(net::Context context, std::shared_ptr<net::Stream> stream) {
    while (true) {
        std::array<std::byte, 1> message{};
        const auto size = co_await net::with_deadline(
            context.clock, context.clock.now() + kSilenceMax, stream->read_some(message)
        );
        if (!size || *size == 0 || message[0] != kPing) break;
        message[0] = kPong;
        const auto written = co_await net::with_deadline(
            context.clock, context.clock.now() + kSilenceMax, stream->write(message)
        );
        if (!written) break;
    }
    stream->close();
}

}  // namespace

Task<Result<Duration>> ping_control(net::Stream& stream, Clock& clock) {
    const SteadyTime begun = clock.now();
    std::array<std::byte, 1> message{kPing};
    const auto written = co_await stream.write(message);
    if (!written) co_return written.error();
    const auto size = co_await stream.read_some(message);
    if (!size) co_return size.error();
    if (*size == 0) co_return fail(errc::closed, "the peer closed its control stream");
    if (message[0] != kPong) {
        co_return fail(
            errc::malformed, "the peer answers a ping with " + to_hex(message) + ", not 0a"
        );
    }
    co_return clock.now() - begun;
}

Task<> serve_control(net::Context context, std::shared_ptr<net::Listener> listener) {
    net::Scope streams(context.loop);
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    // Looked at before each wait: a cancellation that came together with a stream wakes nobody.
    while (state.cancelled() == asio::cancellation_type::none) {
        auto stream = co_await listener->accept();
        if (!stream) {
            if (stream.error() == make_error_code(errc::closed)) break;
            if (state.cancelled() != asio::cancellation_type::none) break;
            co_await net::sleep_for(context.clock, kAcceptPause);
            continue;
        }
        const std::shared_ptr<net::Stream> shared = std::move(*stream);
        if (streams.size() >= kStreamsMax) {
            shared->close();
            continue;
        }
        streams.spawn("control", [context, shared] { return answer(context, shared); });
    }
    listener->close();
    const SteadyTime now = context.clock.now();
    co_await streams.close(context.clock, now, now + std::chrono::seconds(1));
    co_await asio::this_coro::throw_if_cancelled(throws);
}

}  // namespace skywire::dmsg
