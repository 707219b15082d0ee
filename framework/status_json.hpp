#pragma once

#include "framework/logging.hpp"
#include "framework/supervisor.hpp"
#include "framework/timeline.hpp"

#include <string>
#include <vector>

/// JSON of what the admin listener shows. Member names are lower snake_case, times RFC 3339 in UTC;
/// a duration is there twice, as "1.2s" under its name and as a number under NAME_seconds.
namespace skywire::framework {

std::string_view check_status_name(Check::Status status) noexcept;

/// GET /health: {status, ready, stopping, started_at, build_info, services}.
std::string health_json(const DeploymentStatus& status);

/// GET /services: an array of what GET /services/NAME shows.
std::string services_json(const std::vector<ServiceStatus>& services);
std::string service_json(const ServiceStatus& service);

/// GET /timeline: an array of {number, at, since_start, label, event, detail}.
std::string timeline_json(const std::vector<Timeline::Event>& events);

/// GET /log-level: an array of {service, level} with {back_to, until} while a temporary level
/// holds.
std::string levels_json(const std::vector<LogHub::LevelStatus>& levels);

/// GET /logs/NAME?format=json: {service, lines}.
std::string log_lines_json(std::string_view scope, const std::vector<std::string>& lines);

/// {"error": "..."}
std::string error_json(std::string_view message);

/// Why the deployment is not ready, a line per critical service that is not; for /readyz and for
/// systemd's STATUS.
std::vector<std::string> unready_reasons(const DeploymentStatus& status);

}  // namespace skywire::framework
