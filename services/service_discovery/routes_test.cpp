#include "http/gzip.hpp"
#include "http/server.hpp"
#include "services/service_discovery/cors.hpp"
#include "services/service_discovery/test_service_discovery.hpp"

namespace skywire::service_discovery {
namespace {

using http::Fields;
using http::Method;
using services::TestStore;
using services::TestWorld;

const crypto::KeyPair kVisor = keys_of("visor1");
const crypto::KeyPair kOther = keys_of("visor2");

/// A geo service on loopback that answers as the test says.
class GeoService {
 public:
    explicit GeoService(TestWorld& world)
        : world_(world), server_(world.context, router_, http::Server::Options()) {
        router_.on(Method::get, "/", [this](http::Request& request) { return answer(request); });
        auto listener =
            world.loop.network.listen(world.context.loop, net::Address::tcp("127.0.0.1", 0))
                .value();
        url = "http://" + listener->local().to_string();
        server_.serve(std::move(listener));
    }
    ~GeoService() { CHECK(world_.loop.run(server_.stop(world_.clock.now() + 1s)).empty()); }
    GeoService(const GeoService&) = delete;
    GeoService& operator=(const GeoService&) = delete;

    std::string url;
    std::string body;
    unsigned status = 200;
    std::vector<std::string> asked;

 private:
    Task<http::Response> answer(http::Request& request) {
        asked.push_back(request.query("ip").value_or(""));
        co_return http::Response::json(status, body);
    }

    TestWorld& world_;
    http::Router router_;
    http::Server server_;
};

std::string post_from(
    TestService& service,
    const crypto::KeyPair& keys,
    const std::string& ip,
    const std::string& type,
    const std::string& more = {}
) {
    Fields fields;
    fields.set("X-Real-IP", ip);
    const std::string body = TestService::body_of(keys, type, more);
    return service.send_signed(keys, Method::post, "/api/services", body, std::move(fields)).body;
}

}  // namespace

TEST_CASE("sd routes: the geo service is asked about public addresses of entries without a place") {
    TestWorld world;
    GeoService geo(world);
    Config config = TestService::testing_config();
    config.geo.url = geo.url;
    TestService service(world, TestStore::memory(), config);
    geo.body = R"({"country_code":"DE","region_code":"BE","latitude":52.51999,"longitude":13.405})";
    const std::string placed = R"("geo":{"lat":52.52,"lon":13.41,"country":"DE","region":"BE"})";
    CHECK(post_from(service, kVisor, "203.0.113.7", "vpn").find(placed) != std::string::npos);
    CHECK(geo.asked == std::vector<std::string>{"203.0.113.7"});
    CHECK(service.list("vpn").find(placed) != std::string::npos);
    // Found by us and not said by the visor: it does not come again.
    CHECK(world.counted("service_discovery_registrations_total", "outcome", "held") == 1);
    // Neither private addresses nor entries that have a place.
    CHECK(post_from(service, kVisor, "192.168.1.1", "vpn").find("geo") == std::string::npos);
    CHECK(post_from(service, kVisor, "2001:db8::1", "vpn").find("geo") == std::string::npos);
    CHECK(post_from(service, kVisor, "203.0.113.7", "vpn", R"(,"geo":{"lat":1})") != "");
    CHECK(geo.asked.size() == 1);
    // A visor that is looked up, reached and listed.
    const std::string ips = R"(,"local_ips":["203.0.113.9"])";
    CHECK(
        post_from(service, kVisor, "203.0.113.9", "visor", ips).find(placed) != std::string::npos
    );
    CHECK(service.lists(kVisor, "visor"));
}

TEST_CASE("sd routes: a geo service that fails refuses public visors, and nobody else") {
    TestWorld world;
    GeoService geo(world);
    Config config = TestService::testing_config();
    config.geo.url = geo.url;
    TestService service(world, TestStore::memory(), config);
    const std::string ips = R"(,"local_ips":["203.0.113.9"])";
    const std::pair<unsigned, const char*> answers[] = {
        {500, "{}"}, {200, "{}"}, {200, "no"}, {200, R"({"latitude":"x"})"}
    };
    for (const auto& [status, body] : answers) {
        geo.status = status;
        geo.body = body;
        CHECK(
            post_from(service, kVisor, "203.0.113.9", "visor", ips) ==
            "{\"error\":\"Internal Server Error: failed to get visor data\"}\n"
        );
        CHECK(post_from(service, kVisor, "203.0.113.9", "vpn").starts_with("{\"address\""));
    }
    CHECK(world.counted("service_discovery_lookups_total", "outcome", "failed") == 8);
    CHECK(world.counted("service_discovery_registrations_total", "outcome", "no_place") == 4);
}

TEST_CASE("sd routes: in a closed network a configured place stands for all that are not known") {
    TestWorld world;
    Config config = TestService::testing_config();
    config.geo.fallback = Geo{1, 2, "DE", ""};
    TestService service(world, TestStore::memory(), config);
    const std::string placed = R"("geo":{"lat":1,"lon":2,"country":"DE"})";
    const std::string ips = R"(,"local_ips":["10.0.0.9"])";
    CHECK(post_from(service, kVisor, "10.0.0.9", "visor", ips).find(placed) != std::string::npos);
    CHECK(post_from(service, kVisor, "203.0.113.9", "vpn").find(placed) != std::string::npos);
    CHECK(
        post_from(service, kVisor, "10.0.0.8", "visor", ips) ==
        "{\"error\":\"Forbidden: visor is unreachable\"}\n"
    );
    CHECK(world.counted("service_discovery_registrations_total", "outcome", "unreachable") == 1);
}

TEST_CASE("sd routes: over dmsg a visor is where it says it is") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    const std::string peer = kVisor.public_key.to_text();
    const std::string body =
        TestService::body_of(kVisor, "visor", R"(,"geo":{"lat":1},"local_ips":["203.0.113.9"])");
    Fields fields;
    CHECK(service.send(Method::post, "/api/services", body, fields, peer).status == 403);
    fields.set("SW-PublicIP", "203.0.113.9");
    CHECK(service.send(Method::post, "/api/services", body, fields, peer).status == 200);
    CHECK(service.lists(kVisor, "visor"));
    // Nobody else's, though no signature was asked for.
    const std::string others = TestService::body_of(kOther, "vpn", "");
    CHECK(service.send(Method::post, "/api/services", others, fields, peer).status == 403);
}

