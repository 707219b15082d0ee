#include "services/transport_discovery/traffic_record.hpp"

#include "services/transport_discovery/record.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::tpd {
namespace {

constexpr char kReportsVersion = 2;
/// Before reports had what the last sample told.
constexpr char kReportsVersionBefore = 1;
constexpr char kCountersVersion = 1;

class Writer {
 public:
    explicit Writer(std::string& into) : into_(into) {}

    template <class Unsigned>
    void number(Unsigned value) {
        for (std::size_t i = 0; i < sizeof value; ++i)
            into_ += static_cast<char>(value >> (8 * i) & 0xffU);
    }
    void bytes(ByteSpan bytes) { into_ += as_text(bytes); }
    /// At most 255 bytes: types of transports are shorter.
    void text(std::string_view text) {
        text = text.substr(0, 255);
        number(static_cast<std::uint8_t>(text.size()));
        into_ += text;
    }
    void transport(const Seen& seen) {
        bytes(seen.id.bytes);
        bytes(seen.other.bytes);
        text(seen.type);
    }

 private:
    std::string& into_;
};

/// Not `ok` from the first thing on that is not there.
class Reader {
 public:
    explicit Reader(std::string_view from) : from_(from) {}

    bool ok() const noexcept { return ok_; }
    bool at_end() const noexcept { return from_.empty(); }

    template <class Unsigned>
    void number(Unsigned& into) {
        const std::string_view bytes = take(sizeof into);
        into = 0;
        for (std::size_t i = 0; i < bytes.size(); ++i)
            into = static_cast<Unsigned>(
                into | static_cast<Unsigned>(static_cast<unsigned char>(bytes[i])) << (8 * i)
            );
    }
    template <std::size_t Size>
    void bytes(std::array<std::byte, Size>& into) {
        const ByteSpan bytes = as_bytes(take(Size));
        std::copy(bytes.begin(), bytes.end(), into.begin());
    }
    void text(std::string& into) {
        std::uint8_t size = 0;
        number(size);
        into = take(size);
    }
    void transport(Seen& seen) {
        bytes(seen.id.bytes);
        bytes(seen.other.bytes);
        text(seen.type);
    }

 private:
    std::string_view take(std::size_t count) {
        if (!ok_ || from_.size() < count) {
            ok_ = false;
            return {};
        }
        const std::string_view taken = from_.substr(0, count);
        from_.remove_prefix(count);
        return taken;
    }

    std::string_view from_;
    bool ok_ = true;
};

/// Behind the version.
template <class Element, class Read>
std::optional<std::vector<Element>> list_of(std::string_view bytes, const Read& read) {
    Reader reader(bytes.substr(1));
    std::vector<Element> list;
    while (!reader.at_end()) {
        Element element;
        reader.transport(element.transport);
        read(reader, element);
        if (!reader.ok()) return std::nullopt;
        if (!list.empty() && element.transport.id <= list.back().transport.id) return std::nullopt;
        list.push_back(std::move(element));
    }
    return list;
}

}  // namespace

void Latency::add(const Latency& other) noexcept {
    if (other.samples == 0) return;
    min = samples == 0 ? other.min : std::min(min, other.min);
    max = std::max(max, other.max);
    // Four billion samples of an hour each fit.
    sum += other.sum;
    samples += other.samples;
}

std::string write_traffic(const DayReports& reports) {
    std::string bytes(1, kReportsVersion);
    Writer writer(bytes);
    for (const DayReport& report : reports) {
        writer.transport(report.transport);
        writer.number(report.sent);
        writer.number(report.received);
        writer.number(report.latency.min);
        writer.number(report.latency.max);
        writer.number(report.latency.sum);
        writer.number(report.latency.samples);
        writer.number(report.updated);
        writer.number(report.throughput);
        writer.number(report.latency_last);
    }
    return bytes;
}

std::string write_traffic(const LastList& list) {
    std::string bytes(1, kCountersVersion);
    Writer writer(bytes);
    for (const LastCounters& last : list) {
        writer.transport(last.transport);
        writer.number(last.sent);
        writer.number(last.received);
        writer.number(last.sampled);
        writer.number(last.seen);
    }
    return bytes;
}

std::optional<DayReports> day_reports_of(std::string_view bytes) {
    const bool before = bytes.starts_with(kReportsVersionBefore);
    if (!before && !bytes.starts_with(kReportsVersion)) return std::nullopt;
    return list_of<DayReport>(bytes, [before](Reader& reader, DayReport& report) {
        reader.number(report.sent);
        reader.number(report.received);
        reader.number(report.latency.min);
        reader.number(report.latency.max);
        reader.number(report.latency.sum);
        reader.number(report.latency.samples);
        reader.number(report.updated);
        if (before) return;
        reader.number(report.throughput);
        reader.number(report.latency_last);
    });
}

std::optional<LastList> last_list_of(std::string_view bytes) {
    if (!bytes.starts_with(kCountersVersion)) return std::nullopt;
    return list_of<LastCounters>(bytes, [](Reader& reader, LastCounters& last) {
        reader.number(last.sent);
        reader.number(last.received);
        reader.number(last.sampled);
        reader.number(last.seen);
    });
}

std::string traffic_key(std::string_view edge, services::Date date) {
    return fmt::format("{}:traffic:{}:{}", kPrefix, edge, services::date_text(date));
}

std::string last_counters_key(std::string_view edge) {
    return fmt::format("{}:traffic:{}", kPrefix, edge);
}

std::string traffic_set_key(services::Date date) {
    return fmt::format("{}:traffic:on:{}", kPrefix, services::date_text(date));
}

}  // namespace skywire::tpd
