#include "cli/dmsg_world.hpp"

#include "framework/key_file.hpp"
#include "net/deadline.hpp"
#include "net/scope.hpp"

#include <charconv>
#include <csignal>
#include <optional>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::chrono::seconds kStopPatience{3};
constexpr std::string_view kScheme = "dmsg://";
constexpr std::string_view kDefaultDiscovery = "http://127.0.0.1:9090";
constexpr std::uint16_t kHttpPort = 80;

Error malformed(std::string_view option, const Error& error) {
    return fail(errc::malformed, fmt::format("{}: {}", option, error.message()));
}

/// "PK@host:port"
Result<dmsg::Entry> parse_server(std::string_view text) {
    const std::size_t at = text.find('@');
    if (at == std::string_view::npos)
        return fail(
            errc::malformed, "--server: " + quote_peer_text(text) + " is not KEY@HOST:PORT"
        );
    const auto key = crypto::PublicKey::from_text_not_null(text.substr(0, at));
    if (!key) return malformed("--server", key.error());
    const auto address = net::Address::parse(text.substr(at + 1));
    if (!address) return malformed("--server", address.error());
    dmsg::Entry entry;
    entry.version = dmsg::kEntryVersion;
    entry.static_key = *key;
    entry.server = dmsg::ServerInfo{};
    entry.server->address = address->to_string();
    entry.server->available_sessions = 1;
    return entry;
}

Result<crypto::KeyPair> keys_of(const DmsgOptions& options, Random& random) {
    if (!options.secret_key.empty() && !options.key_file.empty())
        return fail(errc::malformed, "--sk and --keyfile are two ways of saying the same");
    if (!options.key_file.empty()) {
        const auto file = framework::read_key_file(options.key_file);
        if (!file) return file.error();
        return crypto::KeyPair{file->public_key, file->secret_key};
    }
    if (options.secret_key.empty()) return crypto::generate_key_pair(random);
    const auto secret = crypto::SecretKey::from_text(options.secret_key);
    if (!secret) return malformed("--sk", secret.error());
    return crypto::KeyPair{crypto::public_key_of(*secret), *secret};
}

}  // namespace

std::vector<Option> DmsgOptions::options() {
    std::vector<Option> all = discovery_options();
    all.push_back({"--sk", "HEX", "Secret key to appear under; a new one otherwise", &secret_key});
    all.push_back({"--keyfile", "FILE", "The same, from a key file", &key_file, ValueKind::file});
    return all;
}

std::vector<Option> DmsgOptions::discovery_options() {
    return {
        {"--disc",
         "URL",
         "dmsg-discovery, http:// or dmsg:// (default http://127.0.0.1:9090)",
         &discovery},
        {"--server",
         "KEY@HOST:PORT",
         "Servers to use, also to reach a discovery on dmsg (repeatable)",
         &servers},
        {"--timeout", "DURATION", "For each step (default 20s)", &timeout},
    };
}

struct DmsgWorld::Impl {
    explicit Impl(crypto::KeyPair keys_in)
        : workers(1, 16),
          keys(std::move(keys_in)),
          network(system_network),
          context(
              ioc.get_executor(), clock, random, network, workers, metrics, faults, log::Logger()
          ),
          http(context) {}

    asio::io_context ioc{1};
    SystemClock clock;
    SystemRandom random;
    net::SystemNetwork system_network;
    net::WorkerPool workers;
    MetricRegistry metrics;
    Faults faults;
    crypto::KeyPair keys;
    Duration timeout{};
    bool discovery_on_dmsg = false;
    dmsg::DmsgNetwork network;
    net::Context context;
    http::Client http;
    std::unique_ptr<dmsg::Client> client;
};

/// The way to the discovery, and what the client has to know for it.
Result<std::unique_ptr<dmsg::DiscoveryClient>> DmsgWorld::make_discovery(
    Impl& impl, const DmsgOptions& options, dmsg::ClientOptions& client
) {
    if (options.discovery.empty() && !client.servers.empty()) {
        client.publish_entry = false;
        return dmsg::make_static_discovery(client.servers);
    }
    const std::string url =
        options.discovery.empty() ? std::string(kDefaultDiscovery) : options.discovery;
    if (url.starts_with(kScheme)) {
        if (client.servers.empty())
            return fail(errc::malformed, "--disc: over dmsg it is reached through a --server");
        const auto address = parse_dmsg_address(url, kHttpPort);
        if (!address) return malformed("--disc", address.error());
        client.direct_keys.insert(address->pk);
        impl.discovery_on_dmsg = true;
    }
    auto made = dmsg::make_http_discovery(impl.context, impl.http, url);
    if (!made) return malformed("--disc", made.error());
    return std::move(*made);
}