TEST_CASE("sd routes: what a key may store has bounds") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    const auto post = [&](const std::string& type, const std::string& more) {
        const std::string body = TestService::body_of(kVisor, type, more);
        return service.send_signed(kVisor, Method::post, "/api/services", body);
    };
    CHECK(post(std::string(200, 't'), "").body == "{\"error\":\"Bad Request: invalid json\"}\n");
    const std::string large = R"(,"local_ips":[")" + std::string(20'000, 'x') + R"("])";
    CHECK(post("vpn", large).status == 400);
    CHECK(world.counted("service_discovery_registrations_total", "outcome", "too_large") == 2);
    for (int i = 0; i < 64; ++i)
        CHECK(post("type" + std::to_string(i), "").status == 200);
    CHECK(post("one more", "").status == 500);
    CHECK(post("type0", "").status == 200);
    CHECK(service.work.directory().table().size() == 64);
}

TEST_CASE("sd routes: the monitor removes what it names, of one type") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    CHECK(service.post_held(kVisor).status == 200);
    CHECK(service.post_held(kVisor, "skysocks").status == 200);
    CHECK(service.post_held(kOther).status == 200);
    const crypto::KeyPair monitor = keys_of("monitor");
    Fields fields;
    const std::string key = monitor.public_key.to_text();
    fields.set("NM-PK", key);
    fields.set("NM-Sign", crypto::sign(monitor.secret_key, as_bytes(key)).to_text());
    const std::string body = R"([")" + kVisor.public_key.to_text() + R"("])";
    const auto answer = service.send(Method::delete_, "/api/services/deregister/vpn", body, fields);
    CHECK(answer.status == 200);
    CHECK(answer.body == "true");
    CHECK_FALSE(service.lists(kVisor));
    CHECK(service.lists(kVisor, "skysocks"));
    CHECK(service.lists(kOther));
    // One bad key, and nothing is removed.
    const std::string bad = R"([")" + kOther.public_key.to_text() + R"(","zz"])";
    CHECK(service.send(Method::delete_, "/api/services/deregister/vpn", bad, fields).status == 400);
    CHECK(service.lists(kOther));
}

TEST_CASE("sd routes: a list is compressed once for all who ask for that") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    for (int i = 0; i < 20; ++i)
        CHECK(service.post_held(crypto::deterministic_key_pair(std::to_string(i))).status == 200);
    Fields fields;
    fields.set("Accept-Encoding", "gzip");
    const auto get = [&](const Fields& sent) {
        return service.send(Method::get, "/api/services?type=vpn", {}, sent);
    };
    const auto plain = get({});
    const auto first = get(fields);
    const auto second = get(fields);
    CHECK(first.fields.get("Content-Encoding") == "gzip");
    CHECK(first.fields.get("Vary") == "Origin, Accept-Encoding");
    CHECK(plain.fields.get("Vary") == "Origin");
    CHECK(first.shared_body == second.shared_body);
    CHECK(http::gunzip(first.body_view(), 1U << 20U) == std::string(plain.body_view()));
    CHECK_FALSE(plain.fields.get("Content-Encoding"));
    CHECK(plain.shared_body == get({}).shared_body);
    CHECK(service.erase(crypto::deterministic_key_pair("0"), "vpn").status == 200);
    CHECK(get(fields).shared_body != first.shared_body);
}

TEST_CASE("sd routes: while the store does not answer writes are refused, lists are read") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    CHECK(service.post_held(kVisor).status == 200);
    Fields fields;
    const std::string body = TestService::body_of(kVisor, "skysocks", "");
    http::sign_request(fields, kVisor, body, 1);
    world.faults.set("store", "memory");
    CHECK(service.send(Method::post, "/api/services", body, fields).status == 500);
    CHECK(service.lists(kVisor));
    CHECK(service.store->check().status == framework::Check::Status::fail);
    world.faults.clear("store", "memory");
    CHECK(service.send(Method::post, "/api/services", body, fields).status == 200);
}

