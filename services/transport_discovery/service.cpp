#include "services/transport_discovery/service.hpp"

#include "net/timer.hpp"
#include "services/common/http_service.hpp"
#include "services/transport_discovery/config.hpp"
#include "services/transport_discovery/leases.hpp"
#include "services/transport_discovery/reports.hpp"
#include "services/transport_discovery/routes.hpp"

#include <array>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kType = "transport-discovery";
constexpr Duration kSweepInterval = 1s;
constexpr Duration kGaugeInterval = 10s;
constexpr Duration kUptimeSweepInterval = 1h;

constexpr std::array kCountedTypes{
    transport::kStcp, transport::kStcpr, transport::kSudph, transport::kDmsg
};

tpd::Transports::Options transport_options(const tpd::Config& config) {
    tpd::Transports::Options options;
    options.lifetimes = config.lifetimes;
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
          auth_(context_, store_, auth_options(config)),
          leases_(
              transports_,
              uptimes_,
              [&](Owners::Events events) { return make_owners(parts, config, std::move(events)); },
              [this](const Error& error) { store_failed(error); }
          ),
          rate_limit_(config.rate_limit),
          routes_({context_, transports_, uptimes_, auth_, answers_, rate_limit_}),
          reports_({context_, transports_, uptimes_, answers_}) {
        auth_.on_accepted([this](const crypto::PublicKey& caller) { leases_.seen(caller); });
        routes_.add_to(parts.surface.router());
        reports_.add_to(parts.surface.router());
        for (std::size_t i = 0; i < kCountedTypes.size(); ++i) {
            counts_[i] = &context_.metrics.gauge(
                "transport_discovery_" + std::string(kCountedTypes[i]) + "_count",
                "Transports of this type."
            );
        }
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
        scope_.spawn("sweep", [this] { return sweep(); });
        co_return Result<>();
    }

    Task<std::vector<std::string>> stop(SteadyTime) override {
        publication_.reset();
        co_return std::vector<std::string>();
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

    tpd::Table::Events table_events() {
        tpd::Table::Events events;
        events.listed = [this](const transport::Entry& entry) {
            if (publication_) publication_->put(entry);
        };
        events.unlisted = [this](const transport::TransportId& id) {
            if (publication_) publication_->remove(id);
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
    RequestAuth auth_;
    tpd::Leases leases_;
    tpd::RateLimit rate_limit_;
    tpd::Routes routes_;
    tpd::Reports reports_;
    std::array<Gauge*, kCountedTypes.size()> counts_{};
    std::unique_ptr<transport::TransportView::Publication> publication_;
};

}  // namespace

framework::ServiceType transport_discovery_type(std::shared_ptr<transport::TransportView> view) {
    framework::ServiceType type;
    type.name = kType;
    type.summary = "which transports there are between visors";
    type.fields = tpd::config_fields();
    type.milestones = http_milestones();
    type.edges = http_edges();
    type.check = tpd::check_config;
    type.facts = [](const framework::Block& block) { return common_facts(block, kType); };
    type.externals = store_externals;
    type.make = [view = std::move(view)](const framework::Block& block
                ) -> Result<std::unique_ptr<framework::Service>> {
        const tpd::Config config = tpd::read_config(block);
        HttpServiceOptions options;
        options.type_name = kType;
        options.common = config.common;
        options.store = config.store;
        options.dmsg = config.dmsg;
        return make_http_service(std::move(options), [config, view](const HttpParts& parts) {
            return std::make_unique<Work>(parts, config, view);
        });
    };
    return type;
}

}  // namespace skywire::services
