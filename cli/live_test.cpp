#include "base/test.hpp"
#include "cli/test_run.hpp"
#include "framework/admin_address.hpp"
#include "framework/deployment.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace skywire::cli {

namespace {

/// The blocks of a file with these labels, or all, on the machine's clock.
class Running {
 public:
    explicit Running(const std::string& file, std::set<std::string> only = {}) {
        auto loaded = framework::load_deployment_file(file, registry_);
        REQUIRE(loaded.config);
        framework::Deployment::Options options;
        options.only = std::move(only);
        deployment_.emplace(
            framework::World{clock_, random_, network_, faults_, [](std::string_view) {}},
            std::move(*loaded.config),
            std::move(options)
        );
        REQUIRE(deployment_->start());
        REQUIRE(deployment_->wait_ready());
    }

 private:
    framework::ServiceRegistry registry_ = test_types();
    SystemClock clock_;
    SystemRandom random_;
    net::SystemNetwork network_;
    Faults faults_;
    std::optional<framework::Deployment> deployment_;
};

/// A deployment with its admin socket in a folder of the test.
class Live {
 public:
    explicit Live(const std::string& services)
        : admin_("unix:" + folder_ / "admin.sock"),
          file_(folder_.write(
              "d.json",
              R"({"supervisor": {"admin_addr": ")" + admin_ + R"("}, "services": )" + services + "}"
          )),
          running_(file_) {}

    Ran run(std::vector<std::string> line) const {
        line.insert(line.end(), {"--config", file_});
        return run_line(line);
    }

    const std::string& admin() const noexcept { return admin_; }

 private:
    TemporaryFolder folder_;
    std::string admin_;
    std::string file_;
    Running running_;
};

constexpr const char* kTwo = R"([
    {"type": "test-service", "name": "a"},
    {"type": "test-service", "name": "b", "depends_on": ["a"]}])";

}  // namespace

TEST_CASE("cli: status of a running deployment, as table and as JSON") {
    Live live(kTwo);
    const Ran table = live.run({"svc", "status"});
    CHECK(table.code == kDone);
    CHECK(table.out.find("ready, started ") == 0);
    CHECK(table.out.find("\na ") != std::string::npos);
    CHECK(table.out.find("\nb ") != std::string::npos);
    const Ran json = run_line({"svc", "status", "--json", "--admin", live.admin()});
    CHECK(json.code == kDone);
    CHECK(parse_json(json.out)->at("services").as_array().size() == 2);
}

TEST_CASE("cli: stop, status, start and restart of one service") {
    Live live(kTwo);
    const Ran healthy = live.run({"svc", "health", "--here"});
    CHECK(healthy.code == kDone);
    CHECK(healthy.out.find("\nb        test-service  ok") != std::string::npos);
    CHECK(live.run({"svc", "stop", "b"}).out == "b stopped\n");
    const Ran ill = live.run({"svc", "health", "--here"});
    CHECK(ill.code == kFailed);
    CHECK(ill.out.find("\nb        test-service  fail") != std::string::npos);
    const Ran status = live.run({"svc", "status"});
    CHECK(status.code == kFailed);
    CHECK(status.out.find("stopped") != std::string::npos);
    CHECK(live.run({"svc", "start", "b"}).out == "b ready\n");
    CHECK(live.run({"svc", "restart", "b"}).out == "b ready again\n");
    CHECK(live.run({"svc", "status"}).code == kDone);

    const Ran unknown = live.run({"svc", "stop", "c"});
    CHECK(unknown.code == kFailed);
    CHECK(unknown.err.find("skywire svc stop: ") == 0);
    const Ran running = live.run({"svc", "start", "b"});
    CHECK(running.code == kFailed);
    CHECK(running.err.find("is running") != std::string::npos);
}

