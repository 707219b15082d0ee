#include "services/dmsg_discovery/service.hpp"

#include "cxo/known_feeds.hpp"
#include "net/timer.hpp"
#include "services/common/feed_intake.hpp"
#include "services/common/http_service.hpp"
#include "services/dmsg_discovery/config.hpp"
#include "services/dmsg_discovery/discovery.hpp"
#include "services/dmsg_discovery/feed.hpp"
#include "services/dmsg_discovery/own_discovery.hpp"
#include "services/dmsg_discovery/registrations.hpp"
#include "services/dmsg_discovery/routes.hpp"

namespace skywire::services {
namespace {

constexpr std::string_view kType = "dmsg-discovery";
constexpr std::chrono::seconds kSweepInterval{10};

discovery::Rules rules_of(const discovery::Config& config) {
    discovery::Rules rules;
    rules.testing = config.common.testing;
    rules.load_testing = config.load_testing;
    rules.client_lifetime = config.common.entry_timeout;
    rules.auth_passphrase = config.auth_passphrase;
    rules.official_servers = config.official_servers;
    return rules;
}

/// Where all who write entries in this service say so: its routes, and its own dmsg client.
using WriteNotes = std::shared_ptr<discovery::Discovery::OnWritten>;

discovery::Discovery::OnWritten told_to(WriteNotes notes) {
    return [notes = std::move(notes)](const std::string& key) {
        if (*notes) (*notes)(key);
    };
}

class DmsgDiscovery final : public HttpWork {
 public:
    DmsgDiscovery(const HttpParts& parts, const discovery::Config& config, const WriteNotes& notes)
        : parts_(parts),
          load_testing_(config.load_testing),
          discovery_(parts.context, parts.store->store(), rules_of(config)),
          routes_(
              parts.context.metrics,
              discovery_,
              config.whitelist_keys,
              [this](const Error& error) { store_failed(error); }
          ),
          servers_(parts.context.metrics.gauge(
              "dmsg_discovery_servers_count", "dmsg-servers with an entry."
          )),
          clients_(parts.context.metrics.gauge(
              "dmsg_discovery_clients_count", "dmsg clients with an entry."
          )) {
        routes_.add_to(parts.surface.router());
        add_intake(config);
        add_feed(config, notes);
    }

    Task<Result<>> open() override {
        if (load_testing_)
            log::warn(parts_.context.logger, "load_testing", log::kv("signatures", "not checked"));
        parts_.scope.spawn("sweep", [this] { return sweep(); });
        if (feed_) feed_->start();
        if (intake_) intake_->start();
        co_return Result<>();
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        if (intake_) late = co_await intake_->stop(deadline);
        if (!feed_) co_return late;
        for (std::string& name : co_await feed_->stop(deadline))
            late.push_back(std::move(name));
        co_return late;
    }

    void add_checks(framework::HealthReport& report) override {
        if (feed_) report.checks.push_back(feed_->check());
        if (intake_) report.checks.push_back(intake_->check());
    }

    /// The servers register over HTTP first: only then is there somebody to connect to. A
    /// deployment without a server of its own does not wait for one.
    Task<bool> expects_session() override {
        const auto servers = co_await discovery_.all_servers();
        co_return servers && !servers->empty();
    }

 private:
    void add_feed(const discovery::Config& config, const WriteNotes& notes) {
        if (!config.feed || !config.dmsg) return;
        FeedHost::Options options(config.dmsg->keys);
        options.feed = std::string(cxo::kClientsFeed);
        options.config = *config.feed;
        content_ = std::make_unique<discovery::ClientsContent>(
            parts_.context, parts_.store->store(), config.feed->layout
        );
        feed_ = std::make_unique<FeedHost>(
            parts_.context, parts_.presence, *content_, std::move(options)
        );
        content_->on_change([this] { feed_->changed(); });
        discovery_.on_written(told_to(notes));
        *notes = [this](const std::string& key) { content_->written(key); };
    }

    void add_intake(const discovery::Config& config) {
        if (config.feed_in_port == 0 || !config.dmsg) return;
        FeedIntake::Options options(config.dmsg->keys);
        options.port = config.feed_in_port;
        options.prefix = std::string(discovery::Registrations::kPath);
        registrations_ = std::make_unique<discovery::Registrations>(
            parts_.context.metrics, discovery_, [this](const Error& error) { store_failed(error); }
        );
        intake_ = std::make_unique<FeedIntake>(
            parts_.context,
            parts_.presence,
            std::move(options),
            [this](const crypto::PublicKey& publisher, cxo::Tree tree) {
                return registrations_->take(publisher, std::move(tree));
            }
        );
    }

    /// A store that is full answers all the same.
    void store_failed(const Error& error) {
        if (error != make_error_code(errc::limit_reached)) parts_.store->failed(error);
    }

    /// Sweeps the sets and counts what is left, every ten seconds.
    Task<> sweep() {
        while (true) {
            const auto counts = co_await discovery_.sweep();
            if (counts) {
                servers_.set(static_cast<double>(counts->servers));
                clients_.set(static_cast<double>(counts->clients));
            } else {
                store_failed(counts.error());
            }
            const bool slept = co_await net::sleep_for(parts_.context.clock, kSweepInterval);
            if (!slept) co_return;
        }
    }

    HttpParts parts_;
    bool load_testing_;
    discovery::Discovery discovery_;
    discovery::Routes routes_;
    /// Both null where nothing is published.
    std::unique_ptr<discovery::ClientsContent> content_;
    std::unique_ptr<FeedHost> feed_;
    /// Both null where visors cannot publish their entries.
    std::unique_ptr<discovery::Registrations> registrations_;
    std::unique_ptr<FeedIntake> intake_;
    Gauge& servers_;
    Gauge& clients_;
};

}  // namespace

framework::ServiceType dmsg_discovery_type() {
    framework::ServiceType type = http_service_type(kType);
    type.summary = "where dmsg clients and servers say how they are reached";
    type.fields = discovery::config_fields();
    type.check = discovery::check_config;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        const discovery::Config config = discovery::read_config(block);
        HttpServiceOptions options = http_service_options(kType, config);
        const auto notes = std::make_shared<discovery::Discovery::OnWritten>();
        options.discovery = [rules = rules_of(config),
                             notes](const net::Context& context, ServiceStore& store) {
            discovery::Discovery own(context, store.store(), rules);
            own.on_written(told_to(notes));
            return discovery::make_own_discovery(std::move(own));
        };
        return make_http_service(std::move(options), [config, notes](const HttpParts& parts) {
            return std::make_unique<DmsgDiscovery>(parts, config, notes);
        });
    };
    return type;
}

}  // namespace skywire::services
