#include "services/service_discovery/registration.hpp"

#include <algorithm>

namespace skywire::service_discovery {
namespace {

constexpr std::size_t kEntryBytesMax = std::size_t{16} << 10;
constexpr std::size_t kTypeBytesMax = 128;

bool needs_version(std::string_view type) {
    return type == "vpn" || type == "skysocks";
}

}  // namespace

bool too_large(const Entry& entry) {
    if (entry.type.size() > kTypeBytesMax) return true;
    return to_stored({entry, false, 0}).size() > kEntryBytesMax;
}

std::optional<RegistrationRefusal> judge_registration(
    const Entry& entry, const crypto::PublicKey& caller, std::string_view ip
) {
    const bool is_visor = entry.type == "visor";
    if (is_visor && !entry.geo)
        return RegistrationRefusal{"no_place", 500, "failed to get visor data"};
    if (entry.key != caller) {
        return RegistrationRefusal{
            "other_key", 403, "using public key other than your own is forbidden"
        };
    }
    if (needs_version(entry.type) && entry.version.empty())
        return RegistrationRefusal{"no_version", 403, "visor version is too old"};
    const auto& ips = entry.local_ips;
    if (is_visor && std::find(ips.begin(), ips.end(), ip) == ips.end())
        return RegistrationRefusal{"unreachable", 403, "visor is unreachable"};
    return std::nullopt;
}

}  // namespace skywire::service_discovery
