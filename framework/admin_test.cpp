#include "framework/admin.hpp"

#include "base/temporary_folder.hpp"
#include "base/test.hpp"
#include "http/client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <sys/stat.h>

namespace skywire::framework {
namespace {

using Catch::Matchers::Contains;
using http::Method;

/// Starts at once, does nothing, stops at once.
class Toy final : public Service {
 public:
    Task<Result<>> start(ServiceHost& host) override {
        host.reached("http");
        log::debug(host.context().logger, "toy.detail");
        log::info(host.context().logger, "toy.started");
        host.context().metrics.counter("toys_total", "Toys").add();
        co_return Result<>();
    }
    Task<> drain(SteadyTime) override { co_return; }
    Task<std::vector<std::string>> stop(SteadyTime) override {
        co_return std::vector<std::string>();
    }
    HealthReport health() override { return {}; }
};

ServiceRegistry toys() {
    ServiceRegistry registry;
    ServiceType type;
    type.name = "toy";
    type.milestones = {"http"};
    type.make = [](const Block&) -> Result<std::unique_ptr<Service>> {
        return std::unique_ptr<Service>(std::make_unique<Toy>());
    };
    registry.add(std::move(type));
    return registry;
}

DeploymentConfig two_toys(const ServiceRegistry& registry) {
    auto loaded = load_deployment(
        "test.json",
        R"({"services": [{"type": "toy", "name": "dmsgd"},
                         {"type": "toy", "name": "tpd", "depends_on": ["dmsgd:http"]}]})",
        registry
    );
    REQUIRE(loaded.config.has_value());
    return std::move(*loaded.config);
}

/// Two services, ready, an admin listener, and a client of it, on one event loop.
class Fixture {
 public:
    explicit Fixture(Admin::Options options)
        : hub_(clock, LogHub::Format::text, [](std::string_view) {}),
          environment_{loops_, clock, random_, network_, workers_, metrics, faults_, hub_},
          context_(
              loops_.at(0),
              clock,
              random_,
              network_,
              workers_,
              metrics,
              faults_,
              hub_.logger("admin")
          ),
          registry_(toys()),
          config_(two_toys(registry_)),
          supervisor(environment_, config_, {}),
          admin(context_, environment_, supervisor, std::move(options)),
          client_(context_) {
        REQUIRE(admin.start().has_value());
    }

    ~Fixture() {
        if (started_) {
            supervisor.request_shutdown("the test ends");
            run(supervisor.wait_down());
        }
        client_.close();
        run(admin.stop(clock.now() + std::chrono::seconds(1)));
        while (loops_.context(0).poll() > 0) {
        }
    }

    void boot() {
        started_ = true;
        supervisor.start();
        REQUIRE(run(supervisor.wait_ready()));
    }

    http::Response send(
        Method method,
        const std::string& target,
        std::string body = {},
        const std::string& authorization = {}
    ) {
        http::ClientRequest request;
        request.method = method;
        request.address = admin.address();
        request.target = target;
        request.body = std::move(body);
        if (!authorization.empty()) request.fields.set("Authorization", authorization);
        auto response = run(client_.send(std::move(request)));
        REQUIRE(response.has_value());
        return std::move(*response);
    }
    http::Response get(const std::string& target) { return send(Method::get, target); }
    json::value get_json(const std::string& target, unsigned status = 200) {
        const auto response = get(target);
        CHECK(response.status == status);
        CHECK(response.fields.get("Content-Type") == "application/json");
        return parse_json(response.body_view()).value();
    }

    std::uint64_t refused(const std::string& reason) {
        return metrics.counter("admin_refused_total", "", {{"reason", reason}}).value();
    }

