#pragma once

#include "services/address_resolver/bindings.hpp"
#include "services/address_resolver/config.hpp"
#include "services/address_resolver/feed.hpp"
#include "services/address_resolver/routes.hpp"
#include "services/address_resolver/sudph.hpp"
#include "services/address_resolver/visor_bindings.hpp"
#include "services/common/feed_intake.hpp"
#include "services/common/http_service.hpp"
#include "services/common/owners.hpp"
#include "services/common/request_auth.hpp"

#include <memory>
#include <string>
#include <vector>

namespace skywire::resolver {

/// What is the address-resolver's own in its service: bindings, the UDP side, who lives.
class Work final : public services::HttpWork {
 public:
    /// `prober` asks owners whether they live; null: over the service's dmsg side, where it has
    /// one.
    Work(
        const services::HttpParts& parts,
        const Config& config,
        std::unique_ptr<services::Prober> prober = nullptr
    );

    Task<Result<>> open() override;
    Task<std::vector<std::string>> stop(SteadyTime deadline) override;
    void add_checks(framework::HealthReport& report) override;

    Bindings& bindings() noexcept { return bindings_; }
    Sudph& sudph() noexcept { return sudph_; }
    /// What a visor's feed says: for tests, as its intake calls it.
    Task<services::FeedIntake::Taken> take(crypto::PublicKey visor, cxo::Tree tree);

 private:
    void add_intake(const services::HttpParts& parts, const Config& config);
    void store_failed(const Error& error);
    Task<> renew(crypto::PublicKey key);
    Task<> drop(crypto::PublicKey key);

    framework::ServiceHost& host_;
    services::ServiceStore& store_;
    services::HttpSurface& surface_;
    std::string public_udp_addr_;
    services::RequestAuth auth_;
    Bindings bindings_;
    Sudph sudph_;
    Routes routes_;
    services::Owners owners_;
    BindingsContent content_;
    /// Null where nothing is published.
    std::unique_ptr<services::FeedHost> feed_;
    VisorBindings visor_bindings_;
    /// Null where visors cannot publish their bindings.
    std::unique_ptr<services::FeedIntake> intake_;
};

}  // namespace skywire::resolver