TEST_CASE("sd cors: a preflight is told what is allowed, and nothing else") {
    const http::Middleware middleware = cors();
    net::TestLoop loop;
    const http::Handler next = [](http::Request&) -> Task<http::Response> {
        co_return http::Response::empty(405);
    };
    const auto ask = [&](Method method, Fields fields) {
        http::Request request;
        request.method = method;
        request.fields = std::move(fields);
        return loop.run(middleware(request, next));
    };
    const auto preflight = [&](const std::string& wanted, const std::string& headers) {
        Fields fields;
        fields.set("Origin", "http://example.com");
        fields.set("Access-Control-Request-Method", wanted);
        if (!headers.empty()) fields.set("Access-Control-Request-Headers", headers);
        return ask(Method::options, std::move(fields));
    };
    const auto allowed = preflight("delete", "content-type,X-CSRF-Token, accept");
    CHECK(allowed.status == 200);
    CHECK(allowed.fields.get("Access-Control-Allow-Methods") == "DELETE");
    CHECK(
        allowed.fields.get("Access-Control-Allow-Headers") == "Content-Type, X-Csrf-Token, Accept"
    );
    CHECK_FALSE(preflight("PATCH", "").fields.get("Access-Control-Allow-Origin"));
    CHECK_FALSE(preflight("GET", "Accept, SW-Sig").fields.get("Access-Control-Allow-Origin"));
    CHECK(preflight("GET", "").fields.get("Access-Control-Allow-Origin") == "*");
    CHECK_FALSE(preflight("GET", "").fields.get("Access-Control-Allow-Headers"));
    // Without an origin, or without a method that is asked for, it is no preflight of a browser.
    Fields no_origin;
    no_origin.set("Access-Control-Request-Method", "GET");
    CHECK(ask(Method::options, no_origin).status == 200);
    CHECK_FALSE(ask(Method::options, no_origin).fields.get("Access-Control-Allow-Origin"));
    CHECK(ask(Method::options, {}).status == 405);
}

TEST_CASE("sd routes: who was there when follows from registrations") {
    TestWorld world;
    // A minute past midnight.
    world.clock.step_wall(
        services::Date(std::chrono::year(2026) / 11 / 20) + 1min - world.clock.wall()
    );
    TestService service(world, TestStore::memory());
    const auto uptimes = [&](const std::string& query) {
        world.pass(61s);
        return parse_json(service.get("/uptimes" + query).body).value().as_array();
    };
    CHECK(service.get("/uptimes").body == "[]\n");
    CHECK(service.post_refreshing(kVisor).status == 200);
    CHECK(service.post_held(kOther).status == 200);
    service.visors.living.insert(kOther.public_key);
    const json::array both = uptimes("?v=v3");
    REQUIRE(both.size() == 2);
    for (const json::value& each : both) {
        CHECK(each.at("on").as_bool());
        CHECK(each.at("version").as_string() == "v1.3.29");
        CHECK(each.at("daily").at("2026-11-20").as_string() == "0.35");
        CHECK(each.at("timeline").at("2026-11-20").as_string().starts_with(". "));
    }
    // A held entry is not written again: its owner's answers to probes count.
    world.pass(1h, 1min);
    const std::string other = kOther.public_key.to_text();
    const json::array later = uptimes("?v=v2&visors=" + other);
    REQUIRE(later.size() == 1);
    CHECK(later.at(0).at("pk").as_string() == other);
    CHECK(later.at(0).at("on").as_bool());
    CHECK(std::stod(test::text(later.at(0).at("daily"), "2026-11-20")) > 4);
    const json::array first = uptimes("?visors=" + kVisor.public_key.to_text());
    REQUIRE(first.size() == 1);
    CHECK_FALSE(first.at(0).at("on").as_bool());
}

TEST_CASE("sd routes: questions about uptimes") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    const auto post = [&](std::string body) {
        return service.send(Method::post, "/uptimes", std::move(body));
    };
    CHECK(service.post_held(kVisor).status == 200);
    const std::string key = kVisor.public_key.to_text();
    CHECK(post(R"({"pks":[")" + key + R"("]})").body == R"([{"pk":")" + key + "\",\"on\":true}]\n");
    CHECK(post("{").status == 400);
    CHECK(service.get("/uptimes?v=v9").body == "{\"error\":\"unknown version: v9\"}\n");
    world.pass(61s);
    world.faults.set("store", "memory");
    CHECK(service.get("/uptimes").status == 500);
    const auto refused = [&](std::string reason) {
        return world.counted("service_discovery_uptimes_refused_total", "reason", reason);
    };
    CHECK(refused("bad_body") == 1);
    CHECK(refused("unknown_version") == 1);
    CHECK(refused("store_unavailable") == 1);
    world.faults.clear("store", "memory");
}

}  // namespace skywire::service_discovery
