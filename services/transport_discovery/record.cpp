#include "services/transport_discovery/record.hpp"

#include <fmt/format.h>

namespace skywire::tpd {
namespace {

std::string_view text_of(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    return value != nullptr && value->is_string() ? std::string_view(value->get_string())
                                                  : std::string_view();
}

}  // namespace

std::string to_text(const StoredTransport& stored) {
    const transport::Entry& entry = stored.entry;
    std::string out = fmt::format(
        R"({{"id":"{}","edge_a":"{}","edge_b":"{}","type":)",
        entry.id.to_text(),
        entry.edges[0],
        entry.edges[1]
    );
    append_json_string(out, entry.type, JsonEscape::html);
    out += R"(,"label":)";
    append_json_string(out, entry.label, JsonEscape::html);
    const auto seconds =
        std::chrono::floor<std::chrono::seconds>(stored.last_update.time_since_epoch());
    out += fmt::format(R"(,"last_update":{})", seconds.count());
    if (stored.held) out += R"(,"held":true)";
    out += '}';
    return out;
}

Result<StoredTransport> stored_transport(std::string_view text) {
    const auto parsed = parse_json(text);
    if (!parsed) return parsed.error();
    if (!parsed->is_object()) return fail(errc::malformed, "a stored transport is no object");
    const json::object& object = parsed->get_object();
    StoredTransport stored;
    const auto id = transport::TransportId::from_text(text_of(object, "id"));
    const auto first = crypto::PublicKey::from_text_not_null(text_of(object, "edge_a"));
    const auto second = crypto::PublicKey::from_text_not_null(text_of(object, "edge_b"));
    if (!id || !first || !second)
        return fail(errc::malformed, "a stored transport without id or edges");
    stored.entry.id = *id;
    stored.entry.edges = {*first, *second};
    stored.entry.type = text_of(object, "type");
    stored.entry.label = text_of(object, "label");
    if (const auto checked = transport::check_entry(stored.entry); !checked)
        return fail(errc::malformed, "stored transport: " + checked.error().message());
    if (const json::value* at = object.if_contains("last_update");
        at != nullptr && at->is_int64()) {
        // What lies outside of this is no time, and would not fit nanoseconds.
        constexpr std::int64_t kSecondsMax = 9'000'000'000;
        const std::int64_t seconds = std::clamp<std::int64_t>(at->get_int64(), 0, kSecondsMax);
        stored.last_update = WallTime(std::chrono::seconds(seconds));
    }
    if (const json::value* held = object.if_contains("held"))
        stored.held = held->is_bool() && held->get_bool();
    return stored;
}

std::string transport_key(const transport::TransportId& id) {
    return fmt::format("{}:tp:{}", kPrefix, id.to_text());
}

std::string edge_key(const crypto::PublicKey& edge) {
    return fmt::format("{}:edge:{}", kPrefix, edge);
}

std::string index_key() {
    return fmt::format("{}:tp:_index", kPrefix);
}

}  // namespace skywire::tpd
