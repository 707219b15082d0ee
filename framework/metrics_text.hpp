#pragma once

#include "base/metrics.hpp"

#include <string>

namespace skywire::framework {

/// Prometheus text format 0.0.4 (HELP, TYPE, `le` buckets) of all series of a registry, and of the
/// process itself where asked (process_cpu_seconds_total, process_resident_memory_bytes,
/// process_open_fds, process_max_fds, process_threads, process_start_time_seconds).
std::string metrics_text(const MetricRegistry& registry, bool with_process = true);

/// Only the series with this value of the label `service`: a service's own metrics_addr.
std::string service_metrics_text(const MetricRegistry& registry, const std::string& service);

}  // namespace skywire::framework
