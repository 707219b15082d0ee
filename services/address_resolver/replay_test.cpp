// The recorded requests of vectors/services/ar_http_2025.json, and those to the resolver of
// dmsg_http_2025.json, by the rules of spec/services-http.md section 13.1.

#include "services/address_resolver/test_resolver.hpp"

#include <set>

namespace skywire::resolver {
namespace {

struct Pair {
    explicit Pair(const json::value& recorded)
        : name(test::text(recorded, "name")),
          request(TestResolver::request(
              method_of(test::text(recorded.at("request"), "method")),
              test::text(recorded.at("request"), "path"),
              test::text(recorded.at("request"), "body")
          )),
          status(recorded.at("response").at("status").to_number<unsigned>()),
          body(test::text(recorded.at("response"), "body")) {
        const auto& asked = recorded.at("request").as_object();
        if (const auto* fields = asked.if_contains("headers"))
            for (const auto& field : fields->as_object())
                request.fields.set(field.key(), std::string(field.value().as_string()));
        const auto& answered = recorded.at("response").at("headers").as_object();
        for (const auto& field : answered)
            headers[std::string(field.key())] = std::string(field.value().as_string());
    }

    static http::Method method_of(std::string_view name) {
        for (const auto method :
             {http::Method::get, http::Method::post, http::Method::put, http::Method::delete_})
            if (http::method_name(method) == name) return method;
        throw std::runtime_error("unexpected method");
    }

    std::string name;
    http::Request request;
    unsigned status;
    std::string body;
    std::map<std::string, std::string> headers;
};

std::vector<Pair> pairs(const std::string& file, std::string_view prefix = {}) {
    std::vector<Pair> all;
    const json::value read = test::vectors(file);
    for (const json::value& each : read.at("pairs").as_array()) {
        Pair pair(each);
        if (pair.name.starts_with(prefix)) all.push_back(std::move(pair));
    }
    return all;
}

crypto::PublicKey key_in(const std::string& file, std::string_view name) {
    const json::value read = test::vectors(file);
    return crypto::PublicKey::from_text(test::text(read.at("keys").at(name), "public")).value();
}

/// The keys of each type as a set: their order is the store's own.
std::set<std::string> members_of(const std::string& body) {
    std::set<std::string> members;
    const json::value parsed = parse_json(body).value();
    for (const auto& type : parsed.as_object())
        for (const json::value& key : type.value().as_array())
            members.insert(std::string(type.key()) + " " + std::string(key.as_string()));
    return members;
}

/// Where ours differs.
void amend(Pair& pair) {
    if (pair.name == "nonce_not_curve") {
        pair.status = 400;
        pair.body = "{\"error\":{\"message\":\"Invalid public key\",\"code\":400}}\n";
        pair.headers["Content-Type"] = "application/json";
    } else if (pair.name == "resolve_bad_type") {
        pair.status = 404;
    } else if (pair.name == "ar_bind_unsigned") {
        pair.status = 200;
        pair.body.clear();
        pair.headers.erase("Content-Type");
        pair.request.fields.set("SW-PublicIP", "203.0.113.7");
    } else if (pair.name == "ar_bind_as_other") {
        pair.status = 401;
        pair.body =
            "{\"error\":{\"message\":\"Recovered pubkey does not match pubkey\","
            "\"code\":401}}\n";
        pair.headers["Content-Type"] = "application/json";
    }
}

void compare(const Pair& pair, const http::Response& response) {
    INFO(pair.name);
    CHECK(response.status == pair.status);
    const std::string body(response.body_view());
    if (pair.request.path == "/health") {
        const json::value ours = parse_json(body).value();
        CHECK(ours.at("service_name").as_string() == "address-resolver");
        for (const std::string_view name : {"build_info", "started_at"})
            CHECK(ours.as_object().contains(name));
    } else if (pair.request.path == "/transports") {
        CHECK(members_of(body) == members_of(pair.body));
    } else {
        CHECK(body == pair.body);
    }
    for (const std::string_view name : {"Content-Type", "Allow", "X-Content-Type-Options"}) {
        const auto recorded = pair.headers.find(std::string(name));
        INFO(name);
        CHECK(
            response.fields.get(name).value_or("") ==
            (recorded == pair.headers.end() ? "" : recorded->second)
        );
    }
}

Config monitored() {
    Config config = TestResolver::test_config();
    config.whitelist_keys = {key_in("services/ar_http_2025.json", "monitor").to_text()};
    return config;
}

void replay(services::StoreConfig store) {
    services::TestWorld world;
    TestResolver resolver(world, std::move(store), monitored());
    auto recorded = pairs("services/ar_http_2025.json");
    REQUIRE(recorded.size() == 48);
    for (Pair& pair : recorded) {
        amend(pair);
        compare(pair, resolver.send(pair.request));
    }
}

}  // namespace

TEST_CASE("address-resolver: the recorded requests over the memory store") {
    replay(services::TestStore::memory());
}

TEST_CASE("address-resolver: the recorded requests over the snapshot store") {
    replay(services::TestStore::snapshot());
}

TEST_CASE("address-resolver: the recorded requests over Redis") {
    store::RedisServer redis;
    replay(services::TestStore::redis(redis));
}

TEST_CASE("address-resolver: the recorded requests over dmsg") {
    const std::string file = "services/dmsg_http_2025.json";
    services::TestWorld world;
    TestResolver resolver(world);
    const auto caller = key_in(file, "visor1");
    // What came before the recording has used numbers up.
    store::Batch used;
    for (const auto& [key, nonce] :
         {std::pair(caller, "1"), std::pair(key_in(file, "visor2"), "7")}) {
        used.changes.emplace_back(store::SetValue{"address-resolver:nonces:" + key.to_text(), nonce}
        );
    }
    const auto applied = world.loop.run(resolver.store.raw().apply(std::move(used)));
    REQUIRE(applied.value());
    auto recorded = pairs(file, "ar_");
    REQUIRE(recorded.size() == 8);
    for (Pair& pair : recorded) {
        amend(pair);
        pair.request.remote = net::Address::tcp(caller.to_text(), 50000);
        compare(pair, resolver.send(pair.request));
    }
}

TEST_CASE("address-resolver: a recorded bind with a byte changed is refused") {
    services::TestWorld world;
    TestResolver resolver(world, services::TestStore::memory(), monitored());
    for (const Pair& pair : pairs("services/ar_http_2025.json")) {
        if (pair.name != "bind_ok") continue;
        for (std::size_t i = 0; i < pair.request.body.size(); ++i) {
            http::Request changed = pair.request;
            changed.body[i] = static_cast<char>(changed.body[i] ^ 1);
            const auto response = resolver.send(std::move(changed));
            CHECK(response.status == 401);
        }
        CHECK(resolver.transports() == "{}");
        CHECK(resolver.send(pair.request).status == 200);
    }
}

}  // namespace skywire::resolver
