#include "base/json.hpp"
#include "transport/entry.hpp"

#include <algorithm>
#include <utility>

#include <boost/json/error.hpp>
#include <boost/json/stream_parser.hpp>
#include <fmt/format.h>

namespace skywire::transport {
namespace {

/// A signed entry has no more levels; unknown members may.
constexpr std::size_t kDepthMax = 32;

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_name(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

Error mismatch(const json::value& value, std::string_view where, std::string_view type) {
    return {
        errc::json_type,
        fmt::format(
            "json: cannot unmarshal {} into Go {} of type {}", kind_name(value), where, type
        )
    };
}

/// Bytes that are not UTF-8 read as U+FFFD, as in the network's decoder: what is kept, hashed and
/// answered is the same text.
std::string well_formed(std::string_view text) {
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x80;
    });
    if (plain) return std::string(text);
    std::string quoted;
    append_json_string(quoted, text, JsonEscape::plain);
    const auto read = parse_json(quoted);
    return read ? std::string(read->get_string()) : std::string();
}

Result<> read_text(const json::value& value, std::string_view where, std::string& into) {
    if (value.is_null()) return {};
    if (!value.is_string()) return mismatch(value, where, "string");
    into = well_formed(value.get_string());
    return {};
}

/// The first two elements; what is missing stays empty.
template <class T>
Result<> read_pair(const json::value& value, std::string_view where, std::array<T, 2>& into) {
    if (value.is_null()) return {};
    if (!value.is_array()) return mismatch(value, where, "array");
    const json::array& elements = value.get_array();
    for (std::size_t i = 0; i < std::min<std::size_t>(elements.size(), 2); ++i) {
        if (elements[i].is_null()) continue;
        if (!elements[i].is_string()) return mismatch(elements[i], where, "string");
        const auto read = T::from_text(elements[i].get_string());
        if (!read) return Error(errc::json_type, read.error().message());
        into[i] = *read;
    }
    return {};
}

Result<> read_id(const json::value& value, TransportId& into) {
    if (value.is_null()) return {};
    if (!value.is_string()) return mismatch(value, "struct field Entry.t_id", "uuid.UUID");
    const auto read = TransportId::from_text(value.get_string());
    if (!read) return Error(errc::json_type, read.error().message());
    into = *read;
    return {};
}

Result<> read_integer(const json::value& value, std::string_view where, std::int64_t& into) {
    if (value.is_null()) return {};
    if (!value.is_int64()) return mismatch(value, where, "int64");
    into = value.get_int64();
    return {};
}

Result<> read_member(std::string_view name, const json::value& value, Entry& entry) {
    if (same_name(name, "t_id")) return read_id(value, entry.id);
    if (same_name(name, "edges")) return read_pair(value, "struct field Entry.edges", entry.edges);
    if (same_name(name, "type")) return read_text(value, "struct field Entry.type", entry.type);
    if (same_name(name, "label")) return read_text(value, "struct field Entry.label", entry.label);
    return {};
}

Result<> read_member(std::string_view name, const json::value& value, SignedEntry& entry) {
    if (same_name(name, "entry")) {
        auto read = entry_of(value);
        if (!read) return read.error();
        entry.entry = std::move(*read);
        return {};
    }
    if (same_name(name, "signatures"))
        return read_pair(value, "struct field SignedEntry.signatures", entry.signatures);
    if (same_name(name, "registered"))
        return read_integer(value, "struct field SignedEntry.registered", entry.registered);
    if (same_name(name, "version"))
        return read_text(value, "struct field SignedEntry.version", entry.version);
    return {};
}

template <class T>
Result<T> read_object(const json::value& value, std::string_view type) {
    T read;
    if (value.is_null()) return read;
    if (!value.is_object()) return mismatch(value, "value", type);
    for (const auto& member : value.get_object())
        if (const auto taken = read_member(member.key(), member.value(), read); !taken)
            return taken.error();
    return read;
}

template <class T>
Result<std::optional<std::vector<T>>> read_list(
    std::string_view body, std::string_view type, Result<T> (*read)(const json::value&)
) {
    const auto value = parse_body(body);
    if (!value) return value.error();
    if (value->is_null()) return std::optional<std::vector<T>>();
    if (!value->is_array()) return mismatch(*value, "value", type);
    std::vector<T> list;
    list.reserve(value->get_array().size());
    for (const json::value& element : value->get_array()) {
        auto entry = read(element);
        if (!entry) return entry.error();
        list.push_back(std::move(*entry));
    }
    return std::optional<std::vector<T>>(std::move(list));
}

template <class T>
void append_texts(std::string& out, const std::array<T, 2>& pair) {
    out += "[\"";
    out += pair[0].to_text();
    out += "\",\"";
    out += pair[1].to_text();
    out += "\"]";
}

/// What the decoder had been looking for when it met a character.
std::string_view looked_for(const ErrorCode& ec) {
    if (ec == json::error::extra_data) return "after top-level value";
    return "looking for beginning of value";
}

}  // namespace