DmsgWorld::DmsgWorld(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

DmsgWorld::~DmsgWorld() {
    impl_->http.close();
    impl_->ioc.restart();
    impl_->ioc.poll();
}

Result<std::unique_ptr<DmsgWorld>> DmsgWorld::make(const DmsgOptions& options) {
    SystemRandom random;
    auto keys = keys_of(options, random);
    if (!keys) return keys.error();
    const auto timeout = parse_duration(options.timeout);
    if (!timeout) return malformed("--timeout", timeout.error());
    auto impl = std::make_unique<Impl>(std::move(*keys));
    impl->timeout = *timeout;
    dmsg::ClientOptions client_options(impl->keys);
    client_options.dial_timeout = *timeout;
    for (const std::string& text : options.servers) {
        auto server = parse_server(text);
        if (!server) return server.error();
        client_options.servers.push_back(std::move(*server));
    }
    auto discovery = make_discovery(*impl, options, client_options);
    if (!discovery) return discovery.error();
    impl->client = std::make_unique<dmsg::Client>(
        impl->context, std::move(client_options), std::move(*discovery)
    );
    impl->network.attach(impl->client.get());
    return std::unique_ptr<DmsgWorld>(new DmsgWorld(std::move(impl)));
}

Result<> DmsgWorld::run(std::function<Task<Result<>>()> work) {
    std::optional<Result<>> outcome;
    // Behind an interrupt nothing may be left that waits, and a loop without work is over for good.
    const auto busy = asio::make_work_guard(impl_->ioc);
    net::Scope scope(impl_->ioc.get_executor());
    scope.spawn("command", [&]() -> Task<> { outcome = co_await work(); });
    asio::signal_set signals(impl_->ioc, SIGINT, SIGTERM);
    signals.async_wait([&](const ErrorCode& error, int) {
        if (!error) scope.cancel();
    });
    while (scope.size() > 0)
        impl_->ioc.run_one();
    signals.cancel();
    net::Scope leaving(impl_->ioc.get_executor());
    leaving.spawn("stop", [&]() -> Task<> {
        co_await impl_->client->stop(impl_->clock.now() + kStopPatience);
    });
    while (leaving.size() > 0)
        impl_->ioc.run_one();
    if (!outcome) return fail(errc::cancelled, "interrupted");
    return *outcome;
}

const net::Context& DmsgWorld::context() const noexcept {
    return impl_->context;
}

dmsg::Client& DmsgWorld::client() noexcept {
    return *impl_->client;
}

dmsg::DiscoveryClient& DmsgWorld::discovery() noexcept {
    return impl_->client->discovery();
}

http::Client& DmsgWorld::http() noexcept {
    return impl_->http;
}

const crypto::KeyPair& DmsgWorld::keys() const noexcept {
    return impl_->keys;
}

Duration DmsgWorld::timeout() const noexcept {
    return impl_->timeout;
}

SteadyTime DmsgWorld::deadline() const {
    return impl_->clock.now() + impl_->timeout;
}

bool DmsgWorld::discovery_on_dmsg() const noexcept {
    return impl_->discovery_on_dmsg;
}

Task<Result<>> DmsgWorld::reach_discovery() {
    if (!impl_->discovery_on_dmsg) co_return Result<>();
    co_return co_await connect();
}

Task<Result<>> DmsgWorld::connect() {
    dmsg::Client& client = *impl_->client;
    client.start();
    auto ready = co_await net::with_deadline(impl_->clock, deadline(), client.wait_ready());
    if (!ready && ready.error() == make_error_code(errc::timed_out)) {
        const std::string trouble = client.trouble();
        co_return fail(
            errc::timed_out,
            fmt::format(
                "no session with a dmsg-server within {}: {}",
                format_duration(impl_->timeout),
                trouble.empty() ? "no reason known" : trouble
            )
        );
    }
    // Interrupted as it came: whoever went on would be thrown out of the first wait.
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
        co_return fail(errc::cancelled, "interrupted");
    co_return ready;
}

Result<crypto::PublicKey> parse_key(std::string_view text) {
    auto key = crypto::PublicKey::from_text_not_null(text);
    if (!key) return malformed(quote_peer_text(text), key.error());
    return key;
}

Result<dmsg::Address> parse_dmsg_address(std::string_view text, std::uint16_t default_port) {
    const std::string_view shown = text;
    if (text.starts_with(kScheme)) text.remove_prefix(kScheme.size());
    if (text.ends_with('/')) text.remove_suffix(1);
    auto address = dmsg::Address::parse(text);
    if (!address) return malformed(quote_peer_text(shown), address.error());
    if (address->pk.is_null())
        return fail(errc::malformed, quote_peer_text(shown) + " names no key");
    if (address->port == 0) address->port = default_port;
    return address;
}

std::string format_milliseconds(Duration duration) {
    return fmt::format("{:.2f} ms", std::chrono::duration<double, std::milli>(duration).count());
}

Result<std::uint64_t> parse_number(
    std::string_view option, std::string_view text, std::uint64_t min, std::uint64_t max
) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) {
        return fail(
            errc::malformed,
            fmt::format(
                "{}: {} is not a number from {} to {}", option, quote_peer_text(text), min, max
            )
        );
    }
    return value;
}

int run_dmsg(
    Session& session,
    const Command& command,
    const DmsgOptions& options,
    std::function<Task<Result<>>(DmsgWorld&)> work
) {
    const auto world = DmsgWorld::make(options);
    if (!world) return failure(session, command, world.error());
    DmsgWorld& made = **world;
    if (const auto done = made.run([&] { return work(made); }); !done)
        return failure(session, command, done.error());
    return kDone;
}

}  // namespace skywire::cli
