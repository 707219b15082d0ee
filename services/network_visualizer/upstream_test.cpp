// How a copy is kept current over HTTP, and what of it is told.

#include "services/network_visualizer/upstream.hpp"

#include "base/json.hpp"
#include "base/test.hpp"
#include "http/server.hpp"
#include "net/test_loop.hpp"
#include "services/common/test_request.hpp"
#include "services/network_visualizer/decode.hpp"
#include "services/network_visualizer/routes.hpp"
#include "services/network_visualizer/test_network.hpp"

namespace skywire::network_visualizer {
namespace {

using framework::Check;
using http::Method;

/// All discoveries in one, whose answers the test sets, and a copy of each part.
class TestUpstreams {
 public:
    TestUpstreams()
        : loop(&clock),
          services(loop.context, Part::services),
          clients(loop.context, Part::clients),
          transports(loop.context, Part::transports),
          routes({&services, &clients, &transports}),
          server_(loop.context, discoveries_, {}) {
        routes.add_to(router);
        for (const char* path :
             {"/api/services",
              "/all-transports",
              "/dmsg-discovery/servers/clients",
              "/dmsg-discovery/all_servers"})
            discoveries_.on(Method::get, path, [this](http::Request& request) {
                return answer(request);
            });
        const auto any = net::Address::tcp("127.0.0.1", 0);
        server_.serve(loop.network.listen(loop.context.loop, any).value());
    }
    ~TestUpstreams() { loop.run(server_.stop(clock.now() + std::chrono::seconds(10))); }
    TestUpstreams(const TestUpstreams&) = delete;
    TestUpstreams& operator=(const TestUpstreams&) = delete;

    std::string url() const { return "http://" + server_.addresses().front().to_string(); }

    std::unique_ptr<Upstream> upstream(Copy& copy, std::size_t bytes_max = 1 << 20) {
        Upstream::Options options;
        options.url = url();
        options.refresh = std::chrono::seconds(10);
        options.bytes_max = bytes_max;
        return std::make_unique<Upstream>(loop.context, copy, options);
    }

    http::Response get(const std::string& target, http::Fields fields = {}) {
        return loop.run(services::answer_of(
            router, services::local_request(Method::get, target, "", std::move(fields))
        ));
    }

    json::value health() { return parse_json(get("/api/health").body).value(); }

    std::uint64_t refreshes(const char* part, const char* outcome) {
        return loop.metrics
            .counter(
                "network_visualizer_refreshes_total",
                "",
                {{"part", part}, {"source", "http"}, {"outcome", outcome}}
            )
            .value();
    }

    ManualClock clock;
    net::TestLoop loop;
    Copy services;
    Copy clients;
    Copy transports;
    Routes routes;
    http::Router router;
    /// By target.
    std::map<std::string, std::string> bodies;
    std::string tag;
    unsigned status = 200;
    int asked = 0;
    int unchanged = 0;

 private:
    Task<http::Response> answer(http::Request& request) {
        ++asked;
        if (!tag.empty() && request.fields.get("If-None-Match") == tag) {
            ++unchanged;
            co_return http::Response::empty(304);
        }
        const auto found = bodies.find(request.target);
        if (status == 200 && found == bodies.end()) co_return http::not_found_page();
        auto response = http::Response::json(status, found == bodies.end() ? "" : found->second);
        if (!tag.empty()) response.fields.set("ETag", tag);
        co_return response;
    }

