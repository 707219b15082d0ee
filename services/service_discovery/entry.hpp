#pragma once

#include "base/result.hpp"
#include "crypto/keys.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What is registered: a service of a visor, found by its type. spec/services-http.md section 5.1.
namespace skywire::service_discovery {

/// Where a visor is, in degrees; members that are zero or empty are not written.
struct Geo {
    double latitude = 0;
    double longitude = 0;
    std::string country;
    std::string region;

    bool operator==(const Geo&) const = default;
};

/// Echoed to who posts it, and never kept.
struct Info {
    double latency = 0;
    double uptime = 0;
    std::int64_t connections = 0;
};

struct Entry {
    /// `address` is "KEY:PORT"; a key alone has port 0.
    crypto::PublicKey key;
    std::uint16_t port = 0;
    /// Free text: "vpn", "skysocks" and "visor" are known.
    std::string type;
    std::optional<Geo> geo;
    bool display_node_ip = false;
    std::string version;
    std::vector<std::string> local_ips;
    std::optional<Info> info;
};

/// An entry with what the store keeps beside it.
struct StoredEntry {
    Entry entry;
    /// It lives as long as its owner, not for a time.
    bool held = false;
    /// When it ends, in milliseconds of the Unix time; 0: not known (another service wrote it).
    std::int64_t expires_ms = 0;
};

/// "KEY:PORT" or "KEY" alone, which has port 0.
struct ServiceAddress {
    crypto::PublicKey key;
    std::uint16_t port = 0;

    /// crypto's errors for the key, errc::malformed for the port.
    static Result<ServiceAddress> parse(std::string_view text);
};

/// Reads the body of a POST: members in any letter case, the last of two wins, unknown ones are
/// refused, bytes behind the first value are ignored. errc::malformed.
Result<Entry> parse_posted(std::string_view body);

/// Who reads the JSON text of an entry.
enum class Reader {
    /// Who posted it: as it was understood, with the geo that was filled in.
    poster,
    /// Who asks for it by its key: all that is kept; an unknown place reads `{}`.
    one,
    /// Who asks for a list: addresses of the visor's own network only where it wants them shown.
    list,
};

void append_entry(std::string& out, const Entry& entry, Reader reader);

/// The form in the store: the existing network's, with `"held":true` or `"expires":MILLISECONDS`
/// behind it, which other readers ignore.
std::string to_stored(const StoredEntry& stored);

/// The reverse; members that are not known are ignored. errc::malformed.
Result<StoredEntry> parse_stored(std::string_view text);

}  // namespace skywire::service_discovery
