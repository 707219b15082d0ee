#include "services/service_discovery/cors.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace skywire::service_discovery {
namespace {

using http::Request;
using http::Response;

constexpr std::array<std::string_view, 5> kMethods{"GET", "POST", "PUT", "DELETE", "OPTIONS"};
constexpr std::array<std::string_view, 5> kHeaders{
    "Accept", "Authorization", "Content-Type", "Origin", "X-Csrf-Token"
};
constexpr std::string_view kAskedMethod = "Access-Control-Request-Method";
constexpr std::string_view kAskedHeaders = "Access-Control-Request-Headers";

bool contains(const auto& list, std::string_view text) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

std::string upper(std::string_view text) {
    std::string made(text);
    for (char& c : made)
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return made;
}

/// "x-csrf-token" as "X-Csrf-Token".
std::string canonical(std::string_view name) {
    std::string made(name);
    bool begins = true;
    for (char& c : made) {
        const auto letter = static_cast<unsigned char>(c);
        c = static_cast<char>(begins ? std::toupper(letter) : std::tolower(letter));
        begins = c == '-';
    }
    return made;
}

/// The names of a list, in canonical form; nothing where one of them is not allowed.
std::optional<std::vector<std::string>> allowed_headers(std::string_view list) {
    std::vector<std::string> names;
    while (!list.empty()) {
        const std::size_t end = std::min(list.find_first_of(", "), list.size());
        if (end > 0) names.push_back(canonical(list.substr(0, end)));
        list.remove_prefix(std::min(end + 1, list.size()));
    }
    const auto allowed = [](const std::string& name) { return contains(kHeaders, name); };
    if (!std::all_of(names.begin(), names.end(), allowed)) return std::nullopt;
    return names;
}

Response preflight(const Request& request) {
    Response response = Response::empty(200);
    response.fields.set(
        "Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    );
    if (request.fields.get("Origin").value_or("").empty()) return response;
    const std::string method = upper(request.fields.get(kAskedMethod).value_or(""));
    if (!contains(kMethods, method)) return response;
    const auto headers = allowed_headers(request.fields.get(kAskedHeaders).value_or(""));
    if (!headers) return response;
    response.fields.set("Access-Control-Allow-Origin", "*");
    response.fields.set("Access-Control-Allow-Methods", method);
    std::string names;
    for (const std::string& name : *headers)
        names += (names.empty() ? "" : ", ") + name;
    if (!names.empty()) response.fields.set("Access-Control-Allow-Headers", names);
    response.fields.set("Access-Control-Max-Age", "300");
    return response;
}

Task<Response> around(Request& request, const http::Handler& next) {
    const bool asks = !request.fields.get(kAskedMethod).value_or("").empty();
    if (request.method == http::Method::options && asks) co_return preflight(request);
    const bool cross_origin = !request.fields.get("Origin").value_or("").empty() &&
                              contains(kMethods, http::method_name(request.method));
    Response response = co_await next(request);
    std::string vary = "Origin";
    if (const auto more = response.fields.get("Vary")) vary += ", " + std::string(*more);
    response.fields.set("Vary", std::move(vary));
    if (response.status == 405) response.fields.remove("Allow");
    if (cross_origin) {
        response.fields.set("Access-Control-Allow-Origin", "*");
        response.fields.set("Access-Control-Expose-Headers", "Link");
    }
    co_return response;
}

}  // namespace

http::Middleware cors() {
    return [](Request& request, const http::Handler& next) { return around(request, next); };
}

}  // namespace skywire::service_discovery
