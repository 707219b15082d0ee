#include "services/address_resolver/work.hpp"

#include "cxo/known_feeds.hpp"

#include <algorithm>
#include <utility>

namespace skywire::resolver {
namespace {

constexpr std::chrono::minutes kDefaultEntryTimeout{5};
/// As often as visors of 2026 bind over HTTP.
constexpr std::chrono::seconds kRenewal{90};

Duration entry_timeout_of(const Config& config) {
    const Duration timeout = config.common.entry_timeout;
    return timeout == Duration(0) ? Duration(kDefaultEntryTimeout) : timeout;
}

Bindings::Options bindings_options(const Config& config, const store::Store& store) {
    Bindings::Options options;
    options.keep_sessions = store.kind() != "memory";
    options.entry_timeout = entry_timeout_of(config);
    options.held_timeout = config.held_timeout;
    return options;
}

SudphOptions sudph_options(
    const Config& config, std::function<void(const Error&)> on_store_failure
) {
    SudphOptions options;
    options.on_store_failure = std::move(on_store_failure);
    options.own_key = config.common.public_key;
    options.sessions_max = config.udp_sessions_max;
    for (const auto& [key, address] : config.udp())
        options.addresses.push_back({key, address});
    return options;
}

services::RequestAuth::Options auth_options(const Config& config) {
    services::RequestAuth::Options options;
    options.prefix = std::string(kPrefix);
    options.testing = config.common.testing;
    options.whitelist = config.whitelist_keys;
    return options;
}

services::Owners::Options owners_options(const Config& config, store::Store& store) {
    services::Owners::Options options;
    options.store = &store;
    options.prefix = std::string(kPrefix);
    options.held_timeout = config.held_timeout;
    return options;
}

std::unique_ptr<services::Prober> prober_of(
    const services::HttpParts& parts, std::unique_ptr<services::Prober> given
) {
    if (given || parts.presence == nullptr) return given;
    return services::make_dmsg_prober(parts.context, parts.presence->client());
}

std::unique_ptr<services::FeedHost> make_feed(
    const services::HttpParts& parts, const Config& config, services::FeedContent& content
) {
    if (!config.feed || !config.dmsg) return nullptr;
    services::FeedHost::Options options(config.dmsg->keys);
    options.feed = std::string(cxo::kBindingsFeed);
    options.config = *config.feed;
    return std::make_unique<services::FeedHost>(
        parts.context, parts.presence, content, std::move(options)
    );
}

}  // namespace

Work::Work(
    const services::HttpParts& parts, const Config& config, std::unique_ptr<services::Prober> prober
)
    : host_(parts.host),
      store_(*parts.store),
      surface_(parts.surface),
      public_udp_addr_(config.public_udp_addr),
      auth_(parts.context, store_, auth_options(config)),
      bindings_(store_.store(), bindings_options(config, store_.store())),
      sudph_(
          parts.context,
          bindings_,
          sudph_options(config, [this](const Error& error) { store_failed(error); })
      ),
      routes_(
          parts.context.metrics,
          bindings_,
          sudph_,
          auth_,
          [this](const Error& error) { store_failed(error); }
      ),
      owners_(
          parts.context,
          prober_of(parts, std::move(prober)),
          parts.scope,
          {[this](const crypto::PublicKey& key) { return renew(key); },
           [this](const crypto::PublicKey& key) { return drop(key); }},
          owners_options(config, store_.store())
      ),
      content_(parts.context, bindings_, store_.store()),
      feed_(make_feed(parts, config, content_)),
      visor_bindings_(parts.context.metrics, bindings_, [this](const Error& error) {
          store_failed(error);
      }) {
    if (feed_) {
        content_.on_change([this] { feed_->changed(); });
        bindings_.on_written([this](const crypto::PublicKey& key) { content_.written(key); });
    }
    bindings_.on_held([this](const crypto::PublicKey& key, std::size_t count) {
        owners_.set_records(key, count);
    });
    auth_.on_accepted([this](const crypto::PublicKey& key) { owners_.seen(key); });
    auth_.add_to(surface_.router());
    routes_.add_to(surface_.router());
    add_intake(parts, config);
}

void Work::add_intake(const services::HttpParts& parts, const Config& config) {
    if (config.feed_in_port == 0 || !config.dmsg) return;
    services::FeedIntake::Options options(config.dmsg->keys);
    options.port = config.feed_in_port;
    options.feed_bytes_max = VisorBindings::kFeedBytesMax;
    // What is taken lives for the entry timeout.
    options.renew = std::min<Duration>(kRenewal, entry_timeout_of(config) / 3);
    options.spacing = std::min(options.spacing, options.renew);
    intake_ = std::make_unique<services::FeedIntake>(
        parts.context,
        parts.presence,
        std::move(options),
        [this](const crypto::PublicKey& visor, cxo::Tree tree) {
            return take(visor, std::move(tree));
        },
        [this](const crypto::PublicKey& visor) { visor_bindings_.forget(visor); }
    );
}

Task<services::FeedIntake::Taken> Work::take(crypto::PublicKey visor, cxo::Tree tree) {
    const auto taken = co_await visor_bindings_.take(visor, std::move(tree));
    if (taken == services::FeedIntake::Taken::done) owners_.seen(visor);
    co_return taken;
}

Task<Result<>> Work::open() {
    if (const auto opened = co_await auth_.open(); !opened) co_return opened.error();
    if (const auto opened = co_await owners_.open(); !opened) co_return opened.error();
    if (const auto opened = co_await bindings_.open(); !opened) co_return opened.error();
    owners_.start();
    if (const auto opened = co_await sudph_.open(); !opened) co_return opened.error();
    if (const auto bound = sudph_.bind(); !bound) co_return bound.error();
    for (const net::Address& address : sudph_.addresses())
        host_.note("bound", "udp " + address.to_string());
    sudph_.start();
    if (feed_) feed_->start();
    if (intake_) intake_->start();
    if (!public_udp_addr_.empty()) surface_.set_udp_address(public_udp_addr_);
    co_return Result<>();
}

Task<std::vector<std::string>> Work::stop(SteadyTime deadline) {
    auto late = co_await sudph_.stop(deadline);
    if (intake_)
        for (std::string& name : co_await intake_->stop(deadline))
            late.push_back(std::move(name));
    if (!feed_) co_return late;
    for (std::string& name : co_await feed_->stop(deadline))
        late.push_back(std::move(name));
    co_return late;
}

void Work::add_checks(framework::HealthReport& report) {
    using Status = framework::Check::Status;
    if (sudph_.serving()) {
        report.checks.push_back({"udp", Status::pass, {}});
    } else {
        report.checks.push_back({"udp", Status::fail, "no datagrams are read"});
    }
    if (feed_) report.checks.push_back(feed_->check());
    if (intake_) report.checks.push_back(intake_->check());
}

void Work::store_failed(const Error& error) {
    if (error != make_error_code(errc::limit_reached)) store_.failed(error);
}

Task<> Work::renew(crypto::PublicKey key) {
    const auto renewed = co_await bindings_.renew(key);
    if (!renewed) store_failed(renewed.error());
}

Task<> Work::drop(crypto::PublicKey key) {
    const auto dropped = co_await bindings_.drop(key);
    if (!dropped) store_failed(dropped.error());
}

}  // namespace skywire::resolver
