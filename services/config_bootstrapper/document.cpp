#include "services/config_bootstrapper/document.hpp"

#include "base/json.hpp"

#include <fmt/format.h>

namespace skywire::config_bootstrapper {
namespace {

constexpr std::string_view kLoopback = "127.0.0.1";
constexpr std::string_view kDnsServer = "1.1.1.1";
constexpr std::uint16_t kDmsgPort = 80;

/// The first label of the service's host name.
std::string_view host_label(Part part) {
    switch (part) {
        case Part::dmsg_discovery:
            return "dmsgd";
        case Part::transport_discovery:
            return "tpd";
        case Part::address_resolver:
            return "ar";
        case Part::route_finder:
            return "rf";
        case Part::uptime_tracker:
            return "ut";
        case Part::service_discovery:
            return "sd";
    }
    return "";
}

/// The type of the blocks that are this part; none for the uptime-tracker.
std::string_view type_of(Part part) {
    switch (part) {
        case Part::dmsg_discovery:
            return "dmsg-discovery";
        case Part::transport_discovery:
            return "transport-discovery";
        case Part::address_resolver:
            return "address-resolver";
        case Part::route_finder:
            return "route-finder";
        case Part::uptime_tracker:
            return "";
        case Part::service_discovery:
            return "service-discovery";
    }
    return "";
}

/// Writes members one after another.
class Writer {
 public:
    std::string& name(std::string_view text) {
        out_ += out_.size() > 1 ? "," : "";
        append_json_string(out_, text, JsonEscape::html);
        out_ += ':';
        return out_;
    }
    void text(std::string_view key, std::string_view value) {
        append_json_string(name(key), value, JsonEscape::html);
    }
    void keys(std::string_view key, const std::vector<crypto::PublicKey>& values) {
        std::vector<std::string> digits;
        digits.reserve(values.size());
        for (const crypto::PublicKey& value : values)
            digits.push_back(value.to_text());
        texts(key, digits);
    }
    void texts(std::string_view key, const std::vector<std::string>& values) {
        name(key) += '[';
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (i > 0) out_ += ',';
            append_json_string(out_, values[i], JsonEscape::html);
        }
        out_ += ']';
    }
    void servers(const std::vector<Server>& servers) {
        name("dmsg_servers") += '[';
        for (std::size_t i = 0; i < servers.size(); ++i) {
            out_ += i > 0 ? "," : "";
            out_ += R"({"static":")" + servers[i].key.to_text() + R"(","server":{"address":)";
            append_json_string(out_, servers[i].address, JsonEscape::html);
            out_ += "}}";
        }
        out_ += ']';
    }
    std::string take() { return std::move(out_ += '}'); }

 private:
    std::string out_ = "{";
};

/// As one dials what listens there.
std::string reachable(net::Address address) {
    if (address.host.empty() || address.host == "0.0.0.0" || address.host == "::")
        address.host = kLoopback;
    return address.to_string();
}

std::string server_address(const framework::BlockFacts& facts) {
    if (!facts.advertised_address.empty() || facts.ports.empty()) return facts.advertised_address;
    return reachable(facts.ports.front().address);
}

/// The block's own part in what the deployment is.
void add(Document& document, const framework::DeploymentBlock& block) {
    const auto& key = block.facts.public_key;
    for (const Part part : kParts) {
        if (block.type != type_of(part) || block.type.empty()) continue;
        if (block.facts.health_address && document.url(part).empty())
            document.url(part) = "http://" + reachable(*block.facts.health_address);
        if (key && document.dmsg_url(part).empty())
            document.dmsg_url(part) = fmt::format("dmsg://{}:{}", *key, kDmsgPort);
    }
    if (block.type == "setup-node" && key) document.route_setup_nodes.push_back(*key);
    if (block.type == "transport-setup" && key) document.transport_setup.push_back(*key);
    if (block.type == "stun-server" && !block.facts.ports.empty())
        document.stun_servers.push_back(block.facts.ports.front().address.to_string());
    if (block.type == "dmsg-server" && key)
        document.dmsg_servers.push_back({*key, server_address(block.facts)});
}

/// Lists are the file's or the blocks', not both.
template <class T>
void fill(std::vector<T>& said, std::vector<T> found) {
    if (said.empty()) said = std::move(found);
}

}  // namespace

std::string_view member(Part part) noexcept {
    switch (part) {
        case Part::dmsg_discovery:
            return "dmsg_discovery";
        case Part::transport_discovery:
            return "transport_discovery";
        case Part::address_resolver:
            return "address_resolver";
        case Part::route_finder:
            return "route_finder";
        case Part::uptime_tracker:
            return "uptime_tracker";
        case Part::service_discovery:
            return "service_discovery";
    }
    return "";
}

std::string to_json(const Document& document, Ways ways) {
    Writer out;
    const auto url = [&](Part part) {
        if (ways != Ways::dmsg) out.text(member(part), document.url(part));
    };
    url(Part::dmsg_discovery);
    url(Part::transport_discovery);
    url(Part::address_resolver);
    url(Part::route_finder);
    out.keys("route_setup_nodes", document.route_setup_nodes);
    out.keys("transport_setup", document.transport_setup);
    url(Part::uptime_tracker);
    url(Part::service_discovery);
    out.texts("stun_servers", document.stun_servers);
    out.text("dns_server", document.dns_server);
    out.keys("survey_whitelist", document.survey_whitelist);
    if (ways == Ways::http) return out.take();
    if (!document.dmsg_servers.empty()) out.servers(document.dmsg_servers);
    for (const Part part : kParts) {
        if (document.dmsg_url(part).empty()) continue;
        out.text(std::string(member(part)) + "_dmsg", document.dmsg_url(part));
    }
    return out.take();
}

std::string to_dmsghttp_json(const Document& document) {
    Writer out;
    out.servers(document.dmsg_servers);
    for (const Part part : kParts)
        out.text(member(part), document.dmsg_url(part));
    return out.take();
}

Document completed(Document said, const std::vector<framework::DeploymentBlock>& blocks) {
    Document found;
    for (const framework::DeploymentBlock& block : blocks)
        add(found, block);
    for (const Part part : kParts) {
        if (said.url(part).empty()) said.url(part) = found.url(part);
        if (said.dmsg_url(part).empty()) said.dmsg_url(part) = found.dmsg_url(part);
    }
    if (said.url(Part::uptime_tracker).empty())
        said.url(Part::uptime_tracker) = said.url(Part::transport_discovery);
    if (said.dmsg_url(Part::uptime_tracker).empty())
        said.dmsg_url(Part::uptime_tracker) = said.dmsg_url(Part::transport_discovery);
    fill(said.route_setup_nodes, std::move(found.route_setup_nodes));
    fill(said.transport_setup, std::move(found.transport_setup));
    fill(said.stun_servers, std::move(found.stun_servers));
    fill(said.dmsg_servers, std::move(found.dmsg_servers));
    if (said.dns_server.empty()) said.dns_server = kDnsServer;
    return said;
}

void add_domain(Document& document, std::string_view domain) {
    for (const Part part : kParts) {
        if (!document.url(part).empty()) continue;
        const bool of_skycoin = domain == kDefaultDomain && part == Part::service_discovery;
        document.url(part) = of_skycoin ? "http://sd.skycoin.com"
                                        : fmt::format("http://{}.{}", host_label(part), domain);
    }
}

}  // namespace skywire::config_bootstrapper
