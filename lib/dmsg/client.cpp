#include "dmsg/client.hpp"

#include "base/assert.hpp"
#include "dmsg/client/acceptor.hpp"
#include "dmsg/client/client_counters.hpp"
#include "dmsg/client/client_stream.hpp"
#include "dmsg/client/dialer.hpp"
#include "dmsg/client/directory.hpp"
#include "dmsg/client/entry_keeper.hpp"
#include "dmsg/client/links.hpp"
#include "dmsg/client/listeners.hpp"
#include "dmsg/client/session_keeper.hpp"
#include "dmsg/detail/scoped_call.hpp"
#include "dmsg/stream.hpp"
#include "net/deadline.hpp"

#include <algorithm>
#include <iterator>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;

constexpr Duration kIpTimeout = 5s;
/// For the removal of the entry when stopping: the discovery may be gone.
constexpr Duration kEraseTimeout = 2s;
/// Servers of 2026 ask the discovery which multiplexer we speak: our entry should be there before
/// we are, but not at any price.
constexpr Duration kEntryFirst = 3s;

mux::Protocol protocol_of(const std::string& name) {
    return name == "smux" ? mux::Protocol::smux : mux::Protocol::yamux;
}

detail::Links::Options links_options(const ClientOptions& options) {
    detail::Links::Options made(options.keys);
    made.protocol = protocol_of(options.protocol);
    made.streams_max = options.streams_max;
    made.prompt_servers = options.prompt_servers;
    made.kept = options.sessions_min;
    return made;
}

detail::SessionKeeper::Options keeper_options(const ClientOptions& options) {
    detail::SessionKeeper::Options made;
    made.sessions_min = options.sessions_min;
    made.server_type = options.server_type;
    made.use_lists = options.publish_entry || options.servers.empty();
    return made;
}

detail::EntryKeeper::Options entry_options(const ClientOptions& options) {
    detail::EntryKeeper::Options made(options.keys);
    made.client_type = options.client_type;
    made.protocol = options.protocol;
    made.refresh = options.entry_refresh;
    return made;
}

detail::Dialer::Options dialer_options(const ClientOptions& options) {
    detail::Dialer::Options made(options.keys);
    made.direct_keys = options.direct_keys;
    made.timeout = options.dial_timeout;
    return made;
}

/// An address that says where we are to others than ourselves.
bool is_public(const std::string& text) {
    boost::system::error_code ec;
    const auto address = asio::ip::make_address(text, ec);
    if (ec || address.is_loopback() || address.is_unspecified() || address.is_multicast())
        return false;
    if (address.is_v6()) {
        const auto bytes = address.to_v6().to_bytes();
        const bool unique_local = (bytes[0] & 0xfe) == 0xfc;
        return !unique_local && !address.to_v6().is_link_local();
    }
    const auto bytes = address.to_v4().to_bytes();
    const bool private_net = bytes[0] == 10 || (bytes[0] == 172 && (bytes[1] & 0xf0) == 16) ||
                             (bytes[0] == 192 && bytes[1] == 168);
    const bool carrier_nat = bytes[0] == 100 && (bytes[1] & 0xc0) == 64;
    const bool link_local = bytes[0] == 169 && bytes[1] == 254;
    return !private_net && !carrier_nat && !link_local;
}

}  // namespace

class Client::Impl final : private detail::Links::Owner {
 public:
    using StreamPtr = std::unique_ptr<net::Stream>;

    Impl(
        const net::Context& context_in,
        ClientOptions options_in,
        std::unique_ptr<DiscoveryClient> discovery_in
    )
        : context(context_in),
          options(std::move(options_in)),
          discovery(std::move(discovery_in)),
          counters(context.metrics),
          open(std::make_shared<detail::OpenStreams>(counters.streams)),
          ports(std::make_shared<detail::Ports>()),
          listeners(context.loop, options.keys.public_key, ports, options.backlog_max),
          directory(context, options.servers, *discovery, counters),
          acceptor(context, options.keys, listeners, open, counters),
          links(context, links_options(options), counters, *this),
          keeper(context, keeper_options(options), directory, *discovery, links, counters),
          entry(
              context, entry_options(options), *discovery, counters, [this] { on_entry_written(); }
          ),
          dialer(context, dialer_options(options), directory, links, ports, open, counters),
          ready_changed(context.loop),
          calls(context.loop) {}

