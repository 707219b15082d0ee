#include "cli/cli.hpp"

#include "base/test.hpp"
#include "cli/test_run.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <sys/stat.h>

namespace skywire::cli {

TEST_CASE("cli: svc run --list and svc list print the types, sorted") {
    const Ran run = run_line({"svc", "run", "--list"});
    CHECK(run.code == kDone);
    CHECK(
        run.out ==
        "registered service types:\n"
        "  address-resolver\n"
        "  config-bootstrapper\n"
        "  dmsg-discovery\n"
        "  dmsg-server\n"
        "  network-visualizer\n"
        "  noop\n"
        "  route-finder\n"
        "  service-discovery\n"
        "  setup-node\n"
        "  stun-server\n"
        "  test-service\n"
        "  transport-discovery\n"
        "  transport-setup\n"
    );
    CHECK(run_line({"svc", "list"}).out == run.out);
}

TEST_CASE("cli: svc run without --config says so in one line") {
    const Ran run = run_line({"svc", "run"});
    CHECK(run.code == kUsage);
    CHECK(
        run.err == "skywire svc run: --config FILE is required (\"default\" is the built-in file)\n"
    );
}

TEST_CASE("cli: a wrong command or option names the nearest right one") {
    CHECK(run_line({"svc", "chekc"}).err.find("did you mean \"check\"?") != std::string::npos);
    CHECK(run_line({"svc", "chekc"}).code == kUsage);
    const Ran run = run_line({"svc", "run", "--confg", "x"});
    CHECK(run.code == kUsage);
    CHECK(run.err.find("did you mean --config?") != std::string::npos);
    CHECK(run_line({"svc", "log-level", "a", "loud", "--config", "x"}).code == kUsage);
    CHECK(run_line({}).code == kUsage);
    CHECK(run_line({"svc"}).code == kUsage);
}

TEST_CASE("cli: every command has help, with its options") {
    for (const std::vector<std::string>& path :
         {std::vector<std::string>{"svc", "run"},
          {"svc", "check"},
          {"svc", "list"},
          {"svc", "graph"},
          {"svc", "status"},
          {"svc", "stop"},
          {"svc", "start"},
          {"svc", "restart"},
          {"svc", "log-level"},
          {"svc", "default"},
          {"svc", "schema"},
          {"svc", "reference"},
          {"svc", "conf"},
          {"svc", "env"},
          {"svc", "health"},
          {"cli", "tp", "tree"},
          {"cli", "tp", "key"},
          {"cli", "tp", "id"},
          {"cli", "route", "find"},
          {"cli", "sd"},
          {"cli", "ar", "resolve"},
          {"cli", "ar", "list"},
          {"cli", "dmsgd", "clients"},
          {"cli", "dmsgd", "visors"},
          {"cli", "dmsgd", "servers"},
          {"cli", "dmsgd", "entry"},
          {"keys", "gen"},
          {"keys", "show"},
          {"completion"},
          {"version"}}) {
        auto line = path;
        line.push_back("--help");
        const Ran run = run_line(line);
        INFO(path.back());
        CHECK(run.code == kDone);
        CHECK(run.err.empty());
        CHECK(run.out.find("Usage: skywire " + path.front()) != std::string::npos);
    }
    CHECK(run_line({"--help"}).out.find("First steps:") != std::string::npos);
    CHECK(run_line({"svc", "run", "--help"}).out.find("First steps:") == std::string::npos);
}

TEST_CASE("cli: svc check names file, line, column and the nearest key, and exits 1") {
    const TemporaryFolder folder;
    const std::string file = folder.write("d.json", R"({
  "services": [
    {"type": "noop", "tick_secnds": 3}
  ]
})");
    const Ran run = run_line({"svc", "check", file});
    CHECK(run.code == kFailed);
    CHECK(run.out.find(file + ":3:") == 0);
    CHECK(run.out.find("tick_seconds") != std::string::npos);
    CHECK(run.out.find("noop") != std::string::npos);
    CHECK(run_line({"svc", "check", "--config", file}).out == run.out);

    const Ran refused = run_line({"svc", "run", "--config", file});
    CHECK(refused.code == kFailed);
    CHECK(refused.err.find("tick_seconds") != std::string::npos);
    CHECK(refused.err.find("nothing was started") != std::string::npos);
}

TEST_CASE("cli: svc check --json is for machines") {
    const TemporaryFolder folder;
    const std::string file =
        folder.write("d.json", R"({"services": [{"type": "noop", "tick_secnds": 3}]})");
    const Ran run = run_line({"svc", "check", "--json", file});
    CHECK(run.code == kFailed);
    const auto parsed = parse_json(run.out);
    REQUIRE(parsed);
    CHECK(parsed->at("ok").as_bool() == false);
    CHECK(parsed->at("errors").to_number<int>() == 1);
    CHECK(parsed->at("problems").at(0).at("line").to_number<int>() == 1);
    CHECK(parsed->at("problems").at(0).at("suggestion").as_string() == "tick_seconds");
}

