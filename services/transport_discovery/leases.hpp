#pragma once

#include "services/common/owners.hpp"
#include "services/transport_discovery/transports.hpp"
#include "services/transport_discovery/uptimes.hpp"

#include <functional>
#include <memory>

namespace skywire::tpd {

/// Ties held transports to the life of their edges: spec/services-http.md section 13 item 3. Owners
/// tell who lives and who is gone; here it becomes renewed and removed records, and heartbeats.
class Leases {
 public:
    using MakeOwners =
        std::function<std::unique_ptr<services::Owners>(services::Owners::Events events)>;
    using OnStoreFailure = std::function<void(const Error&)>;

    /// `transports` and `uptimes` outlive it.
    Leases(
        Transports& transports,
        Uptimes& uptimes,
        const MakeOwners& make_owners,
        OnStoreFailure on_store_failure
    );

    /// Before the transports are read: each held one is counted for its edges from now on.
    Task<Result<>> open();

    /// Probing begins.
    void start() { owners_->start(); }

    /// An accepted request of this key.
    void seen(const crypto::PublicKey& key) { owners_->seen(key); }
    void set_records(const crypto::PublicKey& key, std::size_t count) {
        owners_->set_records(key, count);
    }

 private:
    Task<> renew(crypto::PublicKey owner);
    Task<> gone(crypto::PublicKey owner);

    Transports& transports_;
    Uptimes& uptimes_;
    OnStoreFailure on_store_failure_;
    std::unique_ptr<services::Owners> owners_;
};

}  // namespace skywire::tpd
