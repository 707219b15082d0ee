#pragma once

#include "base/metrics.hpp"
#include "http/router.hpp"
#include "services/address_resolver/bindings.hpp"
#include "services/address_resolver/sudph.hpp"
#include "services/common/request_auth.hpp"

#include <functional>
#include <map>
#include <string_view>

namespace skywire::resolver {

/// The HTTP side of the address-resolver: spec/services-http.md section 6.1. Used on one event
/// loop.
///
/// Counts address_resolver_binds_total, _unbinds_total, _resolves_total and _deregistrations_total
/// by outcome.
class Routes {
 public:
    using OnStoreFailure = std::function<void(const Error&)>;

    /// All outlive the routes.
    Routes(
        Metrics& metrics,
        Bindings& bindings,
        Sudph& sudph,
        services::RequestAuth& auth,
        OnStoreFailure on_store_failure
    );

    /// Hangs all routes but /health and /security/nonces on a router. The routes outlive it.
    void add_to(http::Router& router);

 private:
    /// A counter per outcome; all begin at 0.
    class Outcomes {
     public:
        Outcomes(
            Metrics& metrics,
            std::string_view name,
            std::string_view help,
            std::initializer_list<std::string_view> outcomes
        );
        void add(std::string_view outcome);

     private:
        std::map<std::string_view, Counter*> counters_;
    };

    Task<http::Response> bind(http::Request& request, Type type, crypto::PublicKey caller);
    Task<http::Response> unbind(Type type, crypto::PublicKey caller);
    Task<http::Response> resolve(http::Request& request, crypto::PublicKey caller);
    Task<http::Response> transports();
    Task<http::Response> sessions();
    Task<http::Response> deregister(http::Request& request);
    Task<Result<std::vector<crypto::PublicKey>>> list(Type type);
    http::Response failed(Outcomes& outcomes, const Error& error);

    Bindings& bindings_;
    Sudph& sudph_;
    services::RequestAuth& auth_;
    OnStoreFailure on_store_failure_;
    Outcomes binds_;
    Outcomes unbinds_;
    Outcomes resolves_;
    Outcomes deregistrations_;
};

}  // namespace skywire::resolver
