#include "services/route_finder/transport_list.hpp"

#include "dmsg/detail/json_reader.hpp"

#include <charconv>
#include <cmath>
#include <optional>

namespace skywire::route_finder {
namespace {

using dmsg::detail::JsonArray;
using dmsg::detail::JsonObject;
using dmsg::detail::JsonReader;

/// Where the bytes of one value stand.
std::string_view take_value(JsonReader& reader, std::string_view text) {
    const std::size_t begin = reader.position();
    if (!reader.skip()) return {};
    return text.substr(begin, reader.end() - begin);
}

/// One entry or record under way; members of another kind than expected leave theirs empty.
class EntryReader {
 public:
    EntryReader(std::string_view text, JsonReader& reader, KeyCache& keys)
        : text_(text), reader_(reader), keys_(keys) {}

    /// Reads up to the end of the value; false where it makes no transport.
    bool read() {
        if (peek() != '{') {
            reader_.skip();
            return false;
        }
        JsonObject object(reader_);
        while (object.next()) {
            if (object.named("t_id") || object.named("id")) {
                read_id();
            } else if (object.named("edges")) {
                read_edges();
            } else if (object.named("edge_a")) {
                read_key(entry_.edges[0]);
            } else if (object.named("edge_b")) {
                read_key(entry_.edges[1]);
            } else if (object.named("type")) {
                read_text(entry_.type);
            } else if (object.named("label")) {
                read_text(entry_.label);
            } else if (object.named("lat_avg")) {
                read_latency();
            } else {
                reader_.skip();
            }
        }
        const bool has_edges = !entry_.edges[0].is_null() && !entry_.edges[1].is_null();
        return reader_.ok() && has_id_ && has_edges;
    }

    const transport::Entry& entry() const noexcept { return entry_; }
    std::optional<std::uint32_t> latency_us() const noexcept { return latency_us_; }

 private:
    char peek() {
        const std::size_t at = reader_.position();
        return at < text_.size() ? text_[at] : '\0';
    }

    void read_text(std::string& into) {
        if (peek() == '"') {
            reader_.string(into);
        } else {
            reader_.skip();
        }
    }

    void read_id() {
        std::string text;
        read_text(text);
        const auto id = TransportId::from_text(text);
        has_id_ = id.has_value();
        if (id) entry_.id = *id;
    }

    void read_key(crypto::PublicKey& into) {
        std::string text;
        read_text(text);
        into = keys_.read(text);
    }

    void read_edges() {
        if (peek() != '[') {
            reader_.skip();
            return;
        }
        JsonArray array(reader_);
        for (std::size_t i = 0; array.next(); ++i) {
            if (i < 2) {
                read_key(entry_.edges[i]);
            } else {
                reader_.skip();
            }
        }
    }

    /// Microseconds; zero is written where nobody has measured.
    void read_latency() {
        const std::string_view digits = take_value(reader_, text_);
        double value = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (error != std::errc() || !std::isfinite(value) || value <= 0) return;
        latency_us_ = static_cast<std::uint32_t>(std::min<double>(value, kLatencyMaxUs));
    }

    std::string_view text_;
    JsonReader& reader_;
    KeyCache& keys_;
    transport::Entry entry_;
    bool has_id_ = false;
    std::optional<std::uint32_t> latency_us_;
};

}  // namespace

crypto::PublicKey KeyCache::read(std::string_view text) {
    if (text.size() != crypto::PublicKey::kTextSize) return {};
    std::string digits(text);
    if (const auto known = keys_.find(digits); known != keys_.end()) return known->second;
    const auto key = crypto::PublicKey::from_text(text);
    if (!key) return {};
    if (keys_.size() >= kSizeMax) keys_.clear();
    keys_.emplace(std::move(digits), *key);
    return *key;
}

Result<Made> graph_of_list(std::string_view body, KeyCache& keys) {
    Made made;
    made.graph = std::make_unique<Graph>();
    JsonReader reader(body);
    if (!reader.null()) {
        JsonArray list(reader);
        while (list.next()) {
            EntryReader entry(body, reader, keys);
            if (entry.read()) {
                made.graph->put(entry.entry(), entry.latency_us());
            } else {
                ++made.unreadable;
            }
        }
    }
    if (!reader.ok()) return fail(errc::malformed, "the list: " + reader.error().message());
    if (reader.position() != body.size())
        return fail(errc::malformed, "the list: text behind its end");
    return made;
}

Made graph_of_records(const std::vector<std::string>& records, KeyCache& keys) {
    Made made;
    made.graph = std::make_unique<Graph>();
    for (const std::string& record : records) {
        JsonReader reader(record);
        EntryReader entry(record, reader, keys);
        if (entry.read()) {
            made.graph->put(entry.entry(), entry.latency_us());
        } else {
            ++made.unreadable;
        }
    }
    return made;
}

}  // namespace skywire::route_finder
