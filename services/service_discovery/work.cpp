#include "services/service_discovery/work.hpp"

#include "cxo/known_feeds.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <utility>

namespace skywire::service_discovery {
namespace {

constexpr std::string_view kPrefix = "service-discovery";
/// Of the keys that the network's own has for uptimes.
constexpr std::string_view kUptimePrefix = "sd";
/// Between two rounds that forget old days.
constexpr std::chrono::hours kUptimeRound{1};
/// As often as visors of 2026 register over HTTP.
constexpr std::chrono::seconds kRenewal{90};
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

std::unique_ptr<services::FeedHost> make_feed(
    const services::HttpParts& parts, const Config& config, services::FeedContent& content
) {
    if (!config.feed || !config.dmsg) return nullptr;
    services::FeedHost::Options options(config.dmsg->keys);
    options.feed = std::string(cxo::kServicesFeed);
    options.config = *config.feed;
    return std::make_unique<services::FeedHost>(
        parts.context, parts.presence, content, std::move(options)
    );
}

services::FeedLayout layout_of(const Config& config) {
    return config.feed ? config.feed->layout : services::FeedLayout::newest;
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
      uptimes_(parts.context, parts.store->store(), std::string(kUptimePrefix)),
      uptime_routes_(uptimes_, uptime_hooks()),
      routes_(
          parts.context,
          directory_,
          auth_,
          locator_,
          [this](crypto::PublicKey key, std::string version) {
              return seen(key, std::move(version));
          },
          {}
      ),
      content_(parts.context, directory_, layout_of(config_)),
      feed_(make_feed(parts, config_, content_)),
      visor_services_(
          parts.context.metrics,
          directory_,
          locator_,
          [this](crypto::PublicKey key, std::string version) {
              owners_.seen(key);
              return seen(key, std::move(version));
          }
      ),
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
    // Before the first entry is read.
    if (feed_) directory_.on_change([this] { feed_->changed(); });
    auth_.on_accepted([this](const crypto::PublicKey& key) { owners_.seen(key); });
    routes_.add_to(parts.surface.router());
    auth_.add_to(parts.surface.router());
    uptime_routes_.add_to(parts.surface.router());
    add_intake();
}

void Work::add_intake() {
    if (config_.feed_in_port == 0 || !config_.dmsg) return;
    services::FeedIntake::Options options(config_.dmsg->keys);
    options.port = config_.feed_in_port;
    options.feed_bytes_max = VisorServices::kFeedBytesMax;
    // What is taken lives for the entry timeout.
    options.renew = std::min<Duration>(kRenewal, config_.common.entry_timeout / 3);
    options.spacing = std::min(options.spacing, options.renew);
    intake_ = std::make_unique<services::FeedIntake>(
        parts_.context,
        parts_.presence,
        std::move(options),
        [this](const crypto::PublicKey& visor, cxo::Tree tree) {
            return take(visor, std::move(tree));
        },
        [this](const crypto::PublicKey& visor) { visor_services_.forget(visor); }
    );
}

services::Owners::Events Work::events() {
    services::Owners::Events events;
    events.alive = [this](const crypto::PublicKey& key) { return alive(key); };
    events.gone = [this](const crypto::PublicKey& key) { return directory_.drop_held(key); };
    return events;
}

services::UptimeRoutes::Hooks Work::uptime_hooks() {
    const auto refused_for = [this](std::string_view reason) {
        return &parts_.context.metrics.counter(
            "service_discovery_uptimes_refused_total",
            "Questions about uptimes without an answer, by reason.",
            {{"reason", std::string(reason)}}
        );
    };
    services::UptimeRoutes::Hooks hooks;
    hooks.on = [this](const services::VisorUptime& visor) { return uptimes_.heard_of(visor); };
    hooks.refused = [version = refused_for("unknown_version"),
                     body = refused_for("bad_body")](services::UptimeRefusal::Why why) {
        (why == services::UptimeRefusal::Why::unknown_version ? version : body)->add();
    };
    hooks.store_failed = [this, store = refused_for("store_unavailable")](const Error& error) {
        store->add();
        parts_.store->failed(error);
        return store_refused(error);
    };
    return hooks;
}

/// A held entry is written once: each sign of life of its visor counts as a registration.
Task<> Work::alive(crypto::PublicKey owner) {
    co_await directory_.renew(owner);
    co_await seen(owner, {});
}

/// What is not counted now is with the next registration; that one has been stored all the same.
Task<> Work::seen(crypto::PublicKey key, std::string version) {
    const auto counted = co_await uptimes_.seen(key, std::move(version));
    if (counted || counted.error().code() == errc::limit_reached) co_return;
    parts_.store->failed(counted.error());
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
    if (feed_) feed_->start();
    if (intake_) intake_->start();
    owners_.start();
    parts_.scope.spawn("tidy", [this] { return keep_tidy(); });
    co_return Result<>();
}

Task<> Work::keep_tidy() {
    SteadyTime uptimes_at{};
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
        const SteadyTime now = parts_.context.clock.now();
        if (now < uptimes_at) continue;
        uptimes_at = now + kUptimeRound;
        if (const auto old = co_await uptimes_.sweep(); !old) parts_.store->failed(old.error());
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

void Work::add_checks(framework::HealthReport& report) {
    if (feed_) report.checks.push_back(feed_->check());
    if (intake_) report.checks.push_back(intake_->check());
}

Task<std::vector<std::string>> Work::stop(SteadyTime deadline) {
    locator_.close();
    std::vector<std::string> late;
    if (intake_) late = co_await intake_->stop(deadline);
    if (!feed_) co_return late;
    for (std::string& name : co_await feed_->stop(deadline))
        late.push_back(std::move(name));
    co_return late;
}

}  // namespace skywire::service_discovery
