#include "framework/load.hpp"

#include <boost/asio/ip/address.hpp>

namespace skywire::framework::detail {

namespace {

/// A port with the block that binds it.
struct Bound {
    std::string_view label;
    PortUse use;
    Position position;
};

std::string_view transport_name(PortUse::Transport transport) noexcept {
    switch (transport) {
        case PortUse::Transport::tcp:
            return "tcp";
        case PortUse::Transport::udp:
            return "udp";
    }
    return "tcp";
}

/// Where a key of a block stands; the block itself for facts that no key says.
Position position_of(const BlockConfig& config, std::string_view key) {
    return config.block->knows(key) ? config.block->position(key) : config.position;
}

/// A host in one form: "localhost" as what it stands for, v4 in v6 as v4; names stay names.
struct Host {
    std::optional<boost::asio::ip::address> ip;
    std::string name;
    bool every = false;
};

Host host_of(std::string_view text) {
    Host host;
    host.name = trimmed_lower(text);
    if (host.name.empty()) {
        host.every = true;
        return host;
    }
    boost::system::error_code ec;
    auto ip = boost::asio::ip::make_address(host.name == "localhost" ? "127.0.0.1" : host.name, ec);
    if (ec) return host;
    if (ip.is_v6() && ip.to_v6().is_v4_mapped()) {
        ip = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, ip.to_v6());
    }
    host.ip = ip;
    // Bound without IPV6_V6ONLY, [::] takes the v4 addresses too.
    host.every = ip.is_unspecified() && ip.is_v6();
    return host;
}

bool hosts_overlap(std::string_view a, std::string_view b) {
    const Host first = host_of(a);
    const Host second = host_of(b);
    if (first.every || second.every) return true;
    if (!first.ip || !second.ip) return first.name == second.name;
    if (first.ip->is_v4() != second.ip->is_v4()) return false;
    return first.ip->is_unspecified() || second.ip->is_unspecified() || *first.ip == *second.ip;
}

bool is_loopback(std::string_view text) {
    const Host host = host_of(text);
    return host.ip && host.ip->is_loopback();
}

bool same_port(const PortUse& a, const PortUse& b) {
    using Kind = net::Address::Kind;
    if (a.address.kind != b.address.kind) return false;
    if (a.address.kind == Kind::unix_socket) return a.address.path == b.address.path;
    if (a.transport != b.transport || a.address.port == 0) return false;
    return a.address.port == b.address.port && hosts_overlap(a.address.host, b.address.host);
}

std::string shown(const PortUse& use) {
    if (use.address.kind == net::Address::Kind::unix_socket) return use.address.to_string();
    return fmt::format("{} {}", transport_name(use.transport), use.address.to_string());
}

std::vector<Bound> all_ports(
    const std::vector<BlockConfig>& blocks,
    const SupervisorConfig& supervisor,
    Position admin_position
) {
    std::vector<Bound> bound;
    if (supervisor.admin_addr) {
        bound.push_back(
            {"supervisor",
             {PortUse::Transport::tcp, *supervisor.admin_addr, "admin_addr"},
             admin_position}
        );
    }
    for (const BlockConfig& config : blocks) {
        if (config.block == nullptr) continue;
        for (const PortUse& use : config.facts.ports) {
            bound.push_back({config.label, use, position_of(config, use.key)});
        }
    }
    sort_by_position(bound);
    return bound;
}

void check_ports(const std::vector<Bound>& bound, Problems& problems) {
    for (std::size_t later = 1; later < bound.size(); ++later) {
        for (std::size_t earlier = 0; earlier < later; ++earlier) {
            const Bound& a = bound[earlier];
            const Bound& b = bound[later];
            if (!same_port(a.use, b.use)) continue;
            Reporter(std::string(b.label), problems)
                .error(
                    "clash",
                    b.position,
                    fmt::format(
                        "\"{}\" binds {}, and so does \"{}\" of {} with {}",
                        b.use.key,
                        shown(b.use),
                        a.use.key,
                        a.label,
                        shown(a.use)
                    ),
                    "",
                    a.position
                );
            break;
        }
    }
}

Position key_position(const BlockConfig& config) {
    for (const std::string_view key : {"secret_key", "public_key", "keyfile"}) {
        if (config.block->knows(key) && config.block->has(key)) return config.block->position(key);
    }
    return config.position;
}

/// One thing that only one block may have: remembers who was first.
class Owners {
 public:
    /// The block that has `thing` already, else null and it is `config`'s from now on.
    const BlockConfig* claim(const std::string& thing, const BlockConfig& config) {
        const auto [owner, first] = owners_.emplace(thing, &config);
        return first ? nullptr : owner->second;
    }

