#include "services/transport_discovery/metrics_json.hpp"

#include "services/common/json_style.hpp"

#include <array>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

namespace skywire::tpd {
namespace {

constexpr std::array<std::string_view, 2> kEdgeNames{"a", "b"};

void append_day(std::string& out, services::Date date, const TransportDay& day) {
    const auto to = std::back_inserter(out);
    fmt::format_to(to, R"({{"date":"{}")", services::date_text(date));
    for (std::size_t i = 0; i < kEdgeNames.size(); ++i) {
        const EdgeTraffic& edge = day.traffic[i];
        if (!edge.told) continue;
        fmt::format_to(
            to, R"(,"{}":{{"sent":{},"recv":{}}})", kEdgeNames[i], edge.sent, edge.received
        );
    }
    out += '}';
}

}  // namespace

void append_latency(std::string& out, const Latency& latency) {
    fmt::format_to(
        std::back_inserter(out),
        R"({{"min":{},"max":{},"avg":{}}})",
        latency.min,
        latency.max,
        latency.mean()
    );
}

void append_metrics(
    std::string& out, const TransportDays& days, bool live, const MetricsForm& form
) {
    const TransportDay& newest = *days.back().second;
    const auto to = std::back_inserter(out);
    fmt::format_to(to, R"({{"id":"{}","type":)", newest.id.to_text());
    services::append_string(out, newest.type, services::JsonStyle::c);
    fmt::format_to(to, R"(,"live":{})", live);
    if (form.edges) {
        fmt::format_to(
            to, R"(,"edges":["{}","{}"])", newest.edges[0].to_text(), newest.edges[1].to_text()
        );
    }
    if (form.latency) {
        Latency latency;
        for (const auto& [date, day] : days)
            latency.add(day->latency);
        if (latency.samples > 0) {
            out += R"(,"latency":)";
            append_latency(out, latency);
        }
    }
    out += R"(,"daily":[)";
    if (form.traffic) {
        bool comma = false;
        for (const auto& [date, day] : days) {
            if (comma) out += ',';
            comma = true;
            append_day(out, date, *day);
        }
    }
    out += "]}";
}

}  // namespace skywire::tpd
