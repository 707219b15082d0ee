#include "services/transport_discovery/feed_pace.hpp"

#include <algorithm>

#include <boost/asio/post.hpp>

namespace skywire::tpd {
namespace {

/// Of the time between two versions, the part that making one may take.
constexpr int kCostShare = 20;
/// What subscribers are sent in a second, on average.
constexpr std::size_t kBytesOfASecond = std::size_t{64} << 10;
/// Bytes that are hashed between two turns of others.
constexpr std::size_t kBytesOfATurn = std::size_t{1} << 20;

}  // namespace

Duration rest_after(const LeafCost& cost, Duration longest) {
    const Duration for_size = std::chrono::seconds(cost.bytes / kBytesOfASecond);
    return std::clamp(std::max<Duration>(kCostShare * cost.time, for_size), kLeafRestMin, longest);
}

Task<crypto::Digest> digest_of(net::Context context, std::string_view text) {
    crypto::Sha256 hash;
    for (std::size_t from = 0; from < text.size(); from += kBytesOfATurn) {
        if (from > 0) co_await asio::post(context.loop, asio::use_awaitable);
        hash.update(as_bytes(text.substr(from, kBytesOfATurn)));
    }
    co_return hash.finish();
}

}  // namespace skywire::tpd
