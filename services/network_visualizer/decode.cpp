#include "services/network_visualizer/decode.hpp"

#include "base/json.hpp"
#include "crypto/keys.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

namespace skywire::network_visualizer {
namespace {

constexpr std::size_t kIdSize = 36;

/// Lower case, where the text has the shape of a key that is not null.
std::optional<std::string> key_digits(std::string_view text) {
    if (text.size() != crypto::PublicKey::kTextSize) return std::nullopt;
    std::string digits(text);
    for (char& c : digits) {
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
        const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (!hex) return std::nullopt;
    }
    if (!digits.starts_with("02") && !digits.starts_with("03")) return std::nullopt;
    return digits;
}

std::string_view text_of(const json::value* value) {
    return value != nullptr && value->is_string() ? std::string_view(value->get_string())
                                                  : std::string_view();
}

std::string_view member(const json::object& object, std::string_view name) {
    return text_of(object.if_contains(name));
}

std::string_view cut(std::string_view text) {
    return text.substr(0, kTextSizeMax);
}

void append_text(std::string& out, std::string_view text) {
    append_json_string(out, cut(text), JsonEscape::html);
}

/// The elements of an array, none of null.
Result<json::array> array_of(std::string_view text) {
    auto parsed = parse_json(text);
    if (!parsed) return parsed.error().within("the list");
    if (parsed->is_null()) return json::array();
    if (!parsed->is_array()) return fail(errc::malformed, "the list is no array");
    return std::move(parsed->get_array());
}

struct Service {
    std::string type;
    std::string version;
    unsigned port = 0;

    auto operator<=>(const Service&) const = default;
};

struct Visor {
    /// In order of the types, each once.
    std::set<Service> services;
    std::string country;
};

/// Services of one visor that are kept.
constexpr std::size_t kServicesPerVisorMax = 16;

class VisorList {
 public:
    /// False where it is no service.
    bool add(const json::value& record) {
        const json::object* const object = record.if_object();
        if (object == nullptr) return false;
        const std::string_view address = member(*object, "address");
        const std::string_view type = member(*object, "type");
        const auto key = key_digits(address.substr(0, crypto::PublicKey::kTextSize));
        if (!key || type.empty()) return false;
        Service service;
        service.type = cut(type);
        service.version = cut(member(*object, "version"));
        if (!read_port(address.substr(crypto::PublicKey::kTextSize), service.port)) return false;
        if (visors_.size() >= kItemsMax && !visors_.contains(*key)) return false;
        Visor& visor = visors_[*key];
        if (visor.services.size() >= kServicesPerVisorMax) return false;
        visor.services.insert(std::move(service));
        if (const std::string_view country = country_of(*object); !country.empty())
            visor.country = cut(country);
        return true;
    }

    std::size_t size() const noexcept { return visors_.size(); }

    std::string text() const {
        std::string out = "{";
        for (const auto& [key, visor] : visors_) {
            if (out.size() > 1) out += ',';
            out += fmt::format(R"("{0}":{{"pk":"{0}","services":[)", key);
            bool first = true;
            for (const Service& service : visor.services) {
                out += first ? R"({"type":)" : R"(,{"type":)";
                first = false;
                append_text(out, service.type);
                out += fmt::format(R"(,"port":{},"version":)", service.port);
                append_text(out, service.version);
                out += '}';
            }
            out += R"(],"country":)";
            append_text(out, visor.country);
            out += '}';
        }
        out += '}';
        return out;
    }

 private:
    static std::string_view country_of(const json::object& record) {
        const json::value* const geo = record.if_contains("geo");
        const json::object* const place = geo != nullptr ? geo->if_object() : nullptr;
        return place != nullptr ? member(*place, "country") : std::string_view();
    }

    /// ":44", or nothing.
    static bool read_port(std::string_view text, unsigned& port) {
        if (text.empty()) return true;
        if (text.front() != ':') return false;
        text.remove_prefix(1);
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
        return error == std::errc() && end == text.data() + text.size() && port <= 65'535;
    }

    std::map<std::string, Visor> visors_;
};

/// Servers with their clients, and the reverse.
class ClientMap {
 public:
    bool add_server(std::string_view key) {
        const auto digits = key_digits(key);
        if (!digits || !room()) return false;
        servers_.try_emplace(*digits);
        return true;
    }

