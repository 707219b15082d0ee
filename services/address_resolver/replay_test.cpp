// The recorded requests of vectors/services/ar_http_2025.json, and those to the resolver of
// dmsg_http_2025.json, by the rules of spec/services-http.md section 13.1.

#include "services/address_resolver/test_resolver.hpp"
#include "services/common/test_recorded.hpp"

#include <set>

namespace skywire::resolver {
namespace {

using services::Recorded;

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
void amend(Recorded& pair) {
    if (pair.name == "nonce_not_curve") {
        pair.status = 400;
        pair.body = "{\"error\":{\"message\":\"Invalid public key\",\"code\":400}}\n";
        pair.fields["Content-Type"] = "application/json";
    } else if (pair.name == "resolve_bad_type") {
        pair.status = 404;
    } else if (pair.name == "ar_bind_unsigned") {
        pair.status = 200;
        pair.body.clear();
        pair.fields.erase("Content-Type");
        pair.request.fields.set("SW-PublicIP", "203.0.113.7");
    } else if (pair.name == "ar_bind_as_other") {
        pair.status = 401;
        pair.body =
            "{\"error\":{\"message\":\"Recovered pubkey does not match pubkey\","
            "\"code\":401}}\n";
        pair.fields["Content-Type"] = "application/json";
    }
}

void compare(const Recorded& pair, const http::Response& response) {
    INFO(pair.name);
    CHECK(static_cast<int>(response.status) == pair.status);
    const std::string body(response.body_view());
    if (pair.request.path == "/health") {
        services::check_health(response, pair, "address-resolver");
    } else if (pair.request.path == "/transports") {
        CHECK(members_of(body) == members_of(pair.body));
    } else {
        CHECK(body == pair.body);
    }
    services::check_fields(response, pair);
}

Config monitored() {
    Config config = TestResolver::test_config();
    config.whitelist_keys = {key_in("services/ar_http_2025.json", "monitor").to_text()};
    return config;
}

void replay(services::StoreConfig store) {
    services::TestWorld world;
    TestResolver resolver(world, std::move(store), monitored());
    auto all = services::recorded("services/ar_http_2025.json");
    REQUIRE(all.size() == 48);
    for (Recorded& pair : all) {
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
    auto all = services::recorded(file, "ar_");
    REQUIRE(all.size() == 8);
    for (Recorded& pair : all) {
        amend(pair);
        pair.request.remote = net::Address::tcp(caller.to_text(), 50000);
        compare(pair, resolver.send(pair.request));
    }
}

TEST_CASE("address-resolver: a recorded bind with a byte changed is refused") {
    services::TestWorld world;
    TestResolver resolver(world, services::TestStore::memory(), monitored());
    for (const Recorded& pair : services::recorded("services/ar_http_2025.json")) {
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
