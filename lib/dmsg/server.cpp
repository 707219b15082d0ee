#include "dmsg/server.hpp"

#include "base/assert.hpp"
#include "dmsg/server/registration.hpp"
#include "dmsg/server/server_shard.hpp"
#include "net/deadline.hpp"
#include "net/event.hpp"

#include <deque>
#include <numeric>

#include <boost/asio/co_spawn.hpp>

namespace skywire::dmsg {
namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::seconds kRateInterval{1};
constexpr std::size_t kRatesPerMinute = 60;
/// For the discovery to remove our entry, which it forgets by itself in two minutes.
constexpr std::chrono::seconds kWithdrawTimeout{2};

net::Context on_loop(const net::Context& context, const Executor& loop) {
    net::Context moved = context;
    moved.loop = loop;
    return moved;
}

ServerInfo server_info(const ServerOptions& options) {
    ServerInfo info;
    info.address = options.address;
    info.address_v6 = options.address_v6;
    info.address_ws = options.address_ws;
    info.server_type = options.auth_passphrase;
    return info;
}

}  // namespace

class Server::Impl {
 public:
    Impl(
        const net::Context& context,
        ServerOptions options,
        std::unique_ptr<DiscoveryClient> discovery
    );

    ~Impl() {
        // The shards hold the core, and the core the shards.
        if (!started_) core_->shards.clear();
    }

    void start(std::function<void()> on_registered);
    void serve(std::unique_ptr<net::Listener> listener, bool websocket_only);
    void serve(std::unique_ptr<net::Stream> stream);
    Status status() const;
    Task<> drain(SteadyTime deadline);
    Task<std::vector<std::string>> stop(SteadyTime deadline);

    bool running() const noexcept { return started_ && !stopped_; }

 private:
    using Shard = detail::Shard;

    Task<> accept(net::Listener& listener, bool websocket_only);
    void hand_over(std::unique_ptr<net::Stream> stream, Shard& shard, bool websocket_only);
    Shard& next_shard();
    Task<> count_rates();
    Task<> end_shard(std::size_t index, SteadyTime deadline, std::vector<std::string>& late);
    void stop_accepting();

    net::Context context_;
    std::unique_ptr<DiscoveryClient> discovery_;
    std::shared_ptr<detail::ServerCore> core_;
    detail::ProtocolLookup protocols_;
    detail::Registration registration_;
    std::vector<std::unique_ptr<net::Listener>> listeners_;
    std::size_t next_ = 0;
    bool started_ = false;
    bool stopped_ = false;
    net::Event relays_gone_;
    net::Scope scope_;
};

Server::Impl::Impl(
    const net::Context& context, ServerOptions options, std::unique_ptr<DiscoveryClient> discovery
)
    : context_(context),
      discovery_(std::move(discovery)),
      core_(std::make_shared<detail::ServerCore>(context.metrics, std::move(options))),
      protocols_(context_, *discovery_),
      registration_(
          context_,
          {core_->options.keys, server_info(core_->options), core_->options.update_interval},
          *discovery_,
          [core = core_.get()] { return core->admission.available(); }
      ),
      relays_gone_(context.loop),
      scope_(context.loop) {
    std::vector<Executor> loops = core_->options.loops;
    if (loops.empty()) loops.push_back(context_.loop);
    SKY_ASSERT(loops.front() == context_.loop);
    for (std::size_t i = 0; i < loops.size(); ++i) {
        core_->shards.push_back(std::make_shared<Shard>(
            on_loop(context_, loops[i]), core_, static_cast<std::uint32_t>(i)
        ));
    }
    core_->protocols = &protocols_;
    core_->sessions_changed = [this] { registration_.changed(); };
    core_->relays_gone = [this] { relays_gone_.notify(); };
}

void Server::Impl::start(std::function<void()> on_registered) {
    started_ = true;
    for (const auto& shard : core_->shards)
        shard->post([](Shard& there) { there.start(); });
    for (const ServerPeer& peer : core_->options.peers)
        next_shard().post([peer](Shard& there) { there.keep_peer(peer); });
    scope_.spawn("rates", [this] { return count_rates(); });
    registration_.start(std::move(on_registered));
}

