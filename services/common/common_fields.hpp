#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"
#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "http/real_ip.hpp"
#include "net/address.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The keys that all HTTP services share: spec/framework.md sections 3.1 and 3.2, and our own
/// `trusted_proxies`.
namespace skywire::services {

/// What differs between the types; JSON texts that live as long as the program.
struct CommonDefaults {
    /// "\":9090\""
    std::string_view addr_json;
    /// "\"5m\""
    std::string_view entry_timeout_json;
};

/// The table of section 3.1. `keyfile` and `log_level` are the framework's own.
framework::FieldTable common_fields(const CommonDefaults& defaults);

/// The `dmsg` object of section 3.2.
framework::Field dmsg_client_field();

/// A list of dmsg-server entries in the shape that configurations use.
framework::Field server_entries_field(std::string_view name, std::string_view description);

/// Our own key `whitelist_keys`: who may deregister, as header NM-PK names them.
framework::Field whitelist_field(std::string_view description);

/// The texts that NM-PK is compared with; keys of zeros are left out.
std::vector<std::string> whitelist_of(const framework::Block& block);

/// Our own key `held_timeout`, a day unless it is set: how long a record that nobody renews is
/// kept.
framework::Field held_timeout_field(std::string_view description);

/// `metrics_addr`.
framework::Field metrics_addr_field();

/// `health_addr`: where others find a block that listens on every interface, as in a container.
framework::Field health_addr_field();

/// What `health_addr` says, else `own`.
std::optional<net::Address> health_address_for_others(
    const framework::Block& block, std::optional<net::Address> own
);

/// `config_path`: a file whose members stand in the block.
framework::Field block_file_field();

/// A key of an older vintage that does nothing; `why` as framework::Field::legacy has it.
framework::Field legacy_field(
    std::string_view name, framework::FieldKind kind, std::string_view why
);

/// Those that several types have: `tag`, `pprof_mode`, `pprof_addr` and `charts_addr`.
framework::Field tag_field();
framework::Field pprof_mode_field();
framework::Field pprof_addr_field();
framework::Field charts_field();

/// Which listeners a service opens.
enum class Mode { http, dmsg, dual };

std::string_view mode_name(Mode mode) noexcept;

/// What `mode` of a checked block comes to: SKYWIRE_SVC_MODE first, then the key, then dual with a
/// secret key and http without one.
Mode mode_of(const framework::Block& block);

/// The common keys, decoded.
struct CommonConfig {
    /// Null where the block has no identity.
    crypto::PublicKey public_key;
    std::optional<crypto::SecretKey> secret_key;
    Mode mode = Mode::http;
    net::Address addr;
    std::optional<net::Address> metrics_addr;
    /// Zero: the service's own default.
    Duration entry_timeout{0};
    bool testing = false;
    http::TrustedProxies trusted_proxies;
};

/// The key of secret_key, else public_key; null where the block has neither.
crypto::PublicKey public_key_of_block(const framework::Block& block);

/// An identity is there; `what` is "a setup-node".
void check_identity(
    const framework::Block& block, std::string_view what, framework::Problems& problems
);

/// `dmsg` says where the discovery is; `why` is "a setup-node needs dmsg.discovery, where ...".
void check_discovery_given(
    const framework::Block& block, std::string_view why, framework::Problems& problems
);

/// Rules between the common keys: the keys match, `mode` (or SKYWIRE_SVC_MODE, which wins over it)
/// is one we know, the proxies parse. Warns about what is accepted and does nothing.
void check_common(const framework::Block& block, framework::Problems& problems);

/// Decodes a block that `check_common` has passed.
CommonConfig common_config(const framework::Block& block);

/// Ports, key, database and health address of a block with the common keys. `role` as in
/// framework::DatabaseUse.
framework::BlockFacts common_facts(const framework::Block& block, std::string_view role);

}  // namespace skywire::services
