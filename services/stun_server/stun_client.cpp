#include "services/stun_server/stun_client.hpp"

#include "net/deadline.hpp"

#include <algorithm>

namespace skywire::stun {
namespace {

constexpr std::size_t kDatagramMax = 2048;

/// The next datagram that answers `question`.
Task<Result<BindingResponse>> read_answer(net::Datagram& socket, TransactionId question) {
    Bytes buffer(kDatagramMax);
    for (;;) {
        const auto received = co_await socket.receive(buffer);
        if (!received) co_return received.error();
        auto answer = parse_response(ByteSpan(buffer).first(received->size));
        if (answer && answer->transaction_id == question) co_return std::move(*answer);
    }
}

}  // namespace

Task<Result<BindingResponse>> ask_binding(
    net::Context context, net::Address server, SteadyTime deadline
) {
    auto socket = context.network.bind_udp(context.loop, net::Address::tcp("0.0.0.0", 0));
    if (!socket) co_return socket.error();
    std::array<std::byte, 12> random{};
    context.random.fill(random);
    const TransactionId question = new_transaction_id(random);
    const Bytes request = build_request({.transaction_id = question});
    for (;;) {
        const auto sent = co_await (*socket)->send(request, server);
        if (!sent) co_return sent.error();
        const SteadyTime again = std::min(deadline, context.clock.now() + kRepeatEvery);
        auto answer =
            co_await net::with_deadline(context.clock, again, read_answer(**socket, question));
        const bool silent = !answer && answer.error() == make_error_code(skywire::errc::timed_out);
        if (!silent || again == deadline) co_return answer;
    }
}

}  // namespace skywire::stun