 private:
    std::map<std::string, const BlockConfig*> owners_;
};

void check_identities(const std::vector<BlockConfig>& blocks, Problems& problems) {
    Owners keys;
    Owners files;
    Owners prefixes;
    for (const BlockConfig& config : blocks) {
        if (config.block == nullptr) continue;
        const Block& block = *config.block;
        Reporter reporter(config.label, problems);
        if (config.facts.public_key && !config.facts.public_key->is_null()) {
            const std::string key = config.facts.public_key->to_text();
            if (const auto* owner = keys.claim(key, config)) {
                reporter.error(
                    "clash",
                    key_position(config),
                    fmt::format("has the key of {}: {}", owner->label, key),
                    "",
                    key_position(*owner)
                );
            }
        } else if (block.has("keyfile")) {
            const std::string path = block.text("keyfile");
            if (const auto* owner = files.claim(path, config)) {
                reporter.error(
                    "clash",
                    block.position("keyfile"),
                    fmt::format(
                        "\"keyfile\" is that of {}: {}", owner->label, quote_peer_text(path)
                    ),
                    "",
                    owner->block->position("keyfile")
                );
            }
        }
        if (!block.has("prefix")) continue;
        std::string prefix = block.text("prefix");
        prefix.erase(0, std::min(prefix.find_first_not_of('/'), prefix.size()));
        while (prefix.ends_with('/'))
            prefix.pop_back();
        if (const auto* owner = prefixes.claim(prefix, config)) {
            reporter.error(
                "clash",
                block.position("prefix"),
                fmt::format(
                    "\"prefix\" {} is that of {}", quote_peer_text("/" + prefix), owner->label
                ),
                "",
                owner->block->position("prefix")
            );
        }
    }
}

void check_databases(const std::vector<BlockConfig>& blocks, Problems& problems) {
    std::map<std::string, std::vector<const BlockConfig*>> users;
    for (const BlockConfig& config : blocks) {
        if (config.block == nullptr || !config.facts.database) continue;
        const DatabaseUse& use = *config.facts.database;
        auto& earlier = users[use.database];
        const BlockConfig* twin = nullptr;
        const BlockConfig* stranger = nullptr;
        for (const BlockConfig* other : earlier) {
            const std::string& role = other->facts.database->role;
            if (other->type == config.type && twin == nullptr) twin = other;
            const bool shares = !use.role.empty() && role == use.role;
            if (!shares && stranger == nullptr) stranger = other;
        }
        Reporter reporter(config.label, problems);
        if (twin != nullptr) {
            reporter.error(
                "clash",
                position_of(config, use.key),
                fmt::format(
                    "uses the database of {}, which is of the same type: {}",
                    twin->label,
                    use.database
                ),
                "",
                position_of(*twin, twin->facts.database->key)
            );
        } else if (stranger != nullptr) {
            reporter.warning(
                "clash",
                position_of(config, use.key),
                fmt::format("shares the database {} with {}", use.database, stranger->label),
                "",
                position_of(*stranger, stranger->facts.database->key)
            );
        }
        earlier.push_back(&config);
    }
}

void warn_about_test_keys(const std::vector<BlockConfig>& blocks, Problems& problems) {
    for (const BlockConfig& config : blocks) {
        if (config.block == nullptr || !config.facts.public_key) continue;
        const std::string_view owner = public_test_key(*config.facts.public_key);
        if (owner.empty()) continue;
        for (const PortUse& use : config.facts.ports) {
            if (use.address.kind == net::Address::Kind::unix_socket) continue;
            if (is_loopback(use.address.host)) continue;
            Reporter(config.label, problems)
                .warning(
                    "test-key",
                    key_position(config),
                    fmt::format(
                        "has the published test key of {}, whose secret everybody knows, and "
                        "listens "
                        "beyond loopback: {}",
                        owner,
                        shown(use)
                    ),
                    "",
                    position_of(config, use.key)
                );
            break;
        }
    }
}

/// Calls `visit(path, value)` for each URL of an object and the objects in it.
template <class Visit>
void each_url(
    const ConfigValue& object, const FieldTable& table, const std::string& path, const Visit& visit
) {
    for (const Field& field : table) {
        const auto* member = find_member(object, table, field);
        if (member == nullptr) continue;
        const std::string name = path + std::string(field.name);
        const bool many = field.kind == FieldKind::list || field.kind == FieldKind::one_or_list;
        const FieldKind kind = many ? field.element : field.kind;
        std::vector<const ConfigValue*> values{&member->value};
        if (member->value.kind == ConfigValue::Kind::array) {
            values.clear();
            for (const ConfigValue& element : member->value.elements)
                values.push_back(&element);
        }
        for (const ConfigValue* value : values) {
            if (kind == FieldKind::url) visit(name, *value);
            if (kind == FieldKind::object) each_url(*value, field.members, name + ".", visit);
        }
    }
}

bool somebody_listens(const std::vector<Bound>& bound, std::string_view host, std::uint16_t port) {
    return std::any_of(bound.begin(), bound.end(), [&](const Bound& other) {
        return other.use.transport == PortUse::Transport::tcp &&
               other.use.address.kind == net::Address::Kind::tcp &&
               other.use.address.port == port && hosts_overlap(other.use.address.host, host);
    });
}

/// http://127.0.0.1:PORT where no block of this file listens is a slip more often than another
/// process.
void warn_about_urls(
    const std::vector<BlockConfig>& blocks, const std::vector<Bound>& bound, Problems& problems
) {
    const auto check = [&](Reporter& reporter, const std::string& path, const ConfigValue& value) {
        const auto url = split_url(value.text);
        if (!url || url->scheme != "http") return;
        const std::string& host = url->host;
        const std::uint16_t port = url->port.value_or(80);
        if (!is_loopback(host) || port == 0 || somebody_listens(bound, host, port)) return;
        reporter.warning(
            "nobody-listens",
            value.position,
            fmt::format(
                "\"{}\" points at {}:{}, where no block of this file listens", path, host, port
            )
        );
    };
    for (const BlockConfig& config : blocks) {
        Reporter reporter(config.label, problems);
        each_url(
            config.block->value(),
            config.type->fields,
            "",
            [&](const std::string& path, const ConfigValue& value) { check(reporter, path, value); }
        );
    }
}

}  // namespace

void check_clashes(
    const std::vector<BlockConfig>& blocks,
    const SupervisorConfig& supervisor,
    Position admin_position,
    Problems& problems
) {
    const std::vector<Bound> bound = all_ports(blocks, supervisor, admin_position);
    check_ports(bound, problems);
    check_identities(blocks, problems);
    check_databases(blocks, problems);
    warn_about_test_keys(blocks, problems);
    const bool complete = std::all_of(blocks.begin(), blocks.end(), [](const BlockConfig& config) {
        return config.block != nullptr;
    });
    // A port that the system chooses may be the one meant.
    const bool fixed = std::none_of(bound.begin(), bound.end(), [](const Bound& one) {
        return one.use.address.kind == net::Address::Kind::tcp && one.use.address.port == 0;
    });
    if (complete && fixed) warn_about_urls(blocks, bound, problems);
}

}  // namespace skywire::framework::detail
