#include "services/address_resolver/resumption.hpp"

namespace skywire::resolver {

Task<Result<>> Resumption::load() {
    loading_ = true;
    loaded_ = clock_.now();
    auto sessions = co_await bindings_.sessions(sessions_max_);
    loading_ = false;
    if (!sessions) co_return sessions.error();
    held_.clear();
    for (auto& [key, session] : *sessions)
        held_.insert_or_assign({std::move(session.from), session.conversation}, key);
    co_return Result<>();
}

bool Resumption::holds(const net::Address& from, std::uint32_t conversation) const {
    return held_.contains({from, conversation});
}

void Resumption::hold(net::Address from, std::uint32_t conversation, const crypto::PublicKey& key) {
    if (held_.size() >= sessions_max_) return;
    held_.insert_or_assign({std::move(from), conversation}, key);
}

bool Resumption::outdated() const {
    const bool due = clock_.now() - loaded_ >= kResumptionReadInterval;
    return bindings_.shared() && due && !loading_;
}

Task<Result<std::optional<Resumption::Found>>> Resumption::take(
    net::Address from, std::uint32_t conversation
) {
    const auto held = held_.find({from, conversation});
    if (held == held_.end()) co_return std::optional<Found>();
    const crypto::PublicKey key = held->second;
    auto stored = co_await bindings_.session(key);
    // The visor tries again.
    if (!stored) co_return stored.error();
    held_.erase({from, conversation});
    std::optional<KeptSession>& session = *stored;
    if (!session || session->from != from || session->conversation != conversation)
        co_return std::optional<Found>();
    Found found;
    found.key = key;
    found.binding = std::move(session->binding);
    co_return std::optional<Found>(std::move(found));
}

}  // namespace skywire::resolver
