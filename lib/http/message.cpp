#include "http/message.hpp"

#include "http/uri.hpp"

#include <algorithm>

namespace skywire::http {

std::string_view method_name(Method method) noexcept {
    switch (method) {
        case Method::get:
            return "GET";
        case Method::head:
            return "HEAD";
        case Method::post:
            return "POST";
        case Method::put:
            return "PUT";
        case Method::delete_:
            return "DELETE";
        case Method::options:
            return "OPTIONS";
        case Method::patch:
            return "PATCH";
        case Method::other:
            return "OTHER";
    }
    return "OTHER";
}

std::optional<std::string_view> Fields::get(std::string_view name) const noexcept {
    for (const auto& [key, value] : fields_) {
        if (equal_ignoring_case(key, name)) return value;
    }
    return std::nullopt;
}

void Fields::set(std::string_view name, std::string value) {
    const auto same = [&](const auto& field) { return equal_ignoring_case(field.first, name); };
    const auto first = std::find_if(fields_.begin(), fields_.end(), same);
    if (first == fields_.end()) {
        fields_.emplace_back(name, std::move(value));
        return;
    }
    first->second = std::move(value);
    fields_.erase(std::remove_if(first + 1, fields_.end(), same), fields_.end());
}

void Fields::add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
}

void Fields::remove(std::string_view name) {
    std::erase_if(fields_, [&](const auto& field) {
        return equal_ignoring_case(field.first, name);
    });
}

std::string_view Request::param(std::string_view name) const {
    const auto found = params.find(name);
    return found == params.end() ? std::string_view() : std::string_view(found->second);
}

std::optional<std::string> Request::query(std::string_view key) const {
    std::string_view rest = target_query(target);
    while (!rest.empty()) {
        const std::string_view pair = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
        const auto equals = pair.find('=');
        const auto name = percent_decode(pair.substr(0, equals), Plus::blank);
        if (!name || *name != key) continue;
        if (equals == std::string_view::npos) return std::string();
        // A malformed value counts as absent, as in the existing network's services.
        if (auto value = percent_decode(pair.substr(equals + 1), Plus::blank)) return value;
    }
    return std::nullopt;
}

Response Response::of(unsigned status, std::string content_type, std::string text) {
    Response response;
    response.status = status;
    response.fields.add("Content-Type", std::move(content_type));
    response.body = std::move(text);
    return response;
}

Response Response::json(unsigned status, std::string text) {
    return of(status, "application/json", std::move(text));
}

Response Response::empty(unsigned status) {
    Response response;
    response.status = status;
    return response;
}

Response not_found_page() {
    Response response = Response::of(404, "text/plain; charset=utf-8", "404 page not found\n");
    response.fields.add("X-Content-Type-Options", "nosniff");
    return response;
}

std::string_view reason_phrase(unsigned status) noexcept {
    switch (status) {
        case 100:
            return "Continue";
        case 101:
            return "Switching Protocols";
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 206:
            return "Partial Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
        case 303:
            return "See Other";
        case 304:
            return "Not Modified";
        case 307:
            return "Temporary Redirect";
        case 308:
            return "Permanent Redirect";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 410:
            return "Gone";
        case 411:
            return "Length Required";
        case 412:
            return "Precondition Failed";
        case 413:
            return "Request Entity Too Large";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 422:
            return "Unprocessable Entity";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "Status";
    }
}

}  // namespace skywire::http