    void start();
    Task<Result<>> wait_ready();
    Task<Result<Duration>> connect(crypto::PublicKey server);
    Task<Result<Duration>> ping(crypto::PublicKey server);
    Task<Result<std::string>> look_up_ip();
    Task<std::vector<std::string>> stop(SteadyTime deadline);

    /// Work for a caller, who may go away at any time.
    template <class T>
    Task<Result<T>> call(std::string name, Task<Result<T>> work) {
        if (!started) co_return fail(skywire::errc::wrong_state, "the dmsg client is not started");
        co_return co_await detail::call_in(calls, std::move(name), std::move(work));
    }

    net::Context context;
    ClientOptions options;
    std::unique_ptr<DiscoveryClient> discovery;
    detail::ClientCounters counters;
    std::shared_ptr<detail::OpenStreams> open;
    std::shared_ptr<detail::Ports> ports;
    detail::Listeners listeners;
    detail::Directory directory;
    detail::Acceptor acceptor;
    detail::Links links;
    detail::SessionKeeper keeper;
    detail::EntryKeeper entry;
    detail::Dialer dialer;
    std::vector<std::function<void()>> callbacks;
    net::Event ready_changed;
    bool ready = false;
    bool started = false;
    bool stopping = false;
    net::Scope calls;

 private:
    void on_links_changed() override;
    void on_link_ended(const detail::Link& link) override { keeper.link_ended(link); }
    void on_server_going_away(const crypto::PublicKey& server) override {
        keeper.server_going_away(server);
    }
    void on_incoming(detail::LinkPtr link, Session& session, std::unique_ptr<mux::Stream> stream)
        override {
        acceptor.take(std::move(link), session, std::move(stream));
    }
    void on_entry_written();
    void check_ready();
    void start_sessions();
    Task<> start_sessions_later();
    Task<Result<std::string>> ask_ip(detail::LinkPtr link);

    bool sessions_started_ = false;
};

void Client::Impl::start() {
    SKY_ASSERT(!started);
    started = true;
    links.start();
    if (options.publish_entry) entry.start();
    const bool entry_first =
        options.publish_entry && protocol_of(options.protocol) != mux::Protocol::yamux;
    if (!entry_first) return start_sessions();
    calls.spawn("wait for the entry", [this] { return start_sessions_later(); });
}

Task<> Client::Impl::start_sessions_later() {
    co_await net::sleep_for(context.clock, kEntryFirst);
    start_sessions();
}

void Client::Impl::start_sessions() {
    if (sessions_started_ || stopping) return;
    sessions_started_ = true;
    keeper.start();
}

void Client::Impl::on_entry_written() {
    start_sessions();
    check_ready();
}

void Client::Impl::on_links_changed() {
    keeper.links_changed();
    if (options.publish_entry) entry.set_servers(links.kept(), keeper.settled());
    check_ready();
    const auto told = callbacks;
    for (const auto& callback : told)
        callback();
}

void Client::Impl::check_ready() {
    if (ready || links.usable().empty()) return;
    if (options.publish_entry && !entry.written()) return;
    ready = true;
    log::info(
        context.logger,
        "dmsg.ready",
        log::kv("key", options.keys.public_key),
        log::kv("sessions", links.usable().size())
    );
    ready_changed.notify();
}

Task<Result<>> Client::Impl::wait_ready() {
    while (!ready) {
        if (stopping) co_return fail(skywire::errc::closed, "the dmsg client has stopped");
        const bool notified = co_await ready_changed.wait();
        if (!notified) co_return fail(skywire::errc::cancelled, {});
    }
    co_return Result<>();
}

Task<Result<Duration>> Client::Impl::connect(crypto::PublicKey server) {
    if (links.find(server)) co_return Duration(0);
    const SteadyTime began = context.clock.now();
    const auto found = co_await net::with_deadline(
        context.clock, began + options.dial_timeout, directory.server(server)
    );
    if (!found) co_return found.error();
    const auto link = co_await net::with_deadline(
        context.clock, began + options.dial_timeout, links.connect(*found)
    );
    if (!link) co_return link.error();
    co_return context.clock.now() - began;
}

Task<Result<Duration>> Client::Impl::ping(crypto::PublicKey server) {
    const auto link = links.find(server);
    if (!link) {
        co_return fail(
            skywire::errc::not_found, fmt::format("there is no session with server {}", server)
        );
    }
    co_return co_await net::with_deadline(
        context.clock, context.clock.now() + options.dial_timeout, link->session().mux().ping()
    );
}

