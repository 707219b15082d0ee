#include "dmsg/entry_rules.hpp"

#include <array>
#include <optional>
#include <string>

#include <arpa/inet.h>

namespace skywire::dmsg {
namespace {

/// The host of "host:port" or "[host]:port", as Go splits it; nothing where the text is neither.
std::optional<std::string_view> host_of(std::string_view address) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    if (address[0] == '[') {
        const std::size_t bracket = address.find(']');
        if (bracket == std::string_view::npos || bracket + 1 != colon) return std::nullopt;
        const std::string_view host = address.substr(1, bracket - 1);
        if (host.find('[') != std::string_view::npos) return std::nullopt;
        if (address.find_first_of("[]", colon) != std::string_view::npos) return std::nullopt;
        return host;
    }
    const std::string_view host = address.substr(0, colon);
    if (host.find(':') != std::string_view::npos) return std::nullopt;
    if (address.find_first_of("[]") != std::string_view::npos) return std::nullopt;
    return host;
}

bool is_loopback_literal(const std::string& host) {
    if (host.find('\0') != std::string::npos) return false;
    std::array<unsigned char, 4> v4;
    if (inet_pton(AF_INET, host.c_str(), v4.data()) == 1) return v4[0] == 127;
    std::array<unsigned char, 16> v6;
    if (inet_pton(AF_INET6, host.c_str(), v6.data()) != 1) return false;
    static constexpr std::array<unsigned char, 16> kLoopback{
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
    };
    static constexpr std::array<unsigned char, 12> kMapped{
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
    };
    const bool mapped = std::equal(kMapped.begin(), kMapped.end(), v6.begin());
    return v6 == kLoopback || (mapped && v6[12] == 127);
}

Result<> check_members(const Entry& entry) {
    if (entry.version.empty()) return Error(errc::no_version);
    if (entry.signature.empty()) return Error(errc::no_signature);
    if (entry.static_key.is_null()) return Error(errc::no_static_key);
    if (!entry.client && !entry.server) return Error(errc::no_role);
    if (entry.server && entry.server->address.empty()) return Error(errc::no_server_address);
    return {};
}

bool is_timely(const Entry& entry, WallTime now) {
    const auto at = [](WallTime time) { return time.time_since_epoch().count(); };
    return entry.timestamp >= at(now - kEntryAgeMax) && entry.timestamp <= at(now + kEntryAheadMax);
}

}  // namespace

bool is_loopback_address(std::string_view address) {
    const auto host = host_of(address);
    return host && (host->empty() || is_loopback_literal(std::string(*host)));
}

Result<> check_entry(const ReceivedEntry& received, const EntryRules& rules) {
    const Entry& entry = received.entry();
    if (!rules.test_mode && entry.server && is_loopback_address(entry.server->address)) {
        return Error(errc::loopback_address);
    }
    const auto members = check_members(entry);
    if (!members || rules.load_testing) return members;
    if (!entry.client && !is_timely(entry, rules.now)) return Error(errc::outdated_timestamp);
    return received.verify();
}

Result<> check_update(const Entry& stored, const Entry& next) {
    if (next.sequence <= stored.sequence) return Error(errc::wrong_sequence);
    if (next.timestamp < stored.timestamp) return Error(errc::older_timestamp);
    return {};
}

}  // namespace skywire::dmsg