Server::Impl::Shard& Server::Impl::next_shard() {
    return *core_->shards[next_++ % core_->shards.size()];
}

void Server::Impl::serve(std::unique_ptr<net::Listener> listener, bool websocket_only) {
    listeners_.push_back(std::move(listener));
    net::Listener* const served = listeners_.back().get();
    scope_.spawn("accept " + served->local().to_string(), [this, served, websocket_only] {
        return accept(*served, websocket_only);
    });
}

void Server::Impl::serve(std::unique_ptr<net::Stream> stream) {
    hand_over(std::move(stream), *core_->shards.front(), /*websocket_only=*/false);
}

Task<> Server::Impl::accept(net::Listener& listener, bool websocket_only) {
    for (;;) {
        Shard& shard = next_shard();
        auto stream = co_await listener.accept_on(shard.context().loop);
        if (stream) {
            hand_over(std::move(*stream), shard, websocket_only);
            continue;
        }
        const Error error = stream.error();
        if (error == make_error_code(skywire::errc::closed) ||
            error == make_error_code(skywire::errc::cancelled)) {
            co_return;
        }
        core_->counters.accept_errors.add();
        log::debug(context_.logger, "dmsg.accept.failed", log::kv("reason", error.message()));
        if (!co_await net::sleep_for(context_.clock, kAcceptPause)) co_return;
    }
}

/// The stream belongs to the shard's loop: also where it is refused, it dies there.
void Server::Impl::hand_over(
    std::unique_ptr<net::Stream> stream, Shard& shard, bool websocket_only
) {
    detail::Admission::Place place;
    const auto refusal = core_->admission.connected(place, stream->remote());
    if (refusal != detail::Refusal::none) core_->counters.refused(refusal);
    const bool taken = refusal == detail::Refusal::none;
    shard.post([stream = std::move(stream), place = std::move(place), websocket_only, taken](
                   Shard& there
               ) mutable {
        if (taken) there.connect(std::move(stream), std::move(place), websocket_only);
    });
}

/// What the existing network calls packets: batches of bytes that went through.
Task<> Server::Impl::count_rates() {
    std::deque<std::uint64_t> before;
    for (;;) {
        std::uint64_t packets = 0;
        for (const auto& shard : core_->shards)
            packets += shard->packets();
        before.push_back(packets);
        if (before.size() > kRatesPerMinute + 1) before.pop_front();
        const std::uint64_t last = before.size() > 1 ? before[before.size() - 2] : packets;
        core_->counters.packets_per_second.set(static_cast<double>(packets - last));
        core_->counters.packets_per_minute.set(static_cast<double>(packets - before.front()));
        if (!co_await net::sleep_for(context_.clock, kRateInterval)) co_return;
    }
}

Server::Status Server::Impl::status() const {
    Status status;
    status.client_sessions = core_->clients.size();
    status.peer_sessions = core_->accepted_peers.size() + core_->dialed_peers.size();
    status.active_streams = core_->relays.load(std::memory_order_relaxed);
    status.streams_relayed = core_->streams_relayed.load(std::memory_order_relaxed);
    for (const auto& shard : core_->shards) {
        status.bytes_up += shard->bytes_up();
        status.bytes_down += shard->bytes_down();
    }
    status.registered = registration_.registered();
    status.trouble = registration_.trouble();
    return status;
}

void Server::Impl::stop_accepting() {
    for (const auto& listener : listeners_)
        listener->close();
}