Task<Result<std::string>> Client::Impl::ask_ip(detail::LinkPtr link) {
    const auto port = ports->take_ephemeral();
    if (!port) co_return port.error();
    co_return co_await dmsg::look_up_ip(
        context, link->session(), options.keys, port->port(), context.clock.now() + kIpTimeout
    );
}

Task<Result<std::string>> Client::Impl::look_up_ip() {
    const auto asked = links.usable();
    std::string failures;
    std::string within_reach;
    for (const auto& link : asked) {
        auto answer = co_await ask_ip(link);
        if (answer && is_public(*answer)) co_return answer;
        if (answer) {
            within_reach = *answer;
        } else {
            if (!failures.empty()) failures += "; ";
            failures += fmt::format("server {}: {}", link->server(), answer.error().message());
        }
    }
    // In a network of one's own there is no better one.
    if (!within_reach.empty()) co_return within_reach;
    if (asked.empty()) failures = "there is no session with a dmsg server";
    co_return fail(skywire::errc::unavailable, fmt::format("look-up of our address: {}", failures));
}

Task<std::vector<std::string>> Client::Impl::stop(SteadyTime deadline) {
    std::vector<std::string> late;
    if (!started || stopping) co_return late;
    // Not to be broken off; a cancelled caller hears of it behind this.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    stopping = true;
    ready_changed.notify();
    const auto add = [&late](std::vector<std::string> names) {
        std::move(names.begin(), names.end(), std::back_inserter(late));
    };
    // The entry first, so that nobody new comes; removing it may need a session. A discovery that
    // does not answer must leave the others their time.
    const SteadyTime now = context.clock.now();
    const SteadyTime erase_until = now + std::min<Duration>(kEraseTimeout, (deadline - now) / 2);
    if (options.publish_entry) add(co_await entry.stop(erase_until));
    add(co_await keeper.stop(deadline));
    listeners.close_all();
    open->close_all();
    add(co_await calls.close(context.clock, context.clock.now(), deadline));
    add(co_await acceptor.stop(deadline));
    add(co_await directory.stop(deadline));
    // What was dialled or accepted at the last moment.
    open->close_all();
    add(co_await links.stop(deadline));
    callbacks.clear();
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return late;
}

Client::Client(
    const net::Context& context, ClientOptions options, std::unique_ptr<DiscoveryClient> discovery
)
    : impl_(std::make_unique<Impl>(context, std::move(options), std::move(discovery))) {}

Client::~Client() = default;

void Client::start() {
    impl_->start();
}

Task<Result<>> Client::wait_ready() {
    return impl_->call("wait until ready", impl_->wait_ready());
}

bool Client::ready() const noexcept {
    return impl_->ready;
}

Task<Result<std::unique_ptr<net::Stream>>> Client::dial(Address to) {
    return impl_->call(fmt::format("dial {}", to), impl_->dialer.dial(to));
}

Task<Result<std::unique_ptr<net::Stream>>> Client::dial_through(
    crypto::PublicKey server, Address to
) {
    return impl_->call(fmt::format("dial {}", to), impl_->dialer.dial_through(server, to));
}

Result<std::unique_ptr<net::Listener>> Client::listen(std::uint16_t port) {
    return impl_->listeners.listen(port);
}

Task<Result<Duration>> Client::connect(crypto::PublicKey server) {
    return impl_->call(fmt::format("connect to {}", server), impl_->connect(server));
}

Task<Result<Duration>> Client::ping_server(crypto::PublicKey server) {
    return impl_->call(fmt::format("ping {}", server), impl_->ping(server));
}

Task<Result<std::string>> Client::look_up_ip() {
    return impl_->call("look-up of our address", impl_->look_up_ip());
}

const crypto::PublicKey& Client::key() const noexcept {
    return impl_->options.keys.public_key;
}

std::vector<crypto::PublicKey> Client::servers() const {
    std::vector<crypto::PublicKey> keys;
    for (const auto& link : impl_->links.usable())
        keys.push_back(link->server());
    std::sort(keys.begin(), keys.end());
    return keys;
}

std::string Client::trouble() const {
    if (!impl_->started || impl_->stopping) return "the dmsg client does not run";
    if (auto none = impl_->keeper.trouble(); !none.empty()) return none;
    return impl_->entry.trouble();
}

void Client::on_change(std::function<void()> callback) {
    impl_->callbacks.push_back(std::move(callback));
}

DiscoveryClient& Client::discovery() noexcept {
    return *impl_->discovery;
}

Task<std::vector<std::string>> Client::stop(SteadyTime deadline) {
    return impl_->stop(deadline);
}

}  // namespace skywire::dmsg
