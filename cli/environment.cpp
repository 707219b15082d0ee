#include "cli/environment.hpp"

#include "net/address.hpp"

#include <array>

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::uint16_t kDiscoveryPort = 9090;
constexpr std::uint16_t kServerPort = 8081;
constexpr std::uint16_t kServerHealthPort = 8082;
constexpr std::uint16_t kTransportDiscoveryPort = 9091;
constexpr std::uint16_t kServiceDiscoveryPort = 9098;
constexpr std::uint16_t kResolverPort = 9093;
constexpr std::uint16_t kRouteFinderPort = 9092;
constexpr std::uint16_t kTransportSetupPort = 9088;
constexpr std::uint16_t kBootstrapperPort = 9082;
constexpr std::uint16_t kVisualizerPort = 8080;

struct TestKey {
    std::string_view name;
    std::string_view secret;
};

constexpr std::array<TestKey, 11> kTestKeys{{
    {"dmsg-discovery", "b3f6706cb72215d3873ef92cc0c6037a47fe651112b1685017d6347eed0fb714"},
    {"dmsg-server", "6eddf9399b14f29a60e6a652b321d082f9ed2f0172e02c9d9c1a2a22acf4bee3"},
    {"transport-discovery", "85789cd7efcdf35340c8f4cb3e15bccdff57efda49af5bcdddaae57374d25ab8"},
    {"service-discovery", "ccc3ae9993ed03bed80b1f9feb747d7c6ca3342a65c3923191b7527c2c00ef0f"},
    {"address-resolver", "1fa0a7b80438b8d31655b5c69efd57bcf931ac828438ff2925ab36e4abcc426a"},
    {"route-finder", "640905f9fd60d6bf1ee88519f61035765d65319d9f3bac6c5f2fc14ea5cf15ca"},
    {"setup-node", "8535d62ea3d19c8ce09e77ffe0f173c733e1798b23c84d9b72d2a70888c90a3b"},
    {"transport-setup", "40de503bd8dff2921ae2b070cc3104e5e700c84b481064f877ab0877f9320ace"},
    {"visor-a", "42bca4df2f3189b28872d40e6c61aacd5e85b8e91f8fea65780af27c142419e5"},
    {"visor-b", "da4f48916e99aa3de794bffe1b5ecd465335e38b55457a9f78b411eb8585e36f"},
    {"visor-c", "0e17cd505d81f998950e22864ae4692249124441bd9148b801f76f1595ac688f"},
}};

/// Makes the blocks of one environment.
class Blocks {
 public:
    Blocks(const EnvironmentOptions& options, const KeySet& keys)
        : options_(options), keys_(keys) {}

    json::array all() {
        json::array blocks{
            discovery(),
            server(),
            transport_discovery(),
            service_discovery(),
            address_resolver(),
            route_finder(),
            setup_node(),
            transport_setup(),
        };
        if (const auto ips = stun_ips(); ips.size() == 2) blocks.push_back(stun_server(ips));
        blocks.push_back(config_bootstrapper());
        blocks.push_back(network_visualizer());
        return blocks;
    }

 private:
    bool local() const noexcept { return options_.form == Form::local; }

    /// What a service listens on.
    std::string listen(std::uint16_t port) const {
        return local() ? fmt::format("127.0.0.1:{}", port) : fmt::format(":{}", port);
    }

    /// How services reach the one of this type.
    std::string near(std::string_view type, std::uint16_t port) const {
        if (options_.form == Form::docker) return fmt::format("{}:{}", type, port);
        return fmt::format("127.0.0.1:{}", port);
    }

    /// How everybody else does.
    std::string far(std::string_view type, std::uint16_t port) const {
        if (options_.form != Form::public_host) return near(type, port);
        return net::Address::tcp(options_.host, port).to_string();
    }

    std::string discovery_url() const { return "http://" + near("dmsg-discovery", kDiscoveryPort); }
    std::string transports_url() const {
        return "http://" + near("transport-discovery", kTransportDiscoveryPort);
    }

    json::object block(std::string_view type, std::string_view name) const {
        json::object made{{"type", type}, {"name", name}};
        if (const auto keys = keys_.find(type); keys != keys_.end()) {
            made["public_key"] = keys->second.public_key.to_text();
            made["secret_key"] = keys->second.secret_key.reveal_text();
        }
        return made;
    }

    /// In a container a service listens on every interface; others find it by its name.
    void tell_others(json::object& made, std::string_view type, std::uint16_t port) const {
        if (options_.form == Form::docker) made["health_addr"] = near(type, port);
    }

    json::object dmsg() const { return {{"discovery", discovery_url()}, {"sessions_count", 1}}; }

    /// What the discovery-type blocks have in common.
    json::object discovery_block(
        std::string_view type, std::string_view name, std::uint16_t port, int database
    ) const {
        json::object made = block(type, name);
        made["addr"] = listen(port);
        tell_others(made, type, port);
        made["mode"] = "dual";
        made["dmsg"] = dmsg();
        if (!options_.redis.empty() && database >= 0)
            made["redis"] = fmt::format("{}/{}", options_.redis, database);
        if (local()) made["testing"] = true;
        return made;
    }

    json::object discovery() const {
        return discovery_block("dmsg-discovery", "dmsgd", kDiscoveryPort, 0);
    }

    json::object server() const {
        json::object made = block("dmsg-server", "dmsgs");
        made["discovery"] = discovery_url();
        made["local_address"] = listen(kServerPort);
        made["public_address"] = far("dmsg-server", kServerPort);
        made["health_endpoint_address"] = listen(kServerHealthPort);
        tell_others(made, "dmsg-server", kServerHealthPort);
        made["max_sessions"] = 2048;
        return made;
    }

