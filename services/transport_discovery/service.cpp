#include "services/transport_discovery/service.hpp"

#include "cxo/known_feeds.hpp"
#include "net/timer.hpp"
#include "services/common/feed_intake.hpp"
#include "services/common/http_service.hpp"
#include "services/transport_discovery/config.hpp"
#include "services/transport_discovery/feeds.hpp"
#include "services/transport_discovery/leases.hpp"
#include "services/transport_discovery/metrics_feed.hpp"
#include "services/transport_discovery/reports.hpp"
#include "services/transport_discovery/routes.hpp"
#include "services/transport_discovery/visor_lists.hpp"
#include "services/transport_discovery/visor_telemetry.hpp"

#include <algorithm>
#include <array>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kType = "transport-discovery";
constexpr Duration kSweepInterval = 1s;
constexpr Duration kGaugeInterval = 10s;
constexpr Duration kUptimeSweepInterval = 1h;
/// What was told of transports before they were registered is taken by then.
constexpr Duration kTelemetryRenewal = 60s;
/// Visors of early 2026 have up to forty objects for each transport.
constexpr std::size_t kTelemetryObjects = 20'000;

constexpr std::array kCountedTypes{
    transport::kStcp, transport::kStcpr, transport::kSudph, transport::kDmsg
};

tpd::Transports::Options transport_options(const tpd::Config& config) {
    tpd::Transports::Options options;
    options.lifetimes = config.lifetimes;
    options.shared = config.store.kind == StoreConfig::Kind::redis;
    return options;
}

FeedLayout layout_of(const std::optional<FeedConfig>& feed) {
    return feed ? feed->layout : FeedLayout::newest;
}

tpd::Traffic::Options traffic_options(const tpd::Config& config) {
    tpd::Traffic::Options options;
    options.days = config.metrics_days;
    options.reports_max = config.metrics_reports_max;
    options.shared = config.store.kind == StoreConfig::Kind::redis;
    return options;
}

RequestAuth::Options auth_options(const tpd::Config& config) {
    RequestAuth::Options options;
    options.prefix = tpd::kPrefix;
    options.testing = config.common.testing;
    options.whitelist = config.whitelist_keys;
    return options;
}

class Work final : public HttpWork {
 public:
    Work(
        const HttpParts& parts,
        const tpd::Config& config,
        std::shared_ptr<transport::TransportView> view
    )
        : context_(parts.context),
          store_(*parts.store),
          scope_(parts.scope),
          label_(parts.host.label()),
          view_(std::move(view)),
          answers_(context_.metrics, [this](const Error& error) { store_failed(error); }),
          transports_(context_, store_.store(), transport_options(config)),
          uptimes_(context_, store_.store()),
          traffic_(context_, store_.store(), transports_, traffic_options(config)),
          auth_(context_, store_, auth_options(config)),
          leases_(
              transports_,
              uptimes_,
              [&](Owners::Events events) { return make_owners(parts, config, std::move(events)); },
              [this](const Error& error) { store_failed(error); }
          ),
          rate_limit_(config.rate_limit),
          routes_({context_, transports_, uptimes_, auth_, answers_, rate_limit_}),
          reports_({context_, transports_, uptimes_, traffic_, answers_}),
          transports_content_(context_, transports_, traffic_),
          uptime_content_(
              context_,
              transports_,
              uptimes_,
              [this](const tpd::VisorUptime& visor) { return reports_.visor_on(visor); },
              layout_of(config.uptime_feed)
          ),
          metrics_content_(context_, traffic_, transports_, layout_of(config.metrics_feed)),
          visor_lists_({context_, transports_, uptimes_, answers_}),
          visor_telemetry_({context_, traffic_, transports_, uptimes_, answers_}) {
        auth_.on_accepted([this](const crypto::PublicKey& caller) { leases_.seen(caller); });
        routes_.add_to(parts.surface.router());
        reports_.add_to(parts.surface.router());
        for (std::size_t i = 0; i < kCountedTypes.size(); ++i) {
            counts_[i] = &context_.metrics.gauge(
                "transport_discovery_" + std::string(kCountedTypes[i]) + "_count",
                "Transports of this type."
            );
        }
        add_feeds(parts, config);
        add_intakes(parts, config);
    }

