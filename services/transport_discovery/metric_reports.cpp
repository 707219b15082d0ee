#include "services/common/json_style.hpp"
#include "services/transport_discovery/detail/names.hpp"
#include "services/transport_discovery/reports.hpp"

#include <fmt/format.h>

/// Bandwidth and latency: what is answered without data.
namespace skywire::tpd {

using http::Request;
using http::Response;
using services::json_response;
using services::JsonStyle;

Task<Response> Reports::no_bandwidth(const Request& request) {
    const std::string period = request.query("period").value_or("daily");
    if (period != "daily") co_return refused(Refused::bad_query, 400, "period must be daily");
    co_return json_response(200, "null", JsonStyle::c);
}

Task<Response> Reports::transport_bandwidth(Request& request) {
    if (!transport::TransportId::from_text(request.param("id")))
        co_return refused(Refused::bad_id, 400, "transport ID is invalid");
    co_return co_await no_bandwidth(request);
}

Task<Response> Reports::visor_bandwidth(Request& request) {
    if (!crypto::PublicKey::from_text_not_null(request.param("pk")))
        co_return refused(Refused::bad_key, 400, "public key is invalid");
    co_return co_await no_bandwidth(request);
}

Task<Response> Reports::metric(Request&) {
    co_return json_response(200, R"({"daily":[],"cumulative":{}})", JsonStyle::c);
}

Task<Response> Reports::metric_of_visors(Request& request) {
    std::string body = "{";
    for (const std::string& key : detail::names_of(request.param("pks"), ',')) {
        if (!EdgeKey::from_text(key)) continue;
        if (body.size() > 1) body += ',';
        body += fmt::format(R"("{}":{{"daily":[],"cumulative":{{}}}})", key);
    }
    body += '}';
    co_return json_response(200, std::move(body), JsonStyle::c);
}

Task<Response> Reports::metrics(Request&) {
    co_return json_response(200, "[]", JsonStyle::c);
}

}  // namespace skywire::tpd