    template <class T>
    T run(Task<T> task) {
        std::optional<T> value;
        asio::co_spawn(loops_.at(0), std::move(task), [&](std::exception_ptr error, T result) {
            if (error) std::rethrow_exception(error);
            value.emplace(std::move(result));
        });
        while (!value)
            loops_.context(0).run_one();
        return std::move(*value);
    }
    void run(Task<> task) {
        bool done = false;
        asio::co_spawn(loops_.at(0), std::move(task), [&](std::exception_ptr error) {
            if (error) std::rethrow_exception(error);
            done = true;
        });
        while (!done)
            loops_.context(0).run_one();
    }

    ManualClock clock;
    MetricRegistry metrics;

 private:
    SeededRandom random_{1};
    net::SystemNetwork network_;
    net::WorkerPool workers_{1, 100};
    Faults faults_;
    LogHub hub_;
    net::EventLoops loops_{1};
    Environment environment_;
    net::Context context_;
    ServiceRegistry registry_;
    DeploymentConfig config_;
    bool started_ = false;

 public:
    Supervisor supervisor;
    Admin admin;

 private:
    http::Client client_;
};

Admin::Options on_tcp(std::string token = {}) {
    return {net::Address::tcp("127.0.0.1", 0), std::move(token)};
}

TEST_CASE("admin: health and readiness before and after the services are ready") {
    Fixture f(on_tcp());
    CHECK(f.get_json("/health", 503).at("ready") == false);
    auto readyz = f.get("/readyz");
    CHECK(readyz.status == 503);
    CHECK_THAT(std::string(readyz.body_view()), Contains("dmsgd: "));
    CHECK(f.get("/livez").status == 200);

    f.boot();
    const auto health = f.get_json("/health");
    CHECK(health.at("status") == "ready");
    CHECK(health.at("services").as_array().size() == 2);
    readyz = f.get("/readyz");
    CHECK(readyz.status == 200);
    CHECK(readyz.body_view() == "ok\n");
    CHECK(f.get("/livez").body_view() == "ok\n");
}

TEST_CASE("admin: every endpoint of its list is there") {
    Fixture f(on_tcp("secret"));
    f.boot();
    const auto endpoints = f.get_json("/");
    for (const auto& endpoint : endpoints.as_array()) {
        std::string path = test::text(endpoint, "path");
        // A profile takes its time; it has tests of its own.
        if (path.ends_with("/profile") || test::text(endpoint, "method") != "GET") continue;
        if (const auto name = path.find("{name}"); name != std::string::npos) {
            path.replace(name, 6, "tpd");
        }
        INFO(path);
        const unsigned status = f.get(path).status;
        CHECK((status == 200 || (status == 501 && path.ends_with("/heap"))));
    }
    CHECK(f.get("/nothing").status == 404);
    CHECK(f.get("/pprof/symbol").body_view() == "num_symbols: 1\n");
    CHECK(f.send(Method::post, "/pprof/symbol", "0x1").status == 200);
}

