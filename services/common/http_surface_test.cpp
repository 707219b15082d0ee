#include "services/common/http_surface.hpp"

#include "base/test.hpp"
#include "http/client.hpp"
#include "net/test_loop.hpp"
#include "services/common/test_host.hpp"

namespace skywire::services {
namespace {

HttpSurface::Options loopback() {
    HttpSurface::Options options;
    options.service_name = "a-service";
    options.address = net::Address::tcp("127.0.0.1", 0);
    options.metrics_address = net::Address::tcp("127.0.0.1", 0);
    return options;
}

http::Response get(net::TestLoop& loop, const net::Address& address, std::string target) {
    http::Client client(loop.context);
    http::ClientRequest request;
    request.address = address;
    request.target = std::move(target);
    auto response = loop.run(client.send(std::move(request)));
    client.close();
    loop.settle();
    return response.value();
}

void stop(net::TestLoop& loop, HttpSurface& surface) {
    CHECK(loop.run(surface.stop(loop.system_clock.now() + std::chrono::seconds(30))).empty());
}

}  // namespace

TEST_CASE("surface: /health has the members of the network in their order") {
    const std::string body =
        health_body("a-service", WallTime(std::chrono::seconds(1'700'000'000)));
    CHECK(body.starts_with(R"({"service_name":"a-service","build_info":{"version":")"));
    CHECK(body.ends_with(R"("},"started_at":"2023-11-14T22:13:20Z"})"));
    const json::value parsed = parse_json(body).value();
    CHECK(parsed.at("build_info").as_object().size() == 3);
    CHECK(parsed.as_object().size() == 3);
}

TEST_CASE("surface: health and metrics are served on their own listeners") {
    net::TestLoop loop;
    TestHost host(loop.context);
    HttpSurface surface(host, loopback());
    CHECK(surface.check().status == framework::Check::Status::fail);
    REQUIRE(surface.listen());
    CHECK(surface.check().status == framework::Check::Status::pass);
    const auto health = get(loop, surface.address(), "/health");
    CHECK(health.status == 200);
    CHECK(health.fields.get("Content-Type") == "application/json");
    CHECK(get(loop, surface.address(), "/metrics").status == 404);
    const auto metrics = get(loop, surface.metrics_address().value(), "/metrics");
    CHECK(metrics.status == 200);
    CHECK(metrics.body == "# metrics of the test\n");
    CHECK(loop.metrics.gauge("vm_request_ongoing_count", "").value() == 0);
    loop.run(surface.drain(loop.system_clock.now() + std::chrono::seconds(30)));
    CHECK(surface.check().status == framework::Check::Status::fail);
    stop(loop, surface);
}

TEST_CASE("surface: an address that is taken is named with its key, and what holds it") {
    net::TestLoop loop;
    TestHost host(loop.context);
    HttpSurface first(host, loopback());
    REQUIRE(first.listen());
    auto options = loopback();
    options.address = first.address();
    HttpSurface second(host, options);
    const auto bound = second.listen();
    REQUIRE_FALSE(bound);
    CHECK(bound.error().message().starts_with("addr: "));
    CHECK(bound.error().message().find(first.address().to_string()) != std::string::npos);
    stop(loop, second);
    stop(loop, first);
}

}  // namespace skywire::services
