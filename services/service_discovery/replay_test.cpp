// The recorded requests of the network, by the rules of spec/services-http.md section 13.1.

#include "services/service_discovery/test_service_discovery.hpp"

#include <algorithm>

namespace skywire::service_discovery {
namespace {

using services::TestStore;
using services::TestWorld;

http::Method method_of(std::string_view name) {
    using http::Method;
    for (const Method method : {Method::get, Method::post, Method::delete_, Method::options})
        if (http::method_name(method) == name) return method;
    return http::Method::other;
}

std::string header_of(const json::value& pair, std::string_view name) {
    const json::value& headers = pair.as_object().at("response").as_object().at("headers");
    if (!headers.is_object()) return {};
    const json::value* found = headers.get_object().if_contains(name);
    return found == nullptr ? std::string() : std::string(found->as_string());
}

/// The items of a list of objects, in an order of their own.
std::vector<std::string> items_of(std::string_view list) {
    std::vector<std::string> items;
    const auto parsed = parse_json(list);
    if (!parsed || !parsed->is_array()) return items;
    for (const json::value& item : parsed->get_array())
        items.push_back(json::serialize(item));
    std::sort(items.begin(), items.end());
    return items;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
    const auto at = text.find(what);
    if (at != std::string::npos) text.replace(at, what.size(), with);
    return text;
}

class Replay {
 public:
    explicit Replay(TestService& service, const std::string& file)
        : service_(service), file_(test::vectors(file)) {}

    const json::array& pairs() const { return file_.as_object().at("pairs").as_array(); }

    http::Response send(const json::value& pair, std::string peer = "127.0.0.1") {
        const json::object& request = pair.as_object().at("request").as_object();
        http::Fields fields;
        if (const json::value* headers = request.if_contains("headers"); headers != nullptr) {
            for (const auto& [name, value] : headers->as_object())
                fields.set(name, std::string(value.as_string()));
        }
        return service_.send(
            method_of(request.at("method").as_string()),
            std::string(request.at("path").as_string()),
            std::string(request.at("body").as_string()),
            std::move(fields),
            std::move(peer)
        );
    }

    static int status(const json::value& pair) {
        return pair.as_object().at("response").as_object().at("status").to_number<int>();
    }
    static std::string body(const json::value& pair) {
        return test::text(pair.as_object().at("response"), "body");
    }

    static void compare_headers(const json::value& pair, const http::Response& ours) {
        for (const char* name :
             {"Content-Type",
              "Allow",
              "Vary",
              "X-Content-Type-Options",
              "Access-Control-Allow-Origin",
              "Access-Control-Allow-Methods",
              "Access-Control-Allow-Headers",
              "Access-Control-Expose-Headers",
              "Access-Control-Max-Age"}) {
            INFO(name);
            CHECK(std::string(ours.fields.get(name).value_or("")) == header_of(pair, name));
        }
    }

    /// Exactly, but for the order of a list.
    static void compare(const json::value& pair, const http::Response& ours, std::string expected) {
        CHECK(static_cast<int>(ours.status) == status(pair));
        compare_headers(pair, ours);
        const std::string body(ours.body_view());
        if (items_of(expected).size() < 2) {
            CHECK(body == expected);
            return;
        }
        CHECK(items_of(body) == items_of(expected));
        CHECK(body.size() == expected.size());
    }

 private:
    TestService& service_;
    json::value file_;
};

void set_nonce(TestWorld& world, TestService& service, const std::string& who, std::uint64_t to) {
    store::Batch batch;
    batch.changes.emplace_back(store::SetValue{
        "service-discovery:nonces:" + keys_of(who).public_key.to_text(), std::to_string(to)
    });
    world.loop.run(service.store.raw().apply(std::move(batch))).value();
}

}  // namespace

TEST_CASE("sd replay: every recorded route and error") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    Replay replay(service, "services/sd_http_2025.json");
    const std::string visor1 = keys_of("visor1").public_key.to_text();
    std::size_t compared = 0;
    for (const json::value& pair : replay.pairs()) {
        const std::string name = test::text(pair, "name");
        INFO(name);
        ++compared;
        const http::Response ours = replay.send(pair);
        const std::string body(ours.body_view());
        if (name == "nonce_not_curve") {
            CHECK(ours.status == 400);
            CHECK(body == "{\"error\":{\"message\":\"Invalid public key\",\"code\":400}}\n");
        } else if (name == "health") {
            CHECK(ours.status == 200);
            Replay::compare_headers(pair, ours);
            CHECK(body.starts_with(R"({"service_name":"service-discovery","build_info":{)"));
        } else if (name == "post_no_geo_public") {
            // Registered without a place, so that its number is used up; the record goes on
            // without that.
            CHECK(ours.status == 200);
            CHECK(
                body == R"({"address":")" + keys_of("visor2").public_key.to_text() +
                            R"(:44","type":"vpn","version":"v1.3.29"})" + "\n"
            );
            set_nonce(world, service, "visor2", 1);
        } else if (name == "service_one_wrong_port" || name == "service_one") {
            // The port of the question does not matter; the last one registered is told.
            CHECK(ours.status == 200);
            CHECK(
                body == R"({"address":")" + visor1 +
                            R"(:45","type":"vpn","geo":{"lat":1.23,"lon":4.5,"country":"US",)"
                            R"("region":"TX"},"version":"v1.3.29"})" +
                            "\n"
            );
        } else if (name == "service_one_none") {
            CHECK(ours.status == 404);
            CHECK(body == "{\"error\":\"Not Found: service not found\"}\n");
        } else if (name == "services_quantity_one") {
            REQUIRE(items_of(body).size() == 1);
            const auto all = items_of(service.list("vpn"));
            CHECK(std::count(all.begin(), all.end(), items_of(body).front()) == 1);
        } else {
            Replay::compare(
                pair,
                ours,
                replaced(
                    Replay::body(pair),
                    "\"" + visor1 + ":44\"",
                    name.starts_with("services_") ? "\"" + visor1 + ":45\""
                                                  : "\"" + visor1 + ":44\""
                )
            );
        }
    }
    CHECK(compared == 79);
}

TEST_CASE("sd replay: numbers and what the decoder takes") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    Replay replay(service, "services/sd_json_2025.json");
    for (const json::value& pair : replay.pairs()) {
        INFO(test::text(pair, "name"));
        Replay::compare(pair, replay.send(pair), Replay::body(pair));
    }
    CHECK(replay.pairs().size() == 14);
}

TEST_CASE("sd replay: the same over dmsg") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    // What the recorded service had seen before.
    Replay earlier(service, "services/sd_http_2025.json");
    for (const json::value& pair : earlier.pairs())
        if (test::text(pair, "name") == "post_visor") CHECK(earlier.send(pair).status == 200);
    set_nonce(world, service, "visor1", 5);
    Replay replay(service, "services/dmsg_http_2025.json");
    std::size_t compared = 0;
    for (const json::value& pair : replay.pairs()) {
        const std::string name = test::text(pair, "name");
        if (!name.starts_with("sd_")) continue;
        INFO(name);
        ++compared;
        const auto ours = replay.send(pair, keys_of("visor1").public_key.to_text());
        if (name == "sd_health") {
            CHECK(ours.status == 200);
            Replay::compare_headers(pair, ours);
        } else {
            Replay::compare(pair, ours, Replay::body(pair));
        }
    }
    CHECK(compared == 3);
}

}  // namespace skywire::service_discovery