TEST_CASE("admin: metrics are Prometheus text, services' series with their label") {
    Fixture f(on_tcp());
    f.boot();
    const auto response = f.get("/metrics");
    CHECK(response.fields.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
    const std::string text(response.body_view());
    CHECK_THAT(text, Contains("# HELP toys_total Toys\n# TYPE toys_total counter\n"));
    CHECK_THAT(text, Contains("toys_total{service=\"tpd\"} 1\n"));
    CHECK_THAT(text, Contains("# TYPE process_cpu_seconds_total counter\n"));
}

TEST_CASE("admin: services, graph and timeline") {
    Fixture f(on_tcp());
    f.boot();
    CHECK(f.get_json("/services").as_array().size() == 2);
    CHECK(f.get_json("/services/tpd").at("state") == "ready");
    CHECK(
        f.get_json("/services/tpx", 404).at("error") == "no service \"tpx\" (did you mean \"tpd\"?)"
    );
    CHECK(f.refused("unknown_service") == 1);

    const auto graph = f.get_json("/graph");
    CHECK(graph.at("services").at(0).at("state") == "ready");
    CHECK(graph.at("edges").at(0).at("milestone") == "http");
    const auto dot = f.get("/graph?format=dot");
    CHECK(dot.fields.get("Content-Type") == "text/vnd.graphviz; charset=utf-8");
    CHECK_THAT(std::string(dot.body_view()), Contains("\"dmsgd\" -> \"tpd\""));
    CHECK(f.get("/graph?format=png").status == 400);

    const auto events = f.get_json("/timeline").as_array();
    REQUIRE(events.size() > 2);
    const auto later = f.get_json("/timeline?after=2").as_array();
    CHECK(later.size() == events.size() - 2);
    CHECK(later[0].at("number") == 3);
    CHECK(f.get("/timeline?after=-1").status == 400);
    CHECK(f.get("/timeline?after=x").status == 400);
    CHECK(f.get("/pprof/profile?seconds=0").status == 400);
    CHECK(f.get("/pprof/profile?seconds=301").status == 400);
    CHECK(f.refused("bad_query") == 5);
}

TEST_CASE("admin: without a token file TCP is read-only") {
    Fixture f(on_tcp());
    f.boot();
    for (const std::string authorization : {"", "Bearer ", "Bearer x"}) {
        CHECK(f.send(Method::post, "/services/tpd/stop", {}, authorization).status == 403);
        CHECK(f.send(Method::post, "/log-level", "{}", authorization).status == 403);
    }
    CHECK(f.refused("changes_disabled") == 6);
    CHECK(f.get_json("/services/tpd").at("state") == "ready");
}

TEST_CASE("admin: over TCP a change needs the token") {
    Fixture f(on_tcp("secret"));
    f.boot();
    auto response = f.send(Method::post, "/services/tpd/stop");
    CHECK(response.status == 401);
    CHECK(response.fields.get("WWW-Authenticate") == "Bearer");
    CHECK(f.refused("token_missing") == 1);
    for (const std::string wrong : {"Bearer", "Bearer ", "Bearer secre", "Bearer secret2"}) {
        CHECK(f.send(Method::post, "/services/tpd/stop", {}, wrong).status == 401);
    }
    CHECK(f.send(Method::put, "/services/tpd/stop", {}, "Basic secret").status == 401);
    CHECK(f.get("/health").status == 200);
    CHECK(f.get("/metrics").status == 200);

    response = f.send(Method::post, "/services/tpd/stop", {}, "Bearer secret");
    CHECK(response.status == 200);
    CHECK(parse_json(response.body_view()).value().at("state") == "stopped");
}

TEST_CASE("admin: services are stopped, started and restarted over the unix socket") {
    const test::TemporaryFolder folder;
    Fixture f({net::Address::unix_path(folder / "new/admin.sock"), {}});
    f.boot();
    struct stat status{};
    REQUIRE(::stat((folder / "new/admin.sock").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);

    CHECK(f.send(Method::post, "/services/tpd/stop").status == 200);
    CHECK(f.get_json("/services/tpd").at("state") == "stopped");
    CHECK(f.get_json("/health", 503).at("ready") == false);
    CHECK(f.send(Method::post, "/services/tpd/start").status == 200);
    CHECK(f.get_json("/services/tpd").at("state") == "ready");
    CHECK(f.send(Method::post, "/services/tpd/start").status == 409);
    CHECK(f.refused("wrong_state") == 1);
    CHECK(f.send(Method::post, "/services/tpd/restart").status == 200);
    CHECK(f.get_json("/services/tpd").at("restarts").as_int64() > 0);
    CHECK(f.send(Method::post, "/services/tp/stop").status == 404);
    CHECK(f.get("/services/tpd/stop").status == 405);
}

TEST_CASE("admin: the level of one logger changes, for a while or for good") {
    const test::TemporaryFolder folder;
    Fixture f({net::Address::unix_path(folder / "admin.sock"), {}});
    f.boot();
    const auto level_of = [&](std::string_view name) {
        const auto levels = f.get_json("/log-level");
        for (const auto& each : levels.as_array()) {
            if (each.at("service") == json::string(name)) return test::text(each, "level");
        }
        return std::string();
    };
    CHECK(level_of("tpd") == "info");
    CHECK_THAT(std::string(f.get("/logs/tpd").body_view()), Contains("[tpd] toy.started\n"));
    CHECK_THAT(std::string(f.get("/logs/tpd").body_view()), !Contains("toy.detail"));

    const auto changed = f.send(
        Method::post, "/log-level", R"({"service": "tpd", "level": "debug", "expires": "60s"})"
    );
    CHECK(changed.status == 200);
    CHECK(parse_json(changed.body_view()).value().at(0).at("back_to") == "info");
    CHECK(level_of("tpd") == "debug");
    CHECK(level_of("dmsgd") == "info");
    CHECK(f.send(Method::post, "/services/tpd/stop").status == 200);
    CHECK(f.send(Method::post, "/services/tpd/start").status == 200);
    CHECK_THAT(std::string(f.get("/logs/tpd").body_view()), Contains("DEBUG [tpd] toy.detail\n"));
    CHECK(f.get_json("/logs/tpd?format=json").at("lines").as_array().size() >= 3);
    CHECK(f.get("/logs/tpd?format=xml").status == 400);
    CHECK(f.get("/logs/nobody").status == 404);

    f.clock.advance(std::chrono::seconds(60));
    CHECK(level_of("tpd") == "info");
    CHECK(
        f.send(Method::post, "/log-level", R"({"service":"tpd","level":"warning"})").status == 200
    );
    CHECK(level_of("tpd") == "warn");
}

TEST_CASE("admin: a bad level change says what is wrong") {
    const test::TemporaryFolder folder;
    Fixture f({net::Address::unix_path(folder / "admin.sock"), {}});
    f.boot();
    const auto refused = [&](const std::string& body, unsigned status) {
        const auto response = f.send(Method::post, "/log-level", body);
        CHECK(response.status == status);
        return test::text(parse_json(response.body_view()).value(), "error");
    };
    refused("", 400);
    refused("[]", 400);
    refused("{\"service\": 1}", 400);
    CHECK_THAT(refused(R"({"servise": "tpd"})", 400), Contains("member \"servise\" is unknown"));
    CHECK_THAT(refused(R"({"service": "tpd"})", 400), Contains("level \"\" is none of"));
    CHECK_THAT(refused(R"({"service": "tpd", "level": "loud\n"})", 400), Contains("\"loud\\x0a\""));
    CHECK_THAT(
        refused(R"({"service": "tdp", "level": "info"})", 404), Contains("did you mean \"tpd\"")
    );
    for (const std::string expires : {"0s", "-1s", "soon", "721h"}) {
        refused(fmt::format(R"({{"service":"tpd","level":"info","expires":"{}"}})", expires), 400);
    }
    CHECK(f.refused("bad_body") == 4);
    CHECK(f.refused("bad_level") == 2);
    CHECK(f.refused("bad_expires") == 4);
    CHECK(f.refused("unknown_service") == 1);
}

TEST_CASE("admin: a dead process's socket is replaced, a living one's is an error") {
    const test::TemporaryFolder folder;
    const auto address = net::Address::unix_path(folder / "admin.sock");
    Fixture f({address, {}});
    net::EventLoops loops(1);
    net::SystemNetwork network;
    const auto second = network.listen(loops.at(0), address);
    CHECK_FALSE(second.has_value());
    CHECK(f.get("/livez").status == 200);

    ::chmod(folder.path().c_str(), 0777);
    CHECK_FALSE(f.admin.address().path.empty());
    CHECK_FALSE(prepare_socket_folder(address.path).has_value());
}

}  // namespace
}  // namespace skywire::framework
