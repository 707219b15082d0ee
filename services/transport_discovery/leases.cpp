#include "services/transport_discovery/leases.hpp"

#include <utility>
#include <vector>

namespace skywire::tpd {

Leases::Leases(
    Transports& transports,
    Uptimes& uptimes,
    const MakeOwners& make_owners,
    OnStoreFailure on_store_failure
)
    : transports_(transports), uptimes_(uptimes), on_store_failure_(std::move(on_store_failure)) {
    services::Owners::Events events;
    events.alive = [this](const crypto::PublicKey& key) { return renew(key); };
    events.gone = [this](const crypto::PublicKey& key) { return gone(key); };
    owners_ = make_owners(std::move(events));
}

Task<Result<>> Leases::open() {
    co_return co_await owners_->open();
}

Task<> Leases::renew(crypto::PublicKey owner) {
    const auto renewed = co_await transports_.renew(owner);
    if (!renewed) on_store_failure_(renewed.error());
    std::vector<transport::TransportId> beating;
    for (const Record* record : transports_.table().of_edge(EdgeKey(owner)))
        if (record->held && has_heartbeats(record->entry.type)) beating.push_back(record->entry.id);
    const auto marked = co_await uptimes_.transports_seen(std::move(beating), owner);
    if (!marked) on_store_failure_(marked.error());
}

Task<> Leases::gone(crypto::PublicKey owner) {
    const auto removed = co_await transports_.owner_gone(owner);
    if (!removed) on_store_failure_(removed.error());
}

}  // namespace skywire::tpd