std::string_view kind_name(const json::value& value) noexcept {
    switch (value.kind()) {
        case json::kind::null:
            return "null";
        case json::kind::bool_:
            return "bool";
        case json::kind::int64:
        case json::kind::uint64:
        case json::kind::double_:
            return "number";
        case json::kind::string:
            return "string";
        case json::kind::array:
            return "array";
        case json::kind::object:
            return "object";
    }
    return "value";
}

Result<json::value> parse_body(std::string_view body) {
    json::parse_options options;
    options.max_depth = kDepthMax;
    options.allow_invalid_utf8 = true;
    json::stream_parser parser({}, options);
    ErrorCode ec;
    const std::size_t taken = parser.write_some(body.data(), body.size(), ec);
    if (!ec && !parser.done()) parser.finish(ec);
    if (ec == json::error::incomplete)
        return Error(errc::json_syntax, "unexpected end of JSON input");
    if (!ec) {
        const std::size_t behind = body.find_first_not_of(" \t\r\n", taken);
        if (behind == std::string_view::npos) return parser.release();
        ec = make_error_code(json::error::extra_data);
    }
    const std::size_t at = body.find_first_not_of(" \t\r\n", taken);
    if (at == std::string_view::npos)
        return Error(errc::json_syntax, "unexpected end of JSON input");
    const char c = body[at] >= 0x20 && body[at] < 0x7f ? body[at] : '?';
    return Error(errc::json_syntax, fmt::format("invalid character '{}' {}", c, looked_for(ec)));
}

void append_json(std::string& out, const Entry& entry, JsonEscape escape) {
    out += R"({"t_id":")";
    out += entry.id.to_text();
    out += R"(","edges":)";
    append_texts(out, entry.edges);
    out += R"(,"type":)";
    append_json_string(out, entry.type, escape);
    out += R"(,"label":)";
    append_json_string(out, entry.label, escape);
    out += '}';
}

void append_json(std::string& out, const SignedEntry& entry, JsonEscape escape) {
    out += R"({"entry":)";
    append_json(out, entry.entry, escape);
    out += R"(,"signatures":)";
    append_texts(out, entry.signatures);
    if (entry.registered != 0) out += fmt::format(R"(,"registered":{})", entry.registered);
    out += '}';
}

std::string to_json(const Entry& entry) {
    std::string out;
    append_json(out, entry, JsonEscape::html);
    return out;
}

std::string to_json(const SignedEntry& entry) {
    std::string out;
    append_json(out, entry, JsonEscape::html);
    return out;
}

Result<Entry> entry_of(const json::value& value) {
    return read_object<Entry>(value, "transport.Entry");
}

Result<SignedEntry> signed_entry_of(const json::value& value) {
    return read_object<SignedEntry>(value, "transport.SignedEntry");
}

Result<std::optional<std::vector<Entry>>> parse_entries(std::string_view body) {
    return read_list<Entry>(body, "[]*transport.Entry", entry_of);
}

Result<std::optional<std::vector<SignedEntry>>> parse_signed_entries(std::string_view body) {
    return read_list<SignedEntry>(body, "[]*transport.SignedEntry", signed_entry_of);
}

}  // namespace skywire::transport