TEST_CASE("cli: a block whose process is gone, where each has one of its own") {
    const TemporaryFolder folder;
    const std::string file = folder.write("d.json", fmt::format(R"({{"services": {}}})", kTwo));
    const Running a(file, {"a"});
    const auto run = [&](std::vector<std::string> line) {
        line.insert(line.end(), {"--config", file});
        return run_line(line);
    };
    const Ran status = run({"svc", "status"});
    CHECK(status.code == kDone);
    CHECK(status.out.find("\na        test-service  ready") != std::string::npos);
    CHECK(status.out.find("\nb        test-service  -  ") != std::string::npos);
    CHECK(status.out.ends_with("  no process here\n"));
    CHECK(run({"svc", "status", "--only", "a"}).out.find("no process") == std::string::npos);

    const std::string hint = "no process here runs \"b\" (skywire svc run --config " + file;
    for (const char* command : {"stop", "start", "restart"}) {
        const Ran refused = run({"svc", command, "b"});
        CHECK(refused.code == kFailed);
        CHECK(refused.err.find(hint + " --only b)") != std::string::npos);
    }
    CHECK(run({"svc", "log-level", "b", "debug"}).err.find(hint) != std::string::npos);
    CHECK(run({"svc", "restart", "a"}).out == "a ready again\n");
    CHECK(run({"svc", "stop", "c"}).err.find("no service \"c\"") != std::string::npos);

    // A container's health check asks whatever is there.
    const Ran here = run({"svc", "health", "--here"});
    CHECK(here.code == kDone);
    CHECK(here.out.find("\nb ") == std::string::npos);
    CHECK(run({"svc", "health", "--here", "--only", "a"}).code == kDone);
    CHECK(run({"svc", "health", "--here", "--only", "b"}).code == kFailed);
    const Ran both = run({"svc", "health", "--here", "--only", "a,b"});
    CHECK(both.code == kFailed);
    CHECK(both.out.find("\na        test-service  ok") != std::string::npos);
    CHECK(both.out.find("\nb        test-service  fail") != std::string::npos);
    CHECK(both.out.ends_with("  no process here\n"));
}

TEST_CASE("cli: health of one block of a process that runs the whole file") {
    const TemporaryFolder folder;
    const std::string file = folder.write("d.json", fmt::format(R"({{"services": {}}})", kTwo));
    const Running whole(file);
    const auto health = [&](const std::string& only) {
        return run_line({"svc", "health", "--here", "--config", file, "--only", only});
    };
    const Ran one = health("a");
    CHECK(one.code == kDone);
    CHECK(one.out.find("\na        test-service  ok") != std::string::npos);
    CHECK(one.out.find("\nb ") == std::string::npos);
    CHECK(health("c").code == kFailed);
    CHECK(run_line({"svc", "stop", "b", "--config", file}).code == kDone);
    CHECK(health("a").code == kDone);
    CHECK(health("b").code == kFailed);
    CHECK(health("a,b").code == kFailed);
}

TEST_CASE("cli: log levels are shown and set") {
    Live live(kTwo);
    CHECK(
        live.run({"svc", "log-level", "a", "debug", "--for", "60s"}).out ==
        "a logs at debug for 60s\n"
    );
    const Ran levels = live.run({"svc", "log-level"});
    const auto parsed = parse_json(levels.out);
    REQUIRE(parsed);
    bool found = false;
    for (const auto& level : parsed->as_array()) {
        if (level.at("service").as_string() != "a") continue;
        found = true;
        CHECK(level.at("level").as_string() == "debug");
        CHECK(level.at("back_to").as_string() == "info");
    }
    CHECK(found);
    CHECK(live.run({"svc", "log-level", "nobody", "debug"}).code == kFailed);
    CHECK(live.run({"svc", "log-level", "a", "debug", "--for", "soon"}).code == kUsage);
}

TEST_CASE("cli: the socket of a process that is gone is not taken for a process") {
    const TemporaryFolder folder;
    const std::string file = folder.write("d.json", R"({"services": [{"type": "noop"}]})");
    const net::Address address = framework::default_admin_address(file, {});
    REQUIRE(framework::prepare_socket_folder(address.path));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::copy(address.path.begin(), address.path.end(), name.sun_path);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    ::close(fd);
    const Ran run = run_line({"svc", "status", "--config", file});
    CHECK(run.code == kFailed);
    CHECK(run.err.find("no process runs") != std::string::npos);
    ::unlink(address.path.c_str());
}

TEST_CASE("cli: the live graph has states") {
    Live live(kTwo);
    const Ran dot = live.run({"svc", "graph", "--live"});
    CHECK(dot.code == kDone);
    CHECK(dot.out.find("ready") != std::string::npos);
    const auto graph = parse_json(live.run({"svc", "graph", "--live", "--format", "json"}).out);
    REQUIRE(graph);
    CHECK(graph->at("services").at(0).at("state").as_string() == "ready");
}

}  // namespace skywire::cli
