#include "dmsg/admission.hpp"

#include <algorithm>

#include <boost/asio/ip/address.hpp>

namespace skywire::dmsg::detail {
namespace {

namespace ip = boost::asio::ip;

// What is remembered of those who have gone.
constexpr std::size_t kRememberedMax = 65'536;

/// By what an address is counted: v4 whole, v6 by its /64, which is what one customer has. Empty
/// for what is no IP.
std::string counted_as(const net::Address& address) {
    boost::system::error_code ec;
    const ip::address parsed = ip::make_address(address.host, ec);
    if (ec) return {};
    if (parsed.is_v4()) {
        const auto bytes = parsed.to_v4().to_bytes();
        return {bytes.begin(), bytes.end()};
    }
    const auto bytes = parsed.to_v6().to_bytes();
    return {bytes.begin(), bytes.begin() + 8};
}

}  // namespace

std::string_view refusal_name(Refusal refusal) noexcept {
    switch (refusal) {
        case Refusal::none:
            return "none";
        case Refusal::handshakes:
            return "handshakes";
        case Refusal::handshakes_of_ip:
            return "handshakes_of_ip";
        case Refusal::sessions_of_ip:
            return "sessions_of_ip";
        case Refusal::rate_of_ip:
            return "rate_of_ip";
        case Refusal::rate_of_key:
            return "rate_of_key";
        case Refusal::sessions:
            return "sessions";
    }
    return "unknown";
}

Admission::Place& Admission::Place::operator=(Place&& other) noexcept {
    if (this == &other) return *this;
    release();
    admission_ = std::exchange(other.admission_, nullptr);
    address_ = std::move(other.address_);
    has_address_ = std::exchange(other.has_address_, false);
    handshake_ = std::exchange(other.handshake_, false);
    session_ = std::exchange(other.session_, false);
    return *this;
}

void Admission::Place::release() noexcept {
    if (admission_ != nullptr) std::exchange(admission_, nullptr)->release(*this);
}

void Admission::release(Place& place) noexcept {
    const std::scoped_lock lock(mutex_);
    if (place.session_) --sessions_;
    if (place.handshake_) --handshakes_;
    if (!place.has_address_) return;
    const auto found = addresses_.find(place.address_);
    if (found == addresses_.end()) return;
    --found->second.connections;
    if (place.handshake_) --found->second.handshakes;
    if (found->second.connections == 0 && limits_.new_sessions_per_ip_per_minute == 0)
        addresses_.erase(found);
}

bool Admission::take(Bucket& bucket, std::size_t per_minute, SteadyTime now) {
    if (per_minute == 0) return true;
    const auto full = static_cast<double>(per_minute);
    if (bucket.tokens < 0) {
        bucket.tokens = full;
    } else {
        const std::chrono::duration<double, std::ratio<60>> passed = now - bucket.at;
        bucket.tokens = std::min(full, bucket.tokens + passed.count() * full);
    }
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
}

/// Forgets those that are idle and whose bucket has had the time to fill; where that does not help,
/// all that are idle.
template <class Map, class Idle>
void Admission::bound(Map& map, std::size_t per_minute, SteadyTime now, Idle idle) {
    if (map.size() < kRememberedMax) return;
    std::erase_if(map, [&](const auto& entry) {
        const Bucket* bucket = idle(entry.second);
        return bucket != nullptr &&
               (per_minute == 0 || now - bucket->at >= std::chrono::minutes(1));
    });
    if (map.size() < kRememberedMax / 2) return;
    std::erase_if(map, [&](const auto& entry) { return idle(entry.second) != nullptr; });
}

Refusal Admission::connected(Place& place) {
    const std::scoped_lock lock(mutex_);
    if (handshakes_ >= limits_.handshakes_max) return Refusal::handshakes;
    ++handshakes_;
    place.admission_ = this;
    place.handshake_ = true;
    return Refusal::none;
}

Refusal Admission::addressed(Place& place, const net::Address& address, SteadyTime now) {
    std::string counted = counted_as(address);
    if (counted.empty()) return Refusal::none;
    const std::scoped_lock lock(mutex_);
    bound(addresses_, limits_.new_sessions_per_ip_per_minute, now, [](const PerAddress& entry) {
        return entry.connections == 0 ? &entry.bucket : nullptr;
    });
    PerAddress& entry = addresses_[counted];
    if (limits_.sessions_per_ip_max != 0 && entry.connections >= limits_.sessions_per_ip_max)
        return Refusal::sessions_of_ip;
    if (entry.handshakes >= limits_.handshakes_per_ip_max) return Refusal::handshakes_of_ip;
    if (!take(entry.bucket, limits_.new_sessions_per_ip_per_minute, now))
        return Refusal::rate_of_ip;
    ++entry.connections;
    ++entry.handshakes;
    place.address_ = std::move(counted);
    place.has_address_ = true;
    return Refusal::none;
}

Refusal Admission::authenticated(
    Place& place, const crypto::PublicKey& key, bool replaces, SteadyTime now
) {
    const std::scoped_lock lock(mutex_);
    if (place.handshake_) {
        place.handshake_ = false;
        --handshakes_;
        if (place.has_address_) --addresses_[place.address_].handshakes;
    }
    bound(keys_, limits_.new_sessions_per_key_per_minute, now, [](const Bucket& bucket) {
        return &bucket;
    });
    if (limits_.new_sessions_per_key_per_minute != 0 &&
        !take(keys_[key], limits_.new_sessions_per_key_per_minute, now))
        return Refusal::rate_of_key;
    if (!replaces && sessions_ >= limits_.sessions_max) return Refusal::sessions;
    ++sessions_;
    place.session_ = true;
    place.admission_ = this;
    return Refusal::none;
}

std::size_t Admission::sessions() const {
    const std::scoped_lock lock(mutex_);
    return sessions_;
}

std::size_t Admission::available() const {
    const std::size_t taken = sessions();
    return taken < limits_.sessions_max ? limits_.sessions_max - taken : 0;
}

std::size_t Admission::handshakes() const {
    const std::scoped_lock lock(mutex_);
    return handshakes_;
}

}  // namespace skywire::dmsg::detail