    http::Router discoveries_;
    http::Server server_;
};

std::string list_of(const std::vector<transport::Entry>& entries) {
    std::string text = "[";
    for (const transport::Entry& entry : entries)
        text += (text.size() > 1 ? "," : "") + transport::to_json(entry);
    return text + "]";
}

constexpr const char* kTransports = "/all-transports";

}  // namespace

TEST_CASE("visualizer: a list is asked again only for what has changed") {
    TestUpstreams world;
    const auto upstream = world.upstream(world.transports);
    world.bodies[kTransports] = list_of({joins(1, 2), joins(2, 3)});
    world.tag = "\"1\"";
    world.loop.run(upstream->refresh());
    CHECK(world.transports.body().items == 2);
    CHECK(world.transports.origin() == Origin::http);
    CHECK(world.transports.place() == world.url());
    world.loop.run(upstream->refresh());
    CHECK(world.unchanged == 1);
    // An upstream that knows no tags: the text tells.
    world.tag.clear();
    world.loop.run(upstream->refresh());
    CHECK(world.refreshes("transports", "changed") == 1);
    CHECK(world.refreshes("transports", "unchanged") == 2);
    world.bodies[kTransports] = "null\n";
    world.loop.run(upstream->refresh());
    CHECK(world.transports.body().items == 0);
    CHECK(world.refreshes("transports", "changed") == 2);
}

TEST_CASE("visualizer: all lists of a part make one copy") {
    TestUpstreams world;
    world.bodies["/api/services?type=vpn"] =
        R"([{"address":")" + key_text(1) + R"(:44","type":"vpn"}])";
    world.bodies["/api/services?type=visor"] = "null";
    world.bodies["/api/services?type=skysocks"] = "[]";
    world.loop.run(world.upstream(world.services)->refresh());
    CHECK(world.services.body().items == 1);
    // A discovery without servers answers 404.
    world.bodies["/dmsg-discovery/servers/clients"] = "{}";
    const auto upstream = world.upstream(world.clients);
    world.loop.run(upstream->refresh());
    CHECK(world.clients.check().status == Check::Status::pass);
    CHECK(world.clients.body().items == 0);
    world.bodies["/dmsg-discovery/all_servers"] = R"([{"static":")" + key_text(2) + R"("}])";
    world.loop.run(upstream->refresh());
    CHECK(world.clients.body().items == 1);
}

TEST_CASE("visualizer: whatever an upstream fails with, the last copy stays and grows old") {
    TestUpstreams world;
    const auto upstream = world.upstream(world.transports, 4096);
    CHECK(world.transports.check().status == Check::Status::fail);
    const auto failing = [&](const std::string& why) {
        world.clock.advance(std::chrono::seconds(5));
        world.loop.run(upstream->refresh());
        const Check check = world.transports.check();
        INFO(check.detail);
        CHECK(check.detail.find(why) != std::string::npos);
        return check.status;
    };
    CHECK(failing("status 404") == Check::Status::fail);
    CHECK(world.get("/api/transports").status == 503);
    world.bodies[kTransports] = list_of({joins(1, 2)});
    world.loop.run(upstream->refresh());
    CHECK(world.transports.check().status == Check::Status::pass);
    const std::string good = world.get("/api/transports").body_view().data();
    world.status = 500;
    CHECK(failing("status 500; the copy is 5 s old") == Check::Status::fail);
    world.status = 200;
    for (const std::string& body :
         {std::string("<html>"),
          std::string("{}"),
          std::string(),
          std::string(4000, '['),
          std::string("[\"\xff\"]")}) {
        world.bodies[kTransports] = body;
        INFO(body.substr(0, 10));
        CHECK(failing("the list") == Check::Status::fail);
    }
    world.bodies[kTransports] = std::string(5000, ' ');
    CHECK(failing("the copy is 35 s old") == Check::Status::fail);
    const auto answer = world.get("/api/transports");
    CHECK(answer.status == 200);
    CHECK(answer.body_view() == good);
    CHECK(answer.fields.get("X-Skywire-Age") == "35.000");
    CHECK(world.health().at("status").as_string() == "degraded");
    CHECK(world.refreshes("transports", "failed") == 8);
    world.bodies[kTransports] = list_of({joins(1, 2)});
    world.loop.run(upstream->refresh());
    CHECK(world.transports.check().status == Check::Status::pass);
    CHECK(world.transports.age() == Duration(0));
}

TEST_CASE("visualizer: after failures it asks soon, then ever more seldom") {
    using std::chrono::seconds;
    CHECK(pause_after(0, seconds(10)) == seconds(10));
    CHECK(pause_after(1, seconds(10)) == seconds(1));
    CHECK(pause_after(2, seconds(10)) == seconds(2));
    CHECK(pause_after(4, seconds(10)) == seconds(8));
    CHECK(pause_after(5, seconds(10)) == seconds(15));
    CHECK(pause_after(4'000'000'000, seconds(10)) == seconds(15));
    CHECK(pause_after(4'000'000'000, seconds(3600)) == seconds(16));
}

TEST_CASE("visualizer: each answer says whose copy it is and how old") {
    TestUpstreams world;
    world.bodies[kTransports] = list_of({joins(1, 2)});
    const auto none = world.get("/api/transports");
    CHECK(none.status == 503);
    CHECK(none.body == R"({"error":"nothing has come yet"})");
    CHECK(none.fields.get("X-Skywire-Source") == "none");
    world.loop.run(world.upstream(world.transports)->refresh());
    world.clock.advance(std::chrono::milliseconds(1250));
    const auto answer = world.get("/api/transports");
    CHECK(answer.status == 200);
    CHECK(answer.fields.get("Content-Type") == "application/json");
    CHECK(answer.fields.get("X-Skywire-Source") == "http");
    CHECK(answer.fields.get("X-Skywire-Age") == "1.250");
    http::Fields fields;
    fields.set("If-None-Match", std::string(answer.fields.get("ETag").value()));
    const auto same = world.get("/api/transports", fields);
    CHECK(same.status == 304);
    CHECK(same.fields.get("X-Skywire-Age") == "1.250");
    const json::value health = world.health();
    CHECK(health.at("status").as_string() == "degraded");
    const json::value& part = health.at("parts").at("transports");
    CHECK(part.at("source").as_string() == "http");
    CHECK(part.at("place").as_string() == world.url());
    CHECK(part.at("age_seconds").to_number<double>() == Approx(1.25));
    CHECK(part.at("items").as_int64() == 1);
    CHECK(part.at("failure").as_string().empty());
    CHECK(answer.fields.get("ETag") == "\"" + std::string(part.at("version").as_string()) + "\"");
    CHECK(health.at("parts").at("dmsg").at("source").as_string() == "none");
}

TEST_CASE("visualizer: what is followed by other means is not asked for") {
    TestUpstreams world;
    world.bodies[kTransports] = list_of({joins(1, 2)});
    world.transports.replace(Origin::cxo, "a feed", transports_body({joins(3, 4), joins(4, 5)}));
    world.transports.follow(true);
    const auto upstream = world.upstream(world.transports);
    world.loop.run(upstream->refresh());
    CHECK(world.transports.origin() == Origin::cxo);
    CHECK(world.transports.age() == Duration(0));
    world.clock.advance(std::chrono::seconds(7));
    CHECK(world.transports.age() == Duration(0));
    world.transports.follow(false);
    world.clock.advance(std::chrono::seconds(7));
    CHECK(world.transports.age() == std::chrono::seconds(7));
    world.loop.run(upstream->refresh());
    CHECK(world.transports.origin() == Origin::http);
    CHECK(world.transports.body().items == 1);
}

TEST_CASE("visualizer: the page loads nothing but its own files") {
    TestUpstreams world;
    const auto page = world.get("/");
    CHECK(page.status == 200);
    CHECK(page.fields.get("Content-Type") == "text/html; charset=utf-8");
    const std::string policy(page.fields.get("Content-Security-Policy").value());
    CHECK(policy.starts_with("default-src 'none'"));
    CHECK(policy.find("unsafe") == std::string::npos);
    CHECK(page.body.find("style=") == std::string::npos);
    for (const Asset& asset : page_assets()) {
        if (asset.name == "index.html") continue;
        const std::string path = "/" + std::string(asset.name);
        INFO(path);
        const auto file = world.get(path);
        CHECK(file.status == 200);
        CHECK(file.body == asset.text);
        CHECK(file.fields.get("X-Content-Type-Options") == "nosniff");
        for (const char* danger :
             {"innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write", "https://"
             })
            CHECK(file.body.find(danger) == std::string::npos);
    }
    http::Fields fields;
    fields.set("If-None-Match", std::string(page.fields.get("ETag").value()));
    CHECK(world.get("/", fields).status == 304);
    CHECK(world.get("/app/nothing.js").status == 404);
}

}  // namespace skywire::network_visualizer