    Task<Result<>> open() override {
        if (const auto opened = co_await auth_.open(); !opened) co_return opened.error();
        if (const auto opened = co_await leases_.open(); !opened) co_return opened.error();
        // Before the first record: its owners are told of as it is read.
        transports_.table().on_change(table_events());
        if (const auto opened = co_await transports_.open(); !opened) co_return opened.error();
        if (view_) {
            publication_ = view_->publish(label_, context_.loop, [this] {
                return transports_.table().entries();
            });
        }
        leases_.start();
        for (const auto& feed : feeds_)
            feed->start();
        for (const auto& intake : intakes_)
            intake->start();
        scope_.spawn("sweep", [this] { return sweep(); });
        co_return Result<>();
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        publication_.reset();
        std::vector<std::string> late;
        for (const auto& intake : intakes_)
            for (std::string& name : co_await intake->stop(deadline))
                late.push_back(std::move(name));
        for (const auto& feed : feeds_)
            for (std::string& name : co_await feed->stop(deadline))
                late.push_back(std::move(name));
        co_return late;
    }

    void add_checks(framework::HealthReport& report) override {
        for (const auto& feed : feeds_)
            report.checks.push_back(feed->check());
        for (const auto& intake : intakes_)
            report.checks.push_back(intake->check());
    }

 private:
    std::unique_ptr<Owners> make_owners(
        const HttpParts& parts, const tpd::Config& config, Owners::Events events
    ) {
        Owners::Options options;
        options.store = &store_.store();
        options.prefix = tpd::kPrefix;
        options.held_timeout = config.lifetimes.held;
        dmsg::Client* client = parts.presence != nullptr ? &parts.presence->client() : nullptr;
        return std::make_unique<Owners>(
            context_, client, parts.scope, std::move(events), std::move(options)
        );
    }

    /// The first is that of the transports, where it is published.
    void add_feeds(const HttpParts& parts, const tpd::Config& config) {
        if (!config.dmsg) return;
        const auto add = [&](std::string_view check,
                             std::string_view name,
                             const std::optional<FeedConfig>& feed,
                             FeedContent& content) {
            if (!feed) return;
            FeedHost::Options options(config.dmsg->keys);
            options.name = std::string(check);
            options.feed = std::string(name);
            options.config = *feed;
            feeds_.push_back(std::make_unique<FeedHost>(
                parts.context, parts.presence, content, std::move(options)
            ));
        };
        feeds_.reserve(3);
        add("feed", cxo::kTransportsFeed, config.transports_feed, transports_content_);
        if (!feeds_.empty()) transports_feed_ = feeds_.front().get();
        add("feed-uptime", cxo::kUptimeFeed, config.uptime_feed, uptime_content_);
        if (layout_of(config.uptime_feed) == FeedLayout::both) {
            log::info(
                context_.logger,
                "feed.layout",
                log::kv("feed", cxo::kUptimeFeed),
                log::kv("layout", "newest"),
                log::kv("asked", "both"),
                log::kv("why", "an old leaf would stand where the newest layout has a directory")
            );
        }
        add("feed-metrics", cxo::kMetricsFeed, config.metrics_feed, metrics_content_);
        if (!config.metrics_feed) return;
        FeedHost* const metrics_feed = feeds_.back().get();
        traffic_.on_change([metrics_feed] { metrics_feed->changed(); });
    }

    void add_intakes(const HttpParts& parts, const tpd::Config& config) {
        if (!config.dmsg) return;
        const auto add = [&](auto& taker, FeedIntake::Options options) {
            if (options.port == 0) return;
            intakes_.push_back(std::make_unique<FeedIntake>(
                parts.context,
                parts.presence,
                std::move(options),
                [&taker](const crypto::PublicKey& visor, cxo::Tree tree) {
                    return taker.take(visor, std::move(tree));
                },
                [&taker](const crypto::PublicKey& visor) { taker.forget(visor); }
            ));
        };
        intakes_.reserve(2);
        FeedIntake::Options lists(config.dmsg->keys);
        lists.port = config.feed_in_port;
        lists.renew = config.list_renewal;
        lists.spacing = std::min(lists.spacing, lists.renew);
        add(visor_lists_, std::move(lists));
        FeedIntake::Options telemetry(config.dmsg->keys);
        telemetry.name = "feed-in-telemetry";
        telemetry.port = config.telemetry_port;
        telemetry.prefix = tpd::VisorTelemetry::kPrefix;
        telemetry.objects_max = kTelemetryObjects;
        telemetry.renew = kTelemetryRenewal;
        add(visor_telemetry_, std::move(telemetry));
    }

