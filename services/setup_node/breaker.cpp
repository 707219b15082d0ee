#include "services/setup_node/breaker.hpp"

#include <algorithm>

namespace skywire::setup_node {

bool Breakers::open(const crypto::PublicKey& destination, SteadyTime now) const {
    const auto found = states_.find(destination);
    return found != states_.end() && now < found->second.open_until;
}

void Breakers::failed(const crypto::PublicKey& destination, SteadyTime now) {
    if (!states_.contains(destination)) make_room();
    State& state = states_[destination];
    while (!state.failures.empty() && state.failures.front() + options_.within <= now)
        state.failures.pop_front();
    // What it has been through counts until it has been left to itself and was quiet for a while.
    if (now >= state.open_until + options_.within) state.next_open = Duration(0);
    state.failures.push_back(now);
    const bool once_more = state.next_open > Duration(0) && now >= state.open_until;
    if (!once_more && state.failures.size() < options_.failures) return;
    if (now < state.open_until) return;
    const Duration lasts = std::max(state.next_open, options_.open_min);
    state.open_until = now + lasts;
    state.next_open = std::min(lasts * 2, options_.open_max);
    while (state.failures.size() > options_.failures)
        state.failures.pop_front();
}

void Breakers::make_room() {
    if (states_.size() < options_.destinations_max) return;
    const auto oldest =
        std::min_element(states_.begin(), states_.end(), [](const auto& a, const auto& b) {
            return a.second.failures.back() < b.second.failures.back();
        });
    states_.erase(oldest);
}

}  // namespace skywire::setup_node
