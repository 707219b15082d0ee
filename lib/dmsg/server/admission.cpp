#include "dmsg/server/admission.hpp"

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
    connection_ = std::exchange(other.connection_, false);
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
    end_handshake(place);
    forget_address(place);
}

/// False where its address has as many as it may have; it is counted under none then.
bool Admission::take_handshake(Place& place, std::string counted) {
    if (counted.empty()) return true;
    PerAddress& entry = addresses_[counted];
    if (entry.handshakes >= limits_.handshakes_per_ip_max) return false;
    ++entry.handshakes;
    place.address_ = std::move(counted);
    return true;
}

void Admission::end_handshake(Place& place) noexcept {
    if (!std::exchange(place.handshake_, false)) return;
    --handshakes_;
    if (!place.address_.empty()) --addresses_.find(place.address_)->second.handshakes;
}

/// Its handshake has ended, or counts elsewhere from now on.
void Admission::forget_address(Place& place) noexcept {
    if (place.address_.empty()) return;
    const auto found = addresses_.find(place.address_);
    place.address_.clear();
    PerAddress& entry = found->second;
    if (std::exchange(place.connection_, false)) --entry.connections;
    const bool idle = entry.connections + entry.handshakes == 0;
    // A bucket that was never used, or is not, says nothing.
    if (idle && (entry.bucket.tokens < 0 || limits_.new_sessions_per_ip_per_minute == 0))
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

Refusal Admission::connected(Place& place, const net::Address& from) {
    std::string counted = counted_as(from);
    const std::scoped_lock lock(mutex_);
    if (handshakes_ >= limits_.handshakes_max) return Refusal::handshakes;
    if (!take_handshake(place, std::move(counted))) return Refusal::handshakes_of_ip;
    ++handshakes_;
    place.admission_ = this;
    place.handshake_ = true;
    return Refusal::none;
}

Refusal Admission::addressed(Place& place, const net::Address& address, SteadyTime now) {
    std::string counted = counted_as(address);
    const std::scoped_lock lock(mutex_);
    if (counted != place.address_) {
        if (!place.address_.empty()) --addresses_.find(place.address_)->second.handshakes;
        forget_address(place);
        if (!take_handshake(place, counted)) return Refusal::handshakes_of_ip;
    }
    if (counted.empty()) return Refusal::none;
    bound(addresses_, limits_.new_sessions_per_ip_per_minute, now, [](const PerAddress& entry) {
        return entry.connections + entry.handshakes == 0 ? &entry.bucket : nullptr;
    });
    PerAddress& entry = addresses_.find(counted)->second;
    if (limits_.sessions_per_ip_max != 0 && entry.connections >= limits_.sessions_per_ip_max)
        return Refusal::sessions_of_ip;
    if (!take(entry.bucket, limits_.new_sessions_per_ip_per_minute, now))
        return Refusal::rate_of_ip;
    ++entry.connections;
    place.connection_ = true;
    return Refusal::none;
}

Refusal Admission::authenticated(
    Place& place, const crypto::PublicKey& key, bool replaces, SteadyTime now
) {
    const std::scoped_lock lock(mutex_);
    end_handshake(place);
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
