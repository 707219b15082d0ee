#pragma once

#include "http/router.hpp"
#include "services/common/name_list.hpp"
#include "services/common/visor_uptimes.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

/// Questions about uptimes and their answers: spec/services-http.md section 4.2.
namespace skywire::services {

/// What is asked for; an empty set is all, an empty type any.
struct UptimeQuestion {
    /// v1 tells who is on, v2 also the days, v3 also their timelines.
    int version = 1;
    /// Of visors.
    NameSet keys;
    /// Of transports, where it is about them.
    NameSet ids;
    std::string type;
    bool edges = false;
};

/// Why a question is none.
struct UptimeRefusal {
    enum class Why { unknown_version, bad_body };
    Why why = Why::bad_body;
    /// For the answer, a 400.
    std::string text;
};

/// ?v=v2&visors=KEY;KEY, and of transports &tp=ID;ID&type=TYPE&edges=true.
std::optional<UptimeQuestion> question_of_query(
    const http::Request& request, UptimeRefusal& refusal
);
/// {"pks":[],"v":"v2","ids":[],"type":"","edges":true}
std::optional<UptimeQuestion> question_of_body(std::string_view body, UptimeRefusal& refusal);

/// Appends the members `daily` and `timeline`, as far as the version has them.
void append_days(std::string& out, const Days& days, int version);

/// Appends what /uptimes has of a visor, as far as the version has it: {"pk","on","version"?,
/// "daily"?,"timeline"?}.
void append_uptime(std::string& out, const VisorUptime& visor, bool on, int version);

/// GET and POST /uptimes, about visors.
class UptimeRoutes {
 public:
    struct Hooks {
        /// Whether a visor is on.
        std::function<bool(const VisorUptime&)> on;
        /// Counts a question that was refused.
        std::function<void(UptimeRefusal::Why)> refused;
        /// The answer while the store does not answer.
        std::function<http::Response(const Error&)> store_failed;
    };

    /// `uptimes` outlives it.
    UptimeRoutes(VisorUptimes& uptimes, Hooks hooks);

    /// The routes outlive the router.
    void add_to(http::Router& router);

 private:
    Task<http::Response> answer(std::optional<UptimeQuestion> question, UptimeRefusal refusal);

    VisorUptimes& uptimes_;
    Hooks hooks_;
};

}  // namespace skywire::services
