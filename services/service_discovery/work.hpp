#pragma once

#include "services/common/feed_intake.hpp"
#include "services/common/http_service.hpp"
#include "services/common/owners.hpp"
#include "services/common/request_auth.hpp"
#include "services/common/uptime_answers.hpp"
#include "services/service_discovery/config.hpp"
#include "services/service_discovery/directory.hpp"
#include "services/service_discovery/feed.hpp"
#include "services/service_discovery/geo.hpp"
#include "services/service_discovery/routes.hpp"
#include "services/service_discovery/visor_services.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace skywire::service_discovery {

/// A running service-discovery between the parts that all services share.
class Work final : public services::HttpWork {
 public:
    Work(const services::HttpParts& parts, Config config);
    /// With another way to ask owners whether they live: tests.
    Work(const services::HttpParts& parts, Config config, std::unique_ptr<services::Prober> prober);

    Task<Result<>> open() override;
    Task<std::vector<std::string>> stop(SteadyTime deadline) override;
    void add_checks(framework::HealthReport& report) override;

    const Directory& directory() const noexcept { return directory_; }
    /// Null: not published.
    const services::FeedHost* feed() const noexcept { return feed_.get(); }
    /// What a visor's feed says: for tests, as its intake calls it.
    Task<services::FeedIntake::Taken> take(crypto::PublicKey visor, cxo::Tree tree) {
        return visor_services_.take(visor, std::move(tree));
    }

 private:
    services::Owners::Events events();
    services::UptimeRoutes::Hooks uptime_hooks();
    void add_intake();
    Task<> alive(crypto::PublicKey owner);
    Task<> seen(crypto::PublicKey key, std::string version);
    Task<> keep_tidy();
    void show_counts();

    services::HttpParts parts_;
    Config config_;
    services::RequestAuth auth_;
    services::Owners owners_;
    Directory directory_;
    Locator locator_;
    services::VisorUptimes uptimes_;
    services::UptimeRoutes uptime_routes_;
    Routes routes_;
    ServicesContent content_;
    std::unique_ptr<services::FeedHost> feed_;
    VisorServices visor_services_;
    /// Null where visors cannot publish their services.
    std::unique_ptr<services::FeedIntake> intake_;
    Gauge& entries_;
    Gauge& types_;
    Gauge& vpn_;
    Gauge& visor_;
    Gauge& skysocks_;
};

}  // namespace skywire::service_discovery
