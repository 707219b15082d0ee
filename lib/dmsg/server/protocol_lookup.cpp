#include "dmsg/server/protocol_lookup.hpp"

#include "net/deadline.hpp"

namespace skywire::dmsg::detail {
namespace {

constexpr std::size_t kWorkersMax = 16;
constexpr std::size_t kWaitingMax = 4096;
constexpr std::chrono::seconds kTimeLimit{2};

}  // namespace

ProtocolLookup::ProtocolLookup(const net::Context& context, DiscoveryClient& discovery)
    : context_(context),
      discovery_(discovery),
      failures_(context.metrics.counter(
          "dmsg_server_protocol_lookups_failed_total",
          "Clients whose entry could not be asked for their multiplexer: yamux was assumed."
      )),
      scope_(context.loop) {}

void ProtocolLookup::ask(const crypto::PublicKey& key, Answer answer) {
    if (waiting_.size() >= kWaitingMax) {
        failures_.add();
        answer(mux::Protocol::yamux);
        return;
    }
    waiting_.push_back({key, std::move(answer)});
    if (workers_ >= kWorkersMax) return;
    ++workers_;
    if (!scope_.spawn("protocol look-up", [this] { return work(); })) --workers_;
}

Task<> ProtocolLookup::work() {
    while (!waiting_.empty()) {
        Question question = std::move(waiting_.front());
        waiting_.pop_front();
        const mux::Protocol protocol = co_await look_up(question.key);
        question.answer(protocol);
    }
    --workers_;
}

Task<mux::Protocol> ProtocolLookup::look_up(crypto::PublicKey key) {
    const auto entry = co_await net::with_deadline(
        context_.clock, context_.clock.now() + kTimeLimit, discovery_.entry(key)
    );
    if (!entry) {
        // Direct clients have no entry: that is an answer.
        if (entry.error() != make_error_code(errc::entry_not_found)) failures_.add();
        co_return mux::Protocol::yamux;
    }
    co_return entry->protocol == "smux" ? mux::Protocol::smux : mux::Protocol::yamux;
}

Task<std::vector<std::string>> ProtocolLookup::close(SteadyTime deadline) {
    waiting_.clear();
    Clock& clock = context_.clock;
    co_return co_await scope_.close(clock, clock.now(), deadline);
}

}  // namespace skywire::dmsg::detail