TEST_CASE("cli: svc check of a file that is not there, and of two") {
    CHECK(run_line({"svc", "check", "/nonexistent/d.json"}).code == kFailed);
    CHECK(run_line({"svc", "check", "a", "--config", "b"}).code == kUsage);
    CHECK(run_line({"svc", "check"}).code == kUsage);
}

TEST_CASE("cli: an unknown type is named with its place and the known ones") {
    const TemporaryFolder folder;
    const std::string file = folder.write(
        "d.json",
        R"({"services": [{"type": "noop"}, {"type": "noop", "name": "b"}, {"type": "nop"}]})"
    );
    const Ran run = run_line({"svc", "run", "--config", file});
    CHECK(run.code == kFailed);
    CHECK(run.err.find("nop") != std::string::npos);
    CHECK(run.err.find("dmsg-discovery") != std::string::npos);
    CHECK(run.err.find('2') != std::string::npos);
}

TEST_CASE("cli: svc list and svc graph of a file") {
    const TemporaryFolder folder;
    const std::string file = folder.write("d.json", R"({"services": [
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9090"},
        {"type": "test-service", "name": "b", "depends_on": ["a"]}]})");
    CHECK(
        run_line({"svc", "list", "--config", file}).out ==
        "LABEL  TYPE          ADDRESSES\n"
        "a      test-service  127.0.0.1:9090\n"
        "b      test-service\n"
    );
    CHECK(run_line({"svc", "graph", "--config", file}).out.find("digraph") == 0);
    const auto graph =
        parse_json(run_line({"svc", "graph", "--config", file, "--format", "json"}).out);
    REQUIRE(graph);
    CHECK(graph->at("edges").at(0).at("upstream").as_string() == "a");
    CHECK(run_line({"svc", "graph", "--config", file, "--format", "svg"}).code == kUsage);
    CHECK(run_line({"svc", "graph"}).code == kUsage);
}

TEST_CASE("cli: commands to a process that does not run say where they looked") {
    const TemporaryFolder folder;
    const std::string file = folder.write("d.json", R"({"services": [{"type": "noop"}]})");
    const Ran run = run_line({"svc", "status", "--config", file});
    CHECK(run.code == kFailed);
    CHECK(run.err.find("no process runs " + file) != std::string::npos);
    CHECK(run.err.find("unix:") != std::string::npos);
    CHECK(run.err.find("is found with the same --only") != std::string::npos);
    CHECK(run_line({"svc", "stop", "noop"}).code == kUsage);
    CHECK(run_line({"svc", "stop", "--config", file}).code == kUsage);
    CHECK(run_line({"svc", "status", "--admin", "nonsense"}).code != kDone);
}

TEST_CASE("cli: keys gen writes a file that keys show reads") {
    const TemporaryFolder folder;
    const std::string file = folder / "key";
    const Ran made = run_line({"keys", "gen", "--out", file});
    CHECK(made.code == kDone);
    CHECK(made.out.size() == 67);
    struct stat status{};
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    const Ran shown = run_line({"keys", "show", file});
    CHECK(shown.code == kDone);
    CHECK(shown.out == made.out);
    CHECK(shown.err.empty());
    // A key is never overwritten.
    CHECK(run_line({"keys", "gen", "--out", file}).code == kFailed);
    CHECK(run_line({"keys", "show", file}).out == made.out);
    REQUIRE(::chmod(file.c_str(), 0644) == 0);
    CHECK(run_line({"keys", "show", file}).err.find("0644") != std::string::npos);
    CHECK(run_line({"keys", "show", folder / "none"}).code == kFailed);
}

TEST_CASE("cli: keys gen --seed gives the network's pair of that text") {
    const auto vectors = test::vectors("dmsg/keys.json");
    const auto& entry = vectors.at("deterministic").at(0);
    const Ran run = run_line({"keys", "gen", "--seed", test::text(entry, "seed_text")});
    const auto pair = parse_json(run.out);
    REQUIRE(pair);
    CHECK(test::text(*pair, "public_key") == test::text(entry, "pubkey"));
    CHECK(test::text(*pair, "secret_key") == test::text(entry, "seckey"));
}

TEST_CASE("cli: version") {
    CHECK(run_line({"version"}).out.find("skywire ") == 0);
    CHECK(run_line({"--version"}).out == run_line({"version"}).out);
    CHECK(parse_json(run_line({"version", "--json"}).out)->at("version").is_string());
}

}  // namespace skywire::cli
