#pragma once

#include "base/test.hpp"
#include "services/common/test_request.hpp"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/serialize.hpp>

/// For tests that replay the recorded requests of vectors/services: spec/services-http.md section
/// 13.1.
namespace skywire::services {

inline http::Method method_named(std::string_view name) {
    using http::Method;
    for (const Method method :
         {Method::get, Method::head, Method::post, Method::put, Method::delete_, Method::options})
        if (http::method_name(method) == name) return method;
    throw std::runtime_error("unexpected method: " + std::string(name));
}

/// One request, and what the network's program answered.
struct Recorded {
    explicit Recorded(const json::value& pair)
        : name(test::text(pair, "name")),
          request(local_request(
              method_named(test::text(pair.at("request"), "method")),
              test::text(pair.at("request"), "path"),
              test::text(pair.at("request"), "body")
          )),
          status(pair.at("response").at("status").to_number<int>()),
          body(test::text(pair.at("response"), "body")) {
        if (const json::value* sent = pair.at("request").as_object().if_contains("headers"))
            for (const auto& field : sent->as_object())
                request.fields.set(field.key(), std::string(field.value().as_string()));
        const json::value* answered = pair.at("response").as_object().if_contains("headers");
        if (answered == nullptr || !answered->is_object()) return;
        for (const auto& field : answered->get_object())
            fields[std::string(field.key())] = std::string(field.value().as_string());
    }

    std::string name;
    http::Request request;
    /// Below 100: it did not answer.
    int status;
    std::string body;
    std::map<std::string, std::string, std::less<>> fields;
};

/// The pairs of a file below vectors/ whose names begin with `prefix`, in their order.
inline std::vector<Recorded> recorded(const std::string& file, std::string_view prefix = {}) {
    std::vector<Recorded> all;
    const json::value read = test::vectors(file);
    for (const json::value& pair : read.at("pairs").as_array())
        if (test::text(pair, "name").starts_with(prefix)) all.emplace_back(pair);
    return all;
}

/// Each of these is in both answers with the same text, or in neither.
inline void check_fields(
    const http::Response& ours,
    const Recorded& theirs,
    std::initializer_list<std::string_view> names =
        {"Content-Type", "Allow", "X-Content-Type-Options"}
) {
    for (const std::string_view name : names) {
        INFO(name);
        const auto found = theirs.fields.find(name);
        std::string_view text;
        if (found != theirs.fields.end()) text = found->second;
        CHECK(ours.fields.get(name).value_or("") == text);
    }
}

/// The elements of a JSON list, sorted: the order is often the store's own. Nothing of other texts.
inline std::vector<std::string> sorted_elements(std::string_view text) {
    std::vector<std::string> elements;
    const auto parsed = parse_json(text);
    if (!parsed || !parsed->is_array()) return elements;
    elements.reserve(parsed->get_array().size());
    for (const json::value& element : parsed->get_array())
        elements.push_back(json::serialize(element));
    std::sort(elements.begin(), elements.end());
    return elements;
}

/// The same text, but for the order of a list.
inline void check_body(std::string_view ours, std::string_view theirs) {
    const auto elements = sorted_elements(theirs);
    if (elements.size() < 2) {
        CHECK(ours == theirs);
        return;
    }
    CHECK(sorted_elements(ours) == elements);
    CHECK(ours.size() == theirs.size());
}

/// Answers to GET /health: what differs from run to run is there. Members about dmsg are for tests
/// of a deployment.
inline void check_health(
    const http::Response& ours, const Recorded& theirs, std::string_view service_name
) {
    CHECK(ours.status == 200);
    const json::value health = parse_json(ours.body_view()).value();
    CHECK(health.at("service_name").as_string() == service_name);
    const json::value recorded_health = parse_json(theirs.body).value();
    for (const auto& member : recorded_health.as_object()) {
        if (member.key().starts_with("dmsg_")) continue;
        INFO(std::string(member.key()));
        CHECK(health.as_object().contains(member.key()));
    }
}

}  // namespace skywire::services