    json::object transport_discovery() const {
        json::object made =
            discovery_block("transport-discovery", "tpd", kTransportDiscoveryPort, 1);
        made["entry_timeout"] = "5m";
        return made;
    }

    json::object service_discovery() const {
        json::object made = discovery_block("service-discovery", "sd", kServiceDiscoveryPort, 2);
        made["entry_timeout"] = "5m";
        return made;
    }

    json::object address_resolver() const {
        json::object made = discovery_block("address-resolver", "ar", kResolverPort, 3);
        // Visors that are given the HTTP address look for UDP under the same number.
        made["udp_addr"] = listen(kResolverPort);
        made["public_udp_addr"] = far("address-resolver", kResolverPort);
        made["entry_timeout"] = "5m";
        return made;
    }

    json::object route_finder() const {
        json::object made = discovery_block("route-finder", "rf", kRouteFinderPort, 1);
        made["transport_discovery"] = transports_url();
        return made;
    }

    json::object setup_node() const {
        json::object made = block("setup-node", "sn");
        made["dmsg"] = dmsg();
        made["transport_discovery"] = transports_url();
        return made;
    }

    json::object transport_setup() const {
        json::object made = block("transport-setup", "tps");
        // It does what it is told by whoever reaches it.
        made["addr"] = options_.form == Form::docker
                           ? listen(kTransportSetupPort)
                           : fmt::format("127.0.0.1:{}", kTransportSetupPort);
        tell_others(made, "transport-setup", kTransportSetupPort);
        made["dmsg"] = dmsg();
        return made;
    }

    std::vector<std::string> stun_ips() const {
        if (!options_.stun_ips.empty() || !local()) return options_.stun_ips;
        return {"127.0.0.1", "127.0.0.2"};
    }

    static json::object stun_server(const std::vector<std::string>& ips) {
        return {
            {"type", "stun-server"},
            {"name", "stun"},
            {"primary_ip", ips[0]},
            {"secondary_ip", ips[1]},
            {"port", 3478},
            {"alt_port", 3479},
        };
    }

    /// Locally it takes the addresses of the blocks beside it.
    json::object config_bootstrapper() const {
        json::object made = discovery_block("config-bootstrapper", "conf", kBootstrapperPort, -1);
        if (local()) return made;
        const auto url = [&](std::string_view type, std::uint16_t port) {
            return "http://" + far(type, port);
        };
        made["dmsg_discovery"] = url("dmsg-discovery", kDiscoveryPort);
        made["transport_discovery"] = url("transport-discovery", kTransportDiscoveryPort);
        made["address_resolver"] = url("address-resolver", kResolverPort);
        made["route_finder"] = url("route-finder", kRouteFinderPort);
        made["service_discovery"] = url("service-discovery", kServiceDiscoveryPort);
        return made;
    }

    /// It finds the blocks beside it, and makes itself a key.
    json::object network_visualizer() const {
        json::object made = block("network-visualizer", "viz");
        // Whom else it is shown to is the operator's business; that of a container is its own.
        made["addr"] = options_.form == Form::docker ? listen(kVisualizerPort)
                                                     : fmt::format("127.0.0.1:{}", kVisualizerPort);
        tell_others(made, "network-visualizer", kVisualizerPort);
        made["dmsg"] = dmsg();
        return made;
    }

    const EnvironmentOptions& options_;
    const KeySet& keys_;
};

void append_pretty(std::string& out, const json::value& value, std::size_t level) {
    const std::string inner(4 * (level + 1), ' ');
    const std::string outer(4 * level, ' ');
    if (value.is_object() && !value.get_object().empty()) {
        out += "{\n";
        bool first = true;
        for (const auto& [name, member] : value.get_object()) {
            out += first ? "" : ",\n";
            out += inner;
            append_json_string(out, std::string_view(name), JsonEscape::plain);
            out += ": ";
            append_pretty(out, member, level + 1);
            first = false;
        }
        out += "\n" + outer + "}";
    } else if (value.is_array() && !value.get_array().empty()) {
        out += "[\n";
        bool first = true;
        for (const json::value& element : value.get_array()) {
            out += first ? "" : ",\n";
            out += inner;
            append_pretty(out, element, level + 1);
            first = false;
        }
        out += "\n" + outer + "]";
    } else {
        out += json::serialize(value);
    }
}

}  // namespace

const std::vector<std::string>& key_names() {
    static const std::vector<std::string> kNames = [] {
        std::vector<std::string> names;
        names.reserve(kTestKeys.size());
        for (const TestKey& key : kTestKeys)
            names.emplace_back(key.name);
        return names;
    }();
    return kNames;
}

KeySet new_keys(Random& random) {
    KeySet keys;
    for (const std::string& name : key_names())
        keys.emplace(name, crypto::generate_key_pair(random));
    return keys;
}

KeySet e2e_keys() {
    KeySet keys;
    for (const TestKey& key : kTestKeys) {
        const auto secret = crypto::SecretKey::from_text(key.secret).value();
        keys.emplace(key.name, crypto::KeyPair{crypto::public_key_of(secret), secret});
    }
    return keys;
}

json::object make_deployment(const EnvironmentOptions& options, const KeySet& keys) {
    return {{"services", Blocks(options, keys).all()}};
}

json::array make_visors(const KeySet& keys) {
    json::array visors;
    for (const auto& [name, pair] : keys) {
        if (!name.starts_with("visor-")) continue;
        visors.push_back(json::object{
            {"name", name},
            {"public_key", pair.public_key.to_text()},
            {"secret_key", pair.secret_key.reveal_text()},
        });
    }
    return visors;
}

std::string pretty(const json::value& value) {
    std::string out;
    append_pretty(out, value, 0);
    return out + "\n";
}

}  // namespace skywire::cli
