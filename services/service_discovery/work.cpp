#include "services/service_discovery/work.hpp"

#include "net/timer.hpp"

#include <utility>

namespace skywire::service_discovery {
namespace {

constexpr std::string_view kPrefix = "service-discovery";
/// Between two rounds that tidy the store and show the counts.
constexpr std::chrono::seconds kRound{10};

services::RequestAuth::Options auth_options(const Config& config) {
    return {std::string(kPrefix), config.common.testing, config.whitelist};
}

services::Owners::Options owner_options(const services::HttpParts& parts, const Config& config) {
    services::Owners::Options options;
    options.store = &parts.store->store();
    options.prefix = kPrefix;
    options.held_timeout = config.held_timeout;
    return options;
}

Directory::Options directory_options(const Config& config) {
    Directory::Options options;
    options.entry_timeout = config.common.entry_timeout;
    options.held_timeout = config.held_timeout;
    return options;
}

std::unique_ptr<services::Prober> dmsg_prober(const services::HttpParts& parts) {
    if (parts.presence == nullptr) return nullptr;
    return services::make_dmsg_prober(parts.context, parts.presence->client());
}

Gauge& type_gauge(const net::Context& context, std::string_view type) {
    return context.metrics.gauge(
        fmt::format("service_discovery_service_type_{}_count", type),
        "Entries of this type, counted every 10 s."
    );
}

}  // namespace

Work::Work(const services::HttpParts& parts, Config config)
    : Work(parts, std::move(config), dmsg_prober(parts)) {}

Work::Work(
    const services::HttpParts& parts, Config config, std::unique_ptr<services::Prober> prober
)
    : parts_(parts),
      config_(std::move(config)),
      auth_(parts.context, *parts.store, auth_options(config_)),
      owners_(
          parts.context, std::move(prober), parts.scope, events(), owner_options(parts, config_)
      ),
      directory_(
          parts.context,
          *parts.store,
          directory_options(config_),
          [this](const crypto::PublicKey& key, std::size_t count) {
              owners_.set_records(key, count);
          }
      ),
      locator_(parts.context, config_.geo),
      routes_(parts.context, directory_, auth_, locator_, {}),
      entries_(parts.context.metrics.gauge(
          "service_discovery_services_registered_by_type_count",
          "Entries of all types, counted every 10 s."
      )),
      types_(parts.context.metrics.gauge(
          "service_discovery_service_types_count", "Types that have entries, counted every 10 s."
      )),
      vpn_(type_gauge(parts.context, "vpn")),
      visor_(type_gauge(parts.context, "visor")),
      skysocks_(type_gauge(parts.context, "skysocks")) {
    auth_.on_accepted([this](const crypto::PublicKey& key) { owners_.seen(key); });
    routes_.add_to(parts.surface.router());
    auth_.add_to(parts.surface.router());
}

services::Owners::Events Work::events() {
    services::Owners::Events events;
    events.alive = [this](const crypto::PublicKey& key) { return directory_.renew(key); };
    events.gone = [this](const crypto::PublicKey& key) { return directory_.drop_held(key); };
    return events;
}

Task<Result<>> Work::open() {
    if (const auto opened = co_await auth_.open(); !opened)
        co_return opened.error().within("nonces");
    if (const auto opened = co_await owners_.open(); !opened)
        co_return opened.error().within("owners");
    if (const auto opened = co_await directory_.open(); !opened)
        co_return opened.error().within("entries");
    log::info(
        parts_.context.logger, "entries.loaded", log::kv("entries", directory_.table().size())
    );
    owners_.start();
    parts_.scope.spawn("tidy", [this] { return keep_tidy(); });
    co_return Result<>();
}

Task<> Work::keep_tidy() {
    while (true) {
        const bool slept = co_await net::sleep_for(parts_.context.clock, kRound);
        if (!slept) co_return;
        // What is not tidied now is in ten seconds; health knows of the store.
        const auto swept = co_await directory_.sweep();
        if (!swept)
            log::debug(
                parts_.context.logger, "sweep.failed", log::kv("error", swept.error().message())
            );
        show_counts();
    }
}

void Work::show_counts() {
    const Table& table = directory_.table();
    const auto set = [](Gauge& gauge, std::size_t count) { gauge.set(static_cast<double>(count)); };
    set(entries_, table.size());
    set(types_, table.types());
    set(vpn_, table.count("vpn"));
    set(visor_, table.count("visor"));
    set(skysocks_, table.count("skysocks"));
}

Task<std::vector<std::string>> Work::stop(SteadyTime) {
    locator_.close();
    co_return std::vector<std::string>();
}

}  // namespace skywire::service_discovery
