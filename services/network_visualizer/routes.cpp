#include "services/network_visualizer/routes.hpp"

#include "base/json.hpp"

#include <fmt/format.h>

namespace skywire::network_visualizer {
namespace {

using http::Method;
using http::Request;
using http::Response;

/// Nothing but the page's own files; what comes from the network is text and never code.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

/// What is asked again each time, and answered with 304 where it is the same.
void add_validator(Response& response, std::string tag) {
    response.fields.set("ETag", std::move(tag));
    response.fields.set("Cache-Control", "no-cache");
}

bool has_it(const Request& request, std::string_view tag) {
    const auto known = request.fields.get("If-None-Match");
    // Also where the tag came compressed ("W/...") or among others.
    return known && known->find(tag) != std::string_view::npos;
}

Response asset_response(const Request& request, const Asset& asset, const std::string& tag) {
    const bool known = has_it(request, tag);
    Response response = known ? Response::empty(304)
                              : Response::of(200, std::string(asset.type), std::string(asset.text));
    add_validator(response, tag);
    response.fields.set("Content-Security-Policy", kPolicy);
    response.fields.set("X-Content-Type-Options", "nosniff");
    response.fields.set("Referrer-Policy", "no-referrer");
    return response;
}

std::string quoted(std::string_view text) {
    std::string out;
    append_json_string(out, text, JsonEscape::html);
    return out;
}

}  // namespace

Routes::Routes(std::array<const Copy*, kParts.size()> copies) : copies_(copies) {}

void Routes::add_to(http::Router& router) {
    const auto add_part = [this, &router](std::string_view path, Part which) {
        const Copy& copy = *copies_.at(static_cast<std::size_t>(which));
        router.on(Method::get, path, [this, &copy](Request& request) -> Task<Response> {
            co_return part(request, copy);
        });
    };
    add_part("/api/services", Part::services);
    add_part("/api/dmsg/servers/clients", Part::clients);
    add_part("/api/transports", Part::transports);
    router.on(Method::get, "/api/health", [this](Request&) -> Task<Response> {
        co_return health();
    });
    for (const Asset& asset : page_assets()) {
        const std::string path = asset.name == "index.html" ? "/" : "/" + std::string(asset.name);
        std::string tag = fmt::format("\"{:016x}\"", std::hash<std::string_view>()(asset.text));
        const auto answer = [&asset, tag = std::move(tag)](Request& request) {
            return asset_response(request, asset, tag);
        };
        router.on(Method::get, path, [answer](Request& request) -> Task<Response> {
            co_return answer(request);
        });
    }
}

Response Routes::part(const Request& request, const Copy& copy) const {
    const Body& body = copy.body();
    Response response;
    if (!body.text) {
        const std::string why = copy.failure().empty() ? "nothing has come yet" : copy.failure();
        response = Response::json(503, R"({"error":)" + quoted(why) + "}");
        response.fields.set("Cache-Control", "no-store");
    } else {
        const std::string tag = '"' + body.tag + '"';
        if (has_it(request, tag)) {
            response = Response::empty(304);
        } else {
            response = Response::json(200, {});
            response.shared_body = body.text;
        }
        add_validator(response, tag);
        response.fields.set("X-Skywire-Age", fmt::format("{:.3f}", seconds(copy.age())));
    }
    response.fields.set("X-Skywire-Source", std::string(origin_name(copy.origin())));
    response.fields.set("X-Content-Type-Options", "nosniff");
    return response;
}

/// 200 whatever it says: the state of the service itself is in /health.
Response Routes::health() const {
    std::string parts;
    bool well = true;
    for (const Copy* copy : copies_) {
        well = well && copy->failure().empty() && copy->body().text;
        parts += parts.empty() ? "" : ",";
        parts += fmt::format(
            R"("{}":{{"source":"{}","place":{},"age_seconds":{:.3f},"items":{},"version":"{}",)",
            part_name(copy->part()),
            origin_name(copy->origin()),
            quoted(copy->place()),
            seconds(copy->age()),
            copy->body().items,
            copy->body().tag
        );
        parts += fmt::format(
            R"("failure":{},"feed":{{"state":"{}","seconds":{:.3f},"detail":{}}}}})",
            quoted(copy->failure()),
            feed_state_name(copy->feed_state()),
            seconds(copy->feed_state_age()),
            quoted(copy->feed_detail())
        );
    }
    std::string text =
        fmt::format(R"({{"status":"{}","parts":{{{}}}}})", well ? "healthy" : "degraded", parts);
    Response response = Response::json(200, std::move(text));
    response.fields.set("Cache-Control", "no-store");
    return response;
}

}  // namespace skywire::network_visualizer
