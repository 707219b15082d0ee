#include "framework/status_json.hpp"

#include "base/test.hpp"
#include "framework/json_writer.hpp"

namespace skywire::framework {
namespace {

const WallTime kSomeTime{std::chrono::seconds(1'700'000'000)};

json::value parsed(const std::string& document) {
    REQUIRE(document.ends_with('\n'));
    return parse_json(std::string_view(document).substr(0, document.size() - 1)).value();
}

ServiceStatus some_service() {
    ServiceStatus service;
    service.label = "sd";
    service.type = "service-discovery";
    service.state = State::degraded;
    service.since = kSomeTime;
    service.reason = "redis";
    service.root_cause = "redis://127.0.0.1:6379/2: connection refused";
    service.milestones = {"http", "ready"};
    service.checks = {{"redis", Check::Status::fail, "connection \"refused\"", kSomeTime}};
    service.upstreams = {{"dmsgd:http", "start", true, State::ready, ""}};
    service.transitions = {{kSomeTime, State::starting, State::ready, "started"}};
    service.restarts = 2;
    service.start_took = std::chrono::milliseconds(1200);
    service.addresses = {"tcp 127.0.0.1:9098"};
    return service;
}

TEST_CASE("json writer: commas, nesting, escapes and numbers") {
    JsonWriter out;
    out.begin_object();
    out.member("text", "a\"\n\xff").member("yes", true).member("n", -3).member("x", 0.25);
    out.key("nothing").null();
    out.key("list").begin_array().value(1).begin_array().end_array().value("b").end_array();
    out.key("empty").begin_object().end_object();
    out.member("at", kSomeTime);
    out.member("inf", std::numeric_limits<double>::infinity());
    out.end_object();
    CHECK(
        out.take() ==
        "{\"text\":\"a\\\"\\n\\ufffd\",\"yes\":true,\"n\":-3,\"x\":0.25,\"nothing\":null,"
        "\"list\":[1,[],\"b\"],\"empty\":{},\"at\":\"2023-11-14T22:13:20Z\",\"inf\":null}\n"
    );
}

TEST_CASE("status json: a service with its checks, upstreams and transitions") {
    const auto service = parsed(service_json(some_service())).as_object();
    CHECK(service.at("label") == "sd");
    CHECK(service.at("state") == "degraded");
    CHECK(service.at("critical") == true);
    CHECK(service.at("since") == "2023-11-14T22:13:20Z");
    CHECK(service.at("root_cause") == "redis://127.0.0.1:6379/2: connection refused");
    CHECK(service.at("start_took") == "1.2s");
    CHECK(service.at("start_took_seconds").as_double() == Approx(1.2));
    CHECK(service.at("restarts") == 2);
    CHECK(service.at("milestones").as_array().size() == 2);
    CHECK(service.at("checks").at(0).at("status") == "fail");
    CHECK(service.at("checks").at(0).at("detail") == "connection \"refused\"");
    CHECK(service.at("upstreams").at(0).at("name") == "dmsgd:http");
    CHECK(service.at("upstreams").at(0).at("there") == true);
    CHECK(service.at("transitions").at(0).at("to") == "ready");
    CHECK(service.at("addresses").at(0) == "tcp 127.0.0.1:9098");
    CHECK(parsed(services_json({some_service(), some_service()})).as_array().size() == 2);
}

TEST_CASE("status json: health holds the deployment and all services") {
    DeploymentStatus status;
    status.started_at = kSomeTime;
    status.ready = true;
    status.state = State::degraded;
    status.services = {some_service()};
    const auto health = parsed(health_json(status)).as_object();
    CHECK(health.at("status") == "degraded");
    CHECK(health.at("ready") == true);
    CHECK(health.at("started_at") == "2023-11-14T22:13:20Z");
    CHECK(health.at("build_info").as_object().contains("version"));
    CHECK(health.at("services").at(0).at("label") == "sd");
}

TEST_CASE("status json: the reasons for not being ready name the critical services alone") {
    DeploymentStatus status;
    ServiceStatus waiting = some_service();
    waiting.state = State::starting;
    ServiceStatus optional = waiting;
    optional.critical = false;
    ServiceStatus plain = waiting;
    plain.label = "tpd";
    plain.state = State::stopped;
    plain.reason.clear();
    plain.root_cause.clear();
    status.services = {some_service(), waiting, optional, plain};
    CHECK(
        unready_reasons(status) ==
        std::vector<std::string>{
            "sd: starting: redis://127.0.0.1:6379/2: connection refused", "tpd: stopped"
        }
    );
    status.stopping = true;
    CHECK(unready_reasons(status).front() == "shutting down");
}

TEST_CASE("status json: timeline, levels and log lines") {
    ManualClock clock(kSomeTime);
    Timeline timeline(clock);
    timeline.add("sd", "milestone", "http");
    const auto events = parsed(timeline_json(timeline.events()));
    CHECK(events.at(0).at("number") == 1);
    CHECK(events.at(0).at("label") == "sd");
    CHECK(events.at(0).at("since_start") == "0s");
    CHECK(events.at(0).at("event") == "milestone");

    const auto levels = parsed(levels_json(
        {{"sd", log::Level::debug, log::Level::info, kSomeTime},
         {"tpd", log::Level::info, std::nullopt, std::nullopt}}
    ));
    CHECK(levels.at(0).at("back_to") == "info");
    CHECK(levels.at(0).at("until") == "2023-11-14T22:13:20Z");
    CHECK_FALSE(levels.at(1).as_object().contains("back_to"));

    CHECK(
        log_lines_json("sd", {"one", "two"}) == "{\"service\":\"sd\",\"lines\":[\"one\",\"two\"]}\n"
    );
    CHECK(error_json("no \"x\"") == "{\"error\":\"no \\\"x\\\"\"}\n");
}

}  // namespace
}  // namespace skywire::framework
