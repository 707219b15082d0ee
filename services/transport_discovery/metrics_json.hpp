#pragma once

#include "services/transport_discovery/traffic_day.hpp"

#include <string>

/// Traffic and latency as JSON: spec/services-http.md section 4.2, GET /metrics, the form of the
/// feed `tpd-metrics`, too. Latencies are whole microseconds.
namespace skywire::tpd {

/// What of a transport is told.
struct MetricsForm {
    bool edges = false;
    bool traffic = true;
    bool latency = true;
};

/// {"id","type","live","edges"?,"latency"?{min,max,avg},"daily":[{"date","a"?,"b"?}]}: a and b are
/// what the smaller and the larger edge told, {sent,recv}; the latency is that of all these days.
/// `days` is not empty.
void append_metrics(
    std::string& out, const TransportDays& days, bool live, const MetricsForm& form
);

/// {"min":...,"max":...,"avg":...}
void append_latency(std::string& out, const Latency& latency);

}  // namespace skywire::tpd
