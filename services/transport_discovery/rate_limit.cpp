#include "services/transport_discovery/rate_limit.hpp"

#include <algorithm>

namespace skywire::tpd {

bool RateLimit::take(std::string_view caller, SteadyTime now) {
    if (options_.per_minute == 0) return true;
    auto found = buckets_.find(std::string(caller));
    if (found == buckets_.end()) {
        if (buckets_.size() >= kBucketsMax) make_room(now);
        const Bucket full{static_cast<double>(options_.burst), now};
        found = buckets_.emplace(std::string(caller), full).first;
    }
    Bucket& bucket = found->second;
    const double minutes =
        std::chrono::duration<double, std::ratio<60>>(now - bucket.filled).count();
    const double grown = bucket.tokens + minutes * static_cast<double>(options_.per_minute);
    bucket.tokens = std::min(grown, static_cast<double>(options_.burst));
    bucket.filled = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
}

void RateLimit::make_room(SteadyTime now) {
    std::erase_if(buckets_, [&](const auto& each) { return now - each.second.filled >= kIdle; });
    if (buckets_.size() >= kBucketsMax) buckets_.clear();
}

}  // namespace skywire::tpd
