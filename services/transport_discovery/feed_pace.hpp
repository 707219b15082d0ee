#pragma once

#include "base/bytes.hpp"
#include "crypto/hash.hpp"
#include "net/context.hpp"

#include <chrono>
#include <cstddef>
#include <string_view>

/// What keeps large leaves of feeds from costing more than they are worth: subscribers are sent all
/// of one whenever a part of it changes.
namespace skywire::tpd {

/// Of a leaf that follows figures which change all the time.
struct LeafCost {
    /// What making it took.
    Duration time{0};
    std::size_t bytes = 0;
};

inline constexpr Duration kLeafRestMin = std::chrono::seconds(2);

/// How long such a leaf rests: twenty times what making it took and a second for each 64 KiB, at
/// least kLeafRestMin and at most `longest`.
Duration rest_after(const LeafCost& cost, Duration longest);

/// Others have their turn meanwhile. `text` lives until it is done.
Task<crypto::Digest> digest_of(net::Context context, std::string_view text);

}  // namespace skywire::tpd