    /// A client's key, or its entry.
    bool add_client(const std::string& server, const json::value& client) {
        std::string_view key = text_of(&client);
        if (const json::object* const entry = client.if_object(); entry != nullptr)
            key = member(*entry, "static");
        const auto digits = key_digits(key);
        if (!digits || !room()) return false;
        if (!servers_[server].insert(*digits).second) return true;
        clients_[*digits].push_back(server);
        ++pairs_;
        return true;
    }

    /// Those of one server; how many of them are none.
    std::size_t add_clients(std::string_view server, const json::value& clients) {
        const auto digits = key_digits(server);
        if (!digits || !add_server(server)) return 1;
        const json::array* const list = clients.if_array();
        if (list == nullptr) return clients.is_null() ? 0 : 1;
        std::size_t unreadable = 0;
        for (const json::value& client : *list) {
            if (!add_client(*digits, client)) ++unreadable;
        }
        return unreadable;
    }

    std::size_t items() const noexcept { return servers_.size() + clients_.size(); }

    std::string text() const {
        std::string out = "{";
        for (const auto& [server, clients] : servers_) {
            if (out.size() > 1) out += ',';
            out += fmt::format(R"("{}":[)", server);
            bool first = true;
            for (const std::string& client : clients) {
                out += first ? R"({"static":")" : R"(,{"static":")";
                first = false;
                out += client;
                out += R"(","client":{"delegated_servers":[)";
                append_servers(out, clients_.at(client));
                out += "]}}";
            }
            out += ']';
        }
        out += '}';
        return out;
    }

 private:
    bool room() const noexcept { return servers_.size() + pairs_ < kItemsMax; }

    static void append_servers(std::string& out, const std::vector<std::string>& servers) {
        for (std::size_t i = 0; i < servers.size(); ++i) {
            out += i > 0 ? ",\"" : "\"";
            out += servers[i];
            out += '"';
        }
    }

    std::map<std::string, std::set<std::string>> servers_;
    std::map<std::string, std::vector<std::string>> clients_;
    std::size_t pairs_ = 0;
};

/// Of a transport that is listed without its id.
std::optional<std::string> computed_id(
    const std::string& first, const std::string& second, std::string_view type
) {
    const auto a = crypto::PublicKey::from_text(first);
    const auto b = crypto::PublicKey::from_text(second);
    if (!a || !b) return std::nullopt;
    return transport::id_of(*a, *b, type).to_text();
}

/// The id as it is listed, where it has the shape of one.
std::optional<std::string> id_text(const json::object& object) {
    const std::string_view text = member(object, "t_id");
    if (text.size() != kIdSize) return std::nullopt;
    const bool shaped = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-';
    });
    return shaped ? std::optional<std::string>(text) : std::nullopt;
}

/// Appends one transport; false where it is none.
bool append_transport(std::string& out, const json::value& value) {
    const json::object* const object = value.if_object();
    if (object == nullptr) return false;
    const json::value* const edges = object->if_contains("edges");
    const json::array* const pair = edges != nullptr ? edges->if_array() : nullptr;
    if (pair == nullptr || pair->size() != 2) return false;
    const auto first = key_digits(text_of(&(*pair)[0]));
    const auto second = key_digits(text_of(&(*pair)[1]));
    if (!first || !second) return false;
    const auto id = object->contains("t_id")
                        ? id_text(*object)
                        : computed_id(*first, *second, member(*object, "type"));
    if (!id) return false;
    out += fmt::format(
        R"({}{{"t_id":"{}","edges":["{}","{}"],"type":)",
        out.size() > 1 ? "," : "",
        *id,
        *first,
        *second
    );
    append_text(out, member(*object, "type"));
    out += R"(,"label":)";
    append_text(out, member(*object, "label"));
    out += '}';
    return true;
}

constexpr std::string_view kServicesPath = "services/";
constexpr std::string_view kAllOfType = "/all";
constexpr std::string_view kClientsPath = "clients-by-server/";
constexpr std::string_view kServersPath = "clients-by-server/servers/";
constexpr std::string_view kTransportsPath = "transports/all/with-self";

Error other_layout() {
    return fail(errc::unsupported, "the feed has another layout");
}

Result<Body> services_of(const std::vector<Leaf>& leaves) {
    std::vector<std::string_view> lists;
    for (const Leaf& leaf : leaves) {
        const std::string_view path = leaf.path;
        if (!path.starts_with(kServicesPath) || !path.ends_with(kAllOfType)) continue;
        lists.reserve(leaves.size());
        lists.push_back(leaf.text);
    }
    if (lists.empty() && !leaves.empty()) return other_layout();
    return services_body(lists);
}

Result<Body> clients_of(const std::vector<Leaf>& leaves) {
    ClientMap map;
    std::size_t unreadable = 0;
    bool known = leaves.empty();
    for (const Leaf& leaf : leaves) {
        std::string_view path = leaf.path;
        if (path.starts_with(kServersPath)) {
            known = true;
            if (!map.add_server(path.substr(kServersPath.size()))) ++unreadable;
            continue;
        }
        // Below a server's name there are only leaves of the older layout.
        if (!path.starts_with(kClientsPath)) continue;
        path.remove_prefix(kClientsPath.size());
        if (path.find('/') != std::string_view::npos) continue;
        known = true;
        const auto clients = parse_json(leaf.text);
        if (!clients) return clients.error().within(leaf.path);
        unreadable += map.add_clients(path, *clients);
    }
    if (!known) return other_layout();
    return make_body(map.text(), map.items(), unreadable);
}

Result<Body> transports_of(const std::vector<Leaf>& leaves) {
    for (const Leaf& leaf : leaves)
        if (leaf.path == kTransportsPath) return transports_body(leaf.text);
    if (!leaves.empty()) return other_layout();
    return transports_body("[]");
}

}  // namespace

std::string_view part_name(Part part) noexcept {
    switch (part) {
        case Part::services:
            return "services";
        case Part::clients:
            return "dmsg";
        case Part::transports:
            return "transports";
    }
    return "";
}

std::string_view origin_name(Origin origin) noexcept {
    switch (origin) {
        case Origin::none:
            return "none";
        case Origin::cxo:
            return "cxo";
        case Origin::http:
            return "http";
        case Origin::process:
            return "process";
    }
    return "";
}

Body make_body(std::string text, std::size_t items, std::size_t unreadable) {
    Body body;
    body.tag = fmt::format("{:016x}", std::hash<std::string>()(text));
    body.text = std::make_shared<const std::string>(std::move(text));
    body.items = items;
    body.unreadable = unreadable;
    return body;
}

Result<Body> services_body(const std::vector<std::string_view>& lists) {
    VisorList visors;
    std::size_t unreadable = 0;
    for (const std::string_view list : lists) {
        const auto records = array_of(list);
        if (!records) return records.error();
        for (const json::value& record : *records) {
            if (!visors.add(record)) ++unreadable;
        }
    }
    return make_body(visors.text(), visors.size(), unreadable);
}

Result<Body> clients_body(std::string_view servers_clients, std::string_view servers) {
    ClientMap map;
    std::size_t unreadable = 0;
    if (!servers.empty()) {
        const auto entries = array_of(servers);
        if (!entries) return entries.error();
        for (const json::value& entry : *entries) {
            const json::object* const object = entry.if_object();
            if (object == nullptr || !map.add_server(member(*object, "static"))) ++unreadable;
        }
    }
    const auto parsed = parse_json(servers_clients);
    if (!parsed) return parsed.error().within("the servers' clients");
    if (parsed->is_null()) return make_body(map.text(), map.items(), unreadable);
    if (!parsed->is_object()) return fail(errc::malformed, "the servers' clients are no object");
    for (const auto& [server, clients] : parsed->get_object())
        unreadable += map.add_clients(server, clients);
    return make_body(map.text(), map.items(), unreadable);
}

Result<Body> transports_body(std::string_view list) {
    const auto transports = array_of(list);
    if (!transports) return transports.error();
    std::string out = "[";
    std::size_t items = 0;
    for (const json::value& transport : *transports) {
        if (items < kItemsMax && append_transport(out, transport)) ++items;
    }
    out += ']';
    return make_body(std::move(out), items, transports->size() - items);
}

Body transports_body(const std::vector<transport::Entry>& entries) {
    std::string out = "[";
    const std::size_t items = std::min(entries.size(), kItemsMax);
    for (std::size_t i = 0; i < items; ++i) {
        if (i > 0) out += ',';
        transport::append_json(out, entries[i], JsonEscape::html);
    }
    out += ']';
    return make_body(std::move(out), items, entries.size() - items);
}

Result<Body> leaves_body(Part part, const std::vector<Leaf>& leaves) {
    switch (part) {
        case Part::services:
            return services_of(leaves);
        case Part::clients:
            return clients_of(leaves);
        case Part::transports:
            return transports_of(leaves);
    }
    return fail(errc::malformed, "no such part");
}

}  // namespace skywire::network_visualizer
