#pragma once

#include "base/json.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "crypto/keys.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

/// Key sets and deployment files for a new deployment: what `svc env` makes. No I/O.
namespace skywire::cli {

/// Where the services of an environment live.
enum class Form {
    /// All on loopback, data in memory: spec/e2e.md section 9.
    local,
    /// On every interface of one machine that others reach by one name.
    public_host,
    /// A container each, or all in one; they find one another by the types' names.
    docker,
};

/// Key pairs by what they are for: "transport-discovery", "visor-a".
using KeySet = std::map<std::string, crypto::KeyPair, std::less<>>;

/// Every name of a key set, in the order of the files.
const std::vector<std::string>& key_names();

KeySet new_keys(Random& random);
/// The public test keys of the reference (spec/e2e.md section 3): their secrets are known to
/// everybody.
KeySet e2e_keys();

struct EnvironmentOptions {
    Form form = Form::local;
    /// Name or address under which others reach a public_host.
    std::string host;
    /// "redis://host:6379": the services get its databases 0 to 3; empty: each keeps its own.
    std::string redis;
    /// Two of this machine, for the stun-server; empty: none but locally.
    std::vector<std::string> stun_ips;
};

/// The deployment file: blocks in the order of spec/e2e.md section 9.
json::object make_deployment(const EnvironmentOptions& options, const KeySet& keys);

/// The visors' keys: an array of {name, public_key, secret_key}.
json::array make_visors(const KeySet& keys);

/// With four blanks a level and a newline behind it.
std::string pretty(const json::value& value);

}  // namespace skywire::cli