Task<> Server::Impl::drain(SteadyTime deadline) {
    if (!running()) co_return;
    // First, so that nobody comes who would have to leave at once; but those who are here have to
    // hear of it, also where the discovery says nothing.
    co_await registration_.withdraw(std::min(deadline, context_.clock.now() + kWithdrawTimeout));
    stop_accepting();
    core_->draining.store(true, std::memory_order_relaxed);
    for (const auto& shard : core_->shards)
        shard->post([](Shard& there) { there.go_away(); });
    const auto gone = [](Impl& impl) -> Task<Result<>> {
        while (impl.core_->relays.load(std::memory_order_relaxed) > 0)
            if (!co_await impl.relays_gone_.wait()) break;
        co_return Result<>();
    };
    const auto drained = co_await net::with_deadline(context_.clock, deadline, gone(*this));
    if (drained) co_return;
    log::info(
        context_.logger,
        "dmsg.drain.cut_off",
        log::kv("streams", core_->relays.load(std::memory_order_relaxed))
    );
}

/// Closes one shard on its own loop; what it says comes back by post.
Task<> Server::Impl::end_shard(
    std::size_t index, SteadyTime deadline, std::vector<std::string>& late
) {
    struct End {
        explicit End(const Executor& loop) : event(loop) {}
        net::Event event;
        bool reached = false;
        std::vector<std::string> late;
    };
    const auto end = std::make_shared<End>(context_.loop);
    const std::shared_ptr<Shard> shard = core_->shards[index];
    const auto close = [](std::shared_ptr<Shard> closing,
                          SteadyTime until) -> Task<std::vector<std::string>> {
        co_return co_await closing->close(until);
    };
    asio::co_spawn(
        shard->context().loop,
        close(shard, deadline),
        [end, home = context_.loop](std::exception_ptr error, std::vector<std::string> names) {
            if (error) names = {"an exception"};
            asio::post(home, [end, names = std::move(names)]() mutable {
                end->late = std::move(names);
                end->reached = true;
                end->event.notify();
            });
        }
    );
    const auto reached = [](std::shared_ptr<End> awaited) -> Task<Result<>> {
        while (!awaited->reached)
            if (!co_await awaited->event.wait()) break;
        co_return Result<>();
    };
    // A little longer than what the shard itself takes.
    const auto until = deadline + std::chrono::milliseconds(100);
    const auto ended = co_await net::with_deadline(context_.clock, until, reached(end));
    if (!ended) {
        late.push_back(fmt::format("event loop {}", index));
        co_return;
    }
    for (const std::string& name : end->late)
        late.push_back(name);
}

Task<std::vector<std::string>> Server::Impl::stop(SteadyTime deadline) {
    std::vector<std::string> late;
    if (!running()) co_return late;
    Clock& clock = context_.clock;
    stop_accepting();
    core_->draining.store(true, std::memory_order_relaxed);
    for (std::string& name : co_await scope_.close(clock, clock.now(), deadline))
        late.push_back(std::move(name));
    // With those that had knocked and whom nobody takes any more.
    if (late.empty()) listeners_.clear();
    for (std::string& name : co_await registration_.close(deadline))
        late.push_back(std::move(name));
    core_->stopping.store(true, std::memory_order_relaxed);
    for (std::size_t i = 0; i < core_->shards.size(); ++i)
        co_await end_shard(i, deadline, late);
    for (std::string& name : co_await protocols_.close(deadline))
        late.push_back(std::move(name));
    if (!late.empty()) co_return late;
    stopped_ = true;
    core_->shards.clear();
    co_return late;
}

Server::Server(
    const net::Context& context, ServerOptions options, std::unique_ptr<DiscoveryClient> discovery
)
    : impl_(std::make_unique<Impl>(context, std::move(options), std::move(discovery))) {}

Server::~Server() {
    SKY_ASSERT(!impl_->running());
}

void Server::start(std::function<void()> on_registered) {
    impl_->start(std::move(on_registered));
}

void Server::serve(std::unique_ptr<net::Listener> listener, bool websocket_only) {
    impl_->serve(std::move(listener), websocket_only);
}

void Server::serve(std::unique_ptr<net::Stream> stream) {
    impl_->serve(std::move(stream));
}

Server::Status Server::status() const {
    return impl_->status();
}

Task<> Server::drain(SteadyTime deadline) {
    return impl_->drain(deadline);
}

Task<std::vector<std::string>> Server::stop(SteadyTime deadline) {
    return impl_->stop(deadline);
}

}  // namespace skywire::dmsg
