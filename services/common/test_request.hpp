#pragma once

#include "http/router.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

/// For tests and fuzz targets of routes: requests and their answers without a connection.
namespace skywire::services {

/// As it comes from a client on this machine.
inline http::Request local_request(
    http::Method method, std::string target, std::string body = {}, http::Fields fields = {}
) {
    http::Request made;
    made.method = method;
    made.method_text = http::method_name(method);
    made.path = target.substr(0, target.find('?'));
    made.target = std::move(target);
    made.body = std::move(body);
    made.fields = std::move(fields);
    made.remote = net::Address::tcp("127.0.0.1", 40000);
    return made;
}

/// Through the router, as a connection does it; `router` outlives the task.
inline Task<http::Response> answer_of(const http::Router& router, http::Request request) {
    co_return co_await router.handle(request);
}

/// Cuts the first line off, without its end.
inline std::string_view take_line(std::string_view& rest) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return line;
}

/// Of the input of a fuzz target: a line "METHOD TARGET", header lines, an empty line, the body.
inline http::Request read_request(std::string_view input) {
    using http::Method;
    const std::string_view first = take_line(input);
    const std::size_t space = std::min(first.find(' '), first.size());
    std::string target(first.substr(std::min(space + 1, first.size())));
    if (!target.starts_with('/')) target.insert(0, "/");
    http::Request request = local_request(Method::other, std::move(target));
    request.method_text = first.substr(0, space);
    for (const Method method :
         {Method::get, Method::head, Method::post, Method::put, Method::delete_, Method::options})
        if (http::method_name(method) == request.method_text) request.method = method;
    while (!input.empty()) {
        const std::string_view line = take_line(input);
        if (line.empty()) break;
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        request.fields.add(std::string(line.substr(0, colon)), std::string(line.substr(colon + 1)));
    }
    request.body = input;
    return request;
}

}  // namespace skywire::services
