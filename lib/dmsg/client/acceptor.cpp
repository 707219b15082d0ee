#include "dmsg/client/acceptor.hpp"

#include "dmsg/stream.hpp"

#include <fmt/format.h>

namespace skywire::dmsg::detail {
namespace {

using namespace std::chrono_literals;

/// Streams of one session whose request is not answered yet.
constexpr std::size_t kPendingMax = 256;
/// For a whole request to come; less where many wait, so that they do not keep others out.
constexpr Duration kRequestTimeout = 20s;
constexpr Duration kRequestTimeoutBusy = 5s;

std::string_view outcome_of(Listeners::State state) noexcept {
    switch (state) {
        case Listeners::State::none:
            return "no_listener";
        case Listeners::State::open:
            return "ok";
        case Listeners::State::full:
            return "accept_queue_full";
    }
    return "unknown";
}

}  // namespace

Acceptor::Acceptor(
    const net::Context& context,
    crypto::KeyPair keys,
    Listeners& listeners,
    std::shared_ptr<OpenStreams> open,
    ClientCounters& counters
)
    : context_(context),
      keys_(std::move(keys)),
      listeners_(listeners),
      open_(std::move(open)),
      counters_(counters),
      scope_(context.loop) {}

void Acceptor::take(LinkPtr link, Session& session, std::unique_ptr<mux::Stream> stream) {
    if (link->incoming >= kPendingMax) {
        counters_.incoming("too_many_pending");
        return;
    }
    const auto holder = std::make_shared<std::unique_ptr<mux::Stream>>(std::move(stream));
    scope_.spawn("incoming stream", [this, link = std::move(link), &session, holder] {
        return answer(link, session, holder);
    });
}

Task<> Acceptor::answer(LinkPtr link, Session& session, StreamHolder stream) {
    struct Count {
        explicit Count(std::size_t& count_in) : count(count_in) { ++count; }
        ~Count() { --count; }
        Count(const Count&) = delete;
        Count& operator=(const Count&) = delete;
        std::size_t& count;
    };
    const Count count(link->incoming);
    const bool busy = link->incoming > kPendingMax / 2;
    const SteadyTime deadline =
        context_.clock.now() + (busy ? kRequestTimeoutBusy : kRequestTimeout);
    auto state = Listeners::State::open;
    auto answered = co_await answer_stream(
        context_,
        session,
        std::move(*stream),
        keys_,
        [this, &state](std::uint16_t port) {
            state = listeners_.at(port);
            return state == Listeners::State::open;
        },
        deadline
    );
    if (!answered) {
        const bool refused = state != Listeners::State::open;
        counters_.incoming(refused ? outcome_of(state) : reason_of(answered.error()));
        log::trace(
            context_.logger,
            "dmsg.incoming.refused",
            log::kv("server", link->server()),
            log::kv("error", answered.error().message())
        );
        co_return;
    }
    const std::uint16_t port = (*answered)->local_address().port;
    auto accepted = std::make_unique<ClientStream>(open_, std::move(*answered));
    counters_.incoming(outcome_of(listeners_.deliver(port, std::move(accepted))));
}

Task<std::vector<std::string>> Acceptor::stop(SteadyTime deadline) {
    return scope_.close(context_.clock, context_.clock.now(), deadline);
}

}  // namespace skywire::dmsg::detail
