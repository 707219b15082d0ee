#include "services/address_resolver/work.hpp"

#include <utility>

namespace skywire::resolver {
namespace {

constexpr std::chrono::minutes kDefaultEntryTimeout{5};

Bindings::Options bindings_options(const Config& config) {
    Bindings::Options options;
    options.entry_timeout = config.common.entry_timeout;
    if (options.entry_timeout == Duration(0)) options.entry_timeout = kDefaultEntryTimeout;
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

}  // namespace

Work::Work(
    const services::HttpParts& parts, const Config& config, std::unique_ptr<services::Prober> prober
)
    : host_(parts.host),
      store_(*parts.store),
      surface_(parts.surface),
      public_udp_addr_(config.public_udp_addr),
      auth_(parts.context, store_, auth_options(config)),
      bindings_(store_.store(), bindings_options(config)),
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
      ) {
    bindings_.on_held([this](const crypto::PublicKey& key, std::size_t count) {
        owners_.set_records(key, count);
    });
    auth_.on_accepted([this](const crypto::PublicKey& key) { owners_.seen(key); });
    auth_.add_to(surface_.router());
    routes_.add_to(surface_.router());
}

Task<Result<>> Work::open() {
    if (const auto opened = co_await auth_.open(); !opened) co_return opened.error();
    if (const auto opened = co_await owners_.open(); !opened) co_return opened.error();
    if (const auto opened = co_await bindings_.open(); !opened) co_return opened.error();
    owners_.start();
    if (const auto bound = sudph_.bind(); !bound) co_return bound.error();
    for (const net::Address& address : sudph_.addresses())
        host_.note("bound", "udp " + address.to_string());
    sudph_.start();
    if (!public_udp_addr_.empty()) surface_.set_udp_address(public_udp_addr_);
    co_return Result<>();
}

Task<std::vector<std::string>> Work::stop(SteadyTime deadline) {
    return sudph_.stop(deadline);
}

void Work::add_checks(framework::HealthReport& report) {
    using Status = framework::Check::Status;
    if (sudph_.serving()) {
        report.checks.push_back({"udp", Status::pass, {}});
    } else {
        report.checks.push_back({"udp", Status::fail, "no datagrams are read"});
    }
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
