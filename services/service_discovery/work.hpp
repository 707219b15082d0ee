#pragma once

#include "services/common/http_service.hpp"
#include "services/common/owners.hpp"
#include "services/common/request_auth.hpp"
#include "services/service_discovery/config.hpp"
#include "services/service_discovery/directory.hpp"
#include "services/service_discovery/geo.hpp"
#include "services/service_discovery/routes.hpp"

#include <memory>
#include <string>
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

    const Directory& directory() const noexcept { return directory_; }

 private:
    services::Owners::Events events();
    Task<> keep_tidy();
    void show_counts();

    services::HttpParts parts_;
    Config config_;
    services::RequestAuth auth_;
    services::Owners owners_;
    Directory directory_;
    Locator locator_;
    Routes routes_;
    Gauge& entries_;
    Gauge& types_;
    Gauge& vpn_;
    Gauge& visor_;
    Gauge& skysocks_;
};

}  // namespace skywire::service_discovery