    tpd::Table::Events table_events() {
        tpd::Table::Events events;
        events.listed = [this](const transport::Entry& entry) {
            if (publication_) publication_->put(entry);
            if (transports_feed_ != nullptr) transports_feed_->changed();
        };
        events.unlisted = [this](const transport::TransportId& id) {
            if (publication_) publication_->remove(id);
            if (transports_feed_ != nullptr) transports_feed_->changed();
        };
        events.held = [this](const crypto::PublicKey& key, std::size_t count) {
            leases_.set_records(key, count);
        };
        return events;
    }

    /// A store that is full answers all the same.
    void store_failed(const Error& error) {
        if (error != make_error_code(errc::limit_reached)) store_.failed(error);
    }

    Task<> sweep() {
        SteadyTime count_at{};
        SteadyTime uptimes_at{};
        while (true) {
            const SteadyTime now = context_.clock.now();
            const auto swept = co_await transports_.sweep();
            if (!swept) store_failed(swept.error());
            if (now >= count_at) {
                count_at = now + kGaugeInterval;
                count_types();
            }
            if (now >= uptimes_at) {
                uptimes_at = now + kUptimeSweepInterval;
                const auto old = co_await uptimes_.sweep();
                if (!old) store_failed(old.error());
                const auto traffic = co_await traffic_.sweep();
                if (!traffic) store_failed(traffic.error());
            }
            const bool slept = co_await net::sleep_for(context_.clock, kSweepInterval);
            if (!slept) co_return;
        }
    }

    void count_types() {
        const auto& by_type = transports_.table().by_type();
        for (std::size_t i = 0; i < kCountedTypes.size(); ++i) {
            const auto found = by_type.find(kCountedTypes[i]);
            counts_[i]->set(found == by_type.end() ? 0 : static_cast<double>(found->second));
        }
    }

    net::Context context_;
    ServiceStore& store_;
    net::Scope& scope_;
    std::string label_;
    std::shared_ptr<transport::TransportView> view_;
    tpd::Answers answers_;
    tpd::Transports transports_;
    tpd::Uptimes uptimes_;
    tpd::Traffic traffic_;
    RequestAuth auth_;
    tpd::Leases leases_;
    tpd::RateLimit rate_limit_;
    tpd::Routes routes_;
    tpd::Reports reports_;
    std::array<Gauge*, kCountedTypes.size()> counts_{};
    std::unique_ptr<transport::TransportView::Publication> publication_;
    tpd::TransportsContent transports_content_;
    tpd::UptimeContent uptime_content_;
    tpd::MetricsContent metrics_content_;
    FeedHost* transports_feed_ = nullptr;
    std::vector<std::unique_ptr<FeedHost>> feeds_;
    tpd::VisorLists visor_lists_;
    tpd::VisorTelemetry visor_telemetry_;
    /// Where visors publish to us.
    std::vector<std::unique_ptr<FeedIntake>> intakes_;
};

}  // namespace

framework::ServiceType transport_discovery_type(std::shared_ptr<transport::TransportView> view) {
    framework::ServiceType type = http_service_type(kType);
    type.summary = "which transports there are between visors";
    type.fields = tpd::config_fields();
    type.check = tpd::check_config;
    type.make = [view = std::move(view)](const framework::Block& block
                ) -> Result<std::unique_ptr<framework::Service>> {
        const tpd::Config config = tpd::read_config(block);
        HttpServiceOptions options = http_service_options(kType, config);
        return make_http_service(std::move(options), [config, view](const HttpParts& parts) {
            return std::make_unique<Work>(parts, config, view);
        });
    };
    return type;
}

}  // namespace skywire::services
