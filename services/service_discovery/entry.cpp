#include "services/service_discovery/entry.hpp"

#include "dmsg/detail/json_reader.hpp"
#include "services/common/json_style.hpp"

#include <charconv>

#include <fmt/format.h>

namespace skywire::service_discovery {
namespace {

using dmsg::detail::JsonArray;
using dmsg::detail::JsonObject;
using dmsg::detail::JsonReader;
using services::JsonStyle;

constexpr JsonStyle kStyle = JsonStyle::c;

/// Members are read where they are not null: null leaves what is there.
void read_text(JsonReader& reader, std::string& into) {
    if (!reader.null()) reader.string(into);
}
template <class Number>
void read_number(JsonReader& reader, Number& into) {
    if (!reader.null()) reader.number(into);
}

class EntryReader {
 public:
    EntryReader(std::string_view text, bool strict) : reader_(text), strict_(strict) {}

    Result<StoredEntry> read() {
        if (!reader_.null()) {
            JsonObject object(reader_);
            while (object.next())
                member(object);
        }
        if (reader_.ok()) return std::move(stored_);
        return fail(errc::malformed, reader_.error().message());
    }

 private:
    void member(const JsonObject& object) {
        Entry& entry = stored_.entry;
        if (object.named("address")) {
            address();
        } else if (object.named("type")) {
            read_text(reader_, entry.type);
        } else if (object.named("geo")) {
            geo();
        } else if (object.named("display_node_ip")) {
            if (!reader_.null()) reader_.boolean(entry.display_node_ip);
        } else if (object.named("version")) {
            read_text(reader_, entry.version);
        } else if (object.named("local_ips")) {
            local_ips();
        } else if (object.named("info")) {
            info();
        } else if (!strict_ && object.named("held")) {
            reader_.boolean(stored_.held);
        } else if (!strict_ && object.named("expires")) {
            reader_.number(stored_.expires_ms);
        } else {
            unknown();
        }
    }

    void unknown() {
        if (strict_) {
            reader_.fail("a member that is not known");
        } else {
            reader_.skip();
        }
    }

    void address() {
        if (reader_.null()) return;
        std::string text;
        if (!reader_.string(text)) return;
        const auto parsed = ServiceAddress::parse(text);
        if (!parsed) {
            reader_.fail("no address");
            return;
        }
        stored_.entry.key = parsed->key;
        stored_.entry.port = parsed->port;
    }

    void geo() {
        std::optional<Geo>& geo = stored_.entry.geo;
        if (reader_.null()) {
            geo.reset();
            return;
        }
        // A second object goes on top of the first.
        if (!geo) geo.emplace();
        JsonObject object(reader_);
        while (object.next()) {
            if (object.named("lat")) {
                read_number(reader_, geo->latitude);
            } else if (object.named("lon")) {
                read_number(reader_, geo->longitude);
            } else if (object.named("country")) {
                read_text(reader_, geo->country);
            } else if (object.named("region")) {
                read_text(reader_, geo->region);
            } else {
                unknown();
            }
        }
    }

    void info() {
        std::optional<Info>& info = stored_.entry.info;
        if (reader_.null()) {
            info.reset();
            return;
        }
        if (!info) info.emplace();
        JsonObject object(reader_);
        while (object.next()) {
            if (object.named("latency")) {
                read_number(reader_, info->latency);
            } else if (object.named("uptime")) {
                read_number(reader_, info->uptime);
            } else if (object.named("connections")) {
                read_number(reader_, info->connections);
            } else {
                unknown();
            }
        }
    }

    void local_ips() {
        std::vector<std::string>& ips = stored_.entry.local_ips;
        ips.clear();
        if (reader_.null()) return;
        JsonArray array(reader_);
        while (array.next())
            read_text(reader_, ips.emplace_back());
    }

    JsonReader reader_;
    bool strict_;
    StoredEntry stored_;
};

/// Writes members with commas between them.
class ObjectWriter {
 public:
    explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }

    void name(std::string_view name) {
        if (!first_) out_ += ',';
        first_ = false;
        out_ += '"';
        out_ += name;
        out_ += "\":";
    }
    void text_unless_empty(std::string_view member, std::string_view value) {
        if (value.empty()) return;
        name(member);
        services::append_string(out_, value, kStyle);
    }
    void float_unless_zero(std::string_view member, double value) {
        if (value == 0) return;
        name(member);
        services::append_float(out_, value, kStyle);
    }
    void end() { out_ += '}'; }

 private:
    std::string& out_;
    bool first_ = true;
};

void append_geo(std::string& out, const Geo& geo) {
    ObjectWriter writer(out);
    writer.float_unless_zero("lat", geo.latitude);
    writer.float_unless_zero("lon", geo.longitude);
    writer.text_unless_empty("country", geo.country);
    writer.text_unless_empty("region", geo.region);
    writer.end();
}

void append_info(std::string& out, const Info& info) {
    ObjectWriter writer(out);
    writer.float_unless_zero("latency", info.latency);
    writer.float_unless_zero("uptime", info.uptime);
    if (info.connections != 0) {
        writer.name("connections");
        out += std::to_string(info.connections);
    }
    writer.end();
}

void append_texts(std::string& out, const std::vector<std::string>& texts) {
    out += '[';
    for (std::size_t i = 0; i < texts.size(); ++i) {
        if (i > 0) out += ',';
        services::append_string(out, texts[i], kStyle);
    }
    out += ']';
}

}  // namespace

Result<ServiceAddress> ServiceAddress::parse(std::string_view text) {
    const std::size_t colon = std::min(text.find(':'), text.size());
    const auto key = crypto::PublicKey::from_text(text.substr(0, colon));
    if (!key) return key.error();
    ServiceAddress address{*key};
    if (colon == text.size()) return address;
    const char* const begin = text.data() + colon + 1;
    const char* const end = text.data() + text.size();
    const auto [stop, ec] = std::from_chars(begin, end, address.port);
    if (ec != std::errc() || stop != end) return fail(errc::malformed, "Invalid port");
    return address;
}

Result<Entry> parse_posted(std::string_view body) {
    auto read = EntryReader(body, /*strict=*/true).read();
    if (!read) return read.error();
    return std::move(read->entry);
}

void append_entry(std::string& out, const Entry& entry, Reader reader) {
    ObjectWriter writer(out);
    writer.name("address");
    fmt::format_to(std::back_inserter(out), R"("{}:{}")", entry.key, entry.port);
    writer.name("type");
    services::append_string(out, entry.type, kStyle);
    if (entry.geo || reader != Reader::poster) {
        writer.name("geo");
        append_geo(out, entry.geo.value_or(Geo()));
    }
    if (entry.display_node_ip && reader != Reader::list) {
        writer.name("display_node_ip");
        out += "true";
    }
    writer.text_unless_empty("version", entry.version);
    const bool shown = entry.display_node_ip || reader != Reader::list;
    if (!entry.local_ips.empty() && shown) {
        writer.name("local_ips");
        append_texts(out, entry.local_ips);
    }
    if (entry.info && reader == Reader::poster) {
        writer.name("info");
        append_info(out, *entry.info);
    }
    writer.end();
}

std::string to_stored(const StoredEntry& stored) {
    Entry kept = stored.entry;
    kept.info.reset();
    std::string text;
    append_entry(text, kept, Reader::poster);
    text.pop_back();
    if (stored.held) text += R"(,"held":true)";
    if (stored.expires_ms != 0) text += fmt::format(R"(,"expires":{})", stored.expires_ms);
    text += '}';
    return text;
}

Result<StoredEntry> parse_stored(std::string_view text) {
    auto read = EntryReader(text, /*strict=*/false).read();
    if (!read) return read.error();
    if (read->entry.key.is_null()) return fail(errc::malformed, "an entry without a key");
    return read;
}

}  // namespace skywire::service_discovery
