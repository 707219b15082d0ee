#include "base/test.hpp"
#include "framework/config_test_types.hpp"
#include "framework/deployment_config.hpp"

#include <filesystem>

using namespace skywire;
using namespace skywire::framework;
using namespace std::chrono_literals;

namespace {

constexpr const char* kSecret = "b3f6706cb72215d3873ef92cc0c6037a47fe651112b1685017d6347eed0fb714";
constexpr const char* kPublic =
    "02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a";

const ServiceRegistry& registry() {
    static const ServiceRegistry types = config_test::test_registry();
    return types;
}

std::string messages(const std::string& file, const LoadedConfig& loaded) {
    std::string out;
    for (const Problem& problem : loaded.problems)
        out += problem.to_string(file) + "\n";
    return out + (loaded.config ? "accepted\n" : "refused\n");
}

DeploymentConfig good(std::string text) {
    LoadedConfig loaded = load_deployment("f", std::move(text), registry());
    INFO(messages("f", loaded));
    REQUIRE(loaded.config);
    return *std::move(loaded.config);
}

}  // namespace

TEST_CASE("load: each file of the corpus gets the messages written down for it") {
    const std::string folder = std::string(SKYWIRE_SOURCE_DIR) + "/framework/config_fuzz_corpus";
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".json") continue;
        const std::string name = entry.path().filename().string();
        const std::string golden = entry.path().stem().string() + ".txt";
        CAPTURE(name);
        const LoadedConfig loaded = load_deployment_file(entry.path().string(), registry());
        CHECK(messages(name, loaded) == test::read_file("framework/config_golden/" + golden));
        ++files;
    }
    CHECK(files >= 20);
}

TEST_CASE("load: no message repeats a secret") {
    const LoadedConfig loaded =
        load_deployment("f", test::read_file("framework/config_fuzz_corpus/keys.json"), registry());
    for (const Problem& problem : loaded.problems) {
        const std::string text = problem.to_string("f") + problem.to_json("f");
        for (const char* secret : {"b3f6706cb722", "6eddf9399b14", "zzf6706cb722", "ffffffff_"}) {
            CHECK(text.find(secret) == std::string::npos);
        }
    }
}

TEST_CASE("load: a file that cannot be read is one problem without a place") {
    const LoadedConfig loaded = load_deployment_file("/nonexistent/d.json", registry());
    CHECK(
        messages("d.json", loaded) ==
        "d.json: error: cannot open the file: No such file or directory\nrefused\n"
    );
    CHECK(
        messages("/", load_deployment_file("/", registry())) ==
        "/: error: cannot read the file: Is a directory\nrefused\n"
    );
}

TEST_CASE("load: defaults are those of the specification") {
    const DeploymentConfig config = good(R"({"services": [{"type": "noop"}]})");
    REQUIRE(config.blocks.size() == 1);
    const BlockConfig& block = config.blocks[0];
    CHECK(block.label == "noop");
    CHECK(block.type->name == "noop");
    CHECK_FALSE(block.depends_on);
    CHECK(block.restart.mode == RestartMode::on_failure);
    CHECK(block.restart.min == 250ms);
    CHECK(block.restart.max == 30s);
    CHECK(block.restart.factor == 2);
    CHECK(block.restart.jitter == 0.2);
    CHECK(block.restart.reset_after == 1min);
    CHECK(block.restart.max_in_window == 5);
    CHECK(block.restart.window == 1min);
    CHECK(block.restart.on_give_up == OnGiveUp::degrade);
    CHECK(block.health.interval == 1s);
    CHECK(block.health.failures == 2);
    CHECK(block.health.successes == 2);
    CHECK(block.start_timeout == 30s);
    CHECK(block.drain_timeout == 5s);
    CHECK(block.stop_timeout == 5s);
    CHECK(block.critical);
    CHECK_FALSE(block.log_level);
    CHECK(block.block->integer("tick_seconds") == 30);
    CHECK_FALSE(config.supervisor.admin_addr);
    CHECK_FALSE(config.supervisor.json_logs);
    CHECK(config.supervisor.shutdown_timeout == 15s);
    CHECK(config.supervisor.state_dir.empty());
}

TEST_CASE("load: the keys of the framework are read") {
    const DeploymentConfig config = good(R"({
        "services": [
            {"type": "dmsg-discovery", "addr": "127.0.0.1:1", "depends_on": []},
            {"type": "dmsg-server", "name": "s", "log_level": " DEBUG ", "critical": false,
             "local_address": "127.0.0.1:2",
             "restart": {"policy": "ALWAYS", "min": "1s", "max": 2000000000,
                         "factor": 1.5, "jitter": 0,
                         "reset_after": "2m", "max_in_window": 0, "window": "3m",
                         "on_give_up": "exit"},
             "health": {"interval": "10s", "failures": 3, "successes": 4},
             "start_timeout": "1m", "drain_timeout": "0", "stop_timeout": "2s",
             "depends_on": ["dmsg-discovery", "dmsg-discovery:http",
                 {"label": "dmsg-discovery", "milestone": "http", "gate": "registered",
                  "on_restart": "restart"}]}],
        "supervisor": {"admin_addr": "unix:/tmp/a", "admin_token_file": "/t", "log_format": "json",
                       "state_dir": "/s", "shutdown_timeout": "1m"}})");
    const BlockConfig* block = config.find("s");
    REQUIRE(block != nullptr);
    CHECK(config.find("t") == nullptr);
    CHECK(block->index == 1);
    CHECK(block->log_level == log::Level::debug);
    CHECK_FALSE(block->critical);
    CHECK(block->restart.mode == RestartMode::always);
    CHECK(block->restart.min == 1s);
    CHECK(block->restart.max == 2s);
    CHECK(block->restart.factor == 1.5);
    CHECK(block->restart.jitter == 0);
    CHECK(block->restart.reset_after == 2min);
    CHECK(block->restart.max_in_window == 0);
    CHECK(block->restart.window == 3min);
    CHECK(block->restart.on_give_up == OnGiveUp::exit);
    CHECK(block->health.interval == 10s);
    CHECK(block->health.failures == 3);
    CHECK(block->health.successes == 4);
    CHECK(block->start_timeout == 1min);
    CHECK(block->drain_timeout == 0s);
    CHECK(block->stop_timeout == 2s);
    REQUIRE(block->depends_on);
    REQUIRE(block->depends_on->size() == 3);
    CHECK(block->depends_on->at(0).milestone == "ready");
    CHECK(block->depends_on->at(1).milestone == "http");
    CHECK(block->depends_on->at(1).gate == "start");
    CHECK(block->depends_on->at(2).gate == "registered");
    CHECK(block->depends_on->at(2).on_restart == OnUpstreamRestart::restart);
    REQUIRE(config.supervisor.admin_addr);
    CHECK(config.supervisor.admin_addr->path == "/tmp/a");
    CHECK(config.supervisor.admin_token_file == "/t");
    CHECK(config.supervisor.json_logs);
    CHECK(config.supervisor.state_dir == "/s");
    CHECK(config.supervisor.shutdown_timeout == 1min);
}

TEST_CASE("load: a block is written back as it was read") {
    const std::string block = R"({"type" : "noop",  "tick_seconds":7 , "log_level":null})";
    const DeploymentConfig config = good("{ \"services\" : [ " + block + " ] }");
    const ConfigValue& value = config.blocks[0].block->value();
    CHECK(config.text->substr(value.begin, value.end - value.begin) == block);
}

TEST_CASE("load: blocks stay good when the configuration moves") {
    auto loaded =
        load_deployment("f", R"({"services": [{"type": "noop", "tick_seconds": 7}]})", registry());
    REQUIRE(loaded.config);
    const auto moved = std::make_unique<DeploymentConfig>(*std::move(loaded.config));
    loaded.config.reset();
    CHECK(moved->blocks[0].block->integer("tick_seconds") == 7);
}

TEST_CASE("block: values, defaults, aliases and nested objects are read through the table") {
    const DeploymentConfig config = good(fmt::format(
        R"({{"services": [
            {{"type": "dmsg-discovery", "secret_key": "{0}", "public_key": "{1}", "Addr": "[::1]:5",
              "MODE": " Dual", "entry_timeout": 1500000000, "test_mode": true, "keyfile": "",
              "whitelist_keys": ["{1}", "{2}"], "auth_passphrase": "", "redis": "a", "redis": "b",
              "dmsg": {{"discovery": "http://h", "servers": [{{"static": "{1}", "more": 1}}]}}}},
            {{"type": "dmsg-server", "dmsg": {{"advertised_address": "1.2.3.4:5"}},
              "local_address": null}},
            {{"type": "stun-server", "primary_ip": "127.0.0.1",
              "secondary_ip": "127.0.0.2", "port": 0,
              "allowed": ["10.0.0.0/8", "::1"], "log_level": "loud"}}]}})",
        kSecret,
        kPublic,
        std::string(66, '0')
    ));
    const Block& discovery = *config.blocks[0].block;
    CHECK(discovery.public_key("public_key").to_text() == kPublic);
    REQUIRE(discovery.secret_key("secret_key"));
    CHECK(crypto::public_key_of(*discovery.secret_key("secret_key")).to_text() == kPublic);
    CHECK(discovery.address("addr") == net::Address::tcp("::1", 5));
    CHECK(discovery.text("mode") == "dual");
    CHECK(discovery.duration("entry_timeout") == 1500ms);
    CHECK(discovery.boolean("testing"));
    CHECK(discovery.boolean("test_mode"));
    CHECK(discovery.has("testing"));
    CHECK_FALSE(discovery.has("keyfile"));
    CHECK(discovery.has("redis"));
    CHECK(discovery.text("redis") == "b");
    CHECK(discovery.public_keys("whitelist_keys").size() == 1);
    CHECK(discovery.text("auth_passphrase").empty());
    const Block dmsg = discovery.object("dmsg");
    CHECK(dmsg.text("discovery") == "http://h");
    CHECK(dmsg.integer("sessions_count") == 1);
    CHECK_FALSE(dmsg.has("sessions_count"));
    REQUIRE(dmsg.objects("servers").size() == 1);
    CHECK(dmsg.objects("servers")[0].public_key("static").to_text() == kPublic);
    CHECK(dmsg.label() == "dmsg-discovery");

    const Block& server = *config.blocks[1].block;
    CHECK(server.address("local_address") == net::Address::tcp("", 8081));
    REQUIRE(server.objects("dmsg").size() == 1);
    CHECK(server.objects("dmsg")[0].address("advertised_address")->port == 5);
    CHECK(server.objects("peers").empty());
    CHECK(server.public_key("public_key").is_null());
    CHECK_FALSE(server.secret_key("secret_key"));
    CHECK(server.integer("max_sessions") == 2048);

    const Block& stun = *config.blocks[2].block;
    CHECK(stun.integer("port") == 0);
    CHECK_FALSE(stun.has("port"));
    CHECK(stun.number("weight") == 0.5);
    CHECK(stun.texts("allowed") == std::vector<std::string>{"10.0.0.0/8", "::1"});
    CHECK(stun.text("log_level") == "info");
    CHECK(config.blocks[2].log_level == log::Level::info);
    CHECK(stun.knows("primary_ip"));
    CHECK_FALSE(stun.knows("addr"));
}

TEST_CASE("block: an unset object reads as defaults and its problems stand at the block") {
    const DeploymentConfig config = good("{\"services\": [\n  {\"type\": \"dmsg-discovery\"}]}");
    const Block dmsg = config.blocks[0].block->object("dmsg");
    CHECK(dmsg.integer("sessions_count") == 1);
    CHECK(dmsg.text("discovery").empty());
    CHECK(dmsg.objects("servers").empty());
    CHECK(
        dmsg.problem("discovery", "is needed").to_string("f") ==
        "f:2:3: error: dmsg-discovery: is needed"
    );
    CHECK(dmsg.warning("discovery", "w").severity == Problem::Severity::warning);
}

TEST_CASE("load: at most 512 services and 501 problems") {
    std::string many = R"({"services": [{"type": "noop"})";
    for (int i = 0; i < 512; ++i)
        many += R"(,{"type": "noop"})";
    CHECK(
        messages("f", load_deployment("f", many + "]}", registry())) ==
        "f:1:14: error: 513 services in one file; at most 512 are possible\nrefused\n"
    );
    std::string unknown = R"({"services": [{"type": "noop")";
    for (int i = 0; i < 10'000; ++i)
        unknown += fmt::format(",\"unknown_{}\": 1", i);
    const LoadedConfig loaded = load_deployment("f", unknown + "}]}", registry());
    CHECK(loaded.problems.size() == 501);
    CHECK(has_errors(loaded.problems));
}

TEST_CASE("load: every cut of a good file is refused") {
    const std::string text = test::read_file("framework/config_fuzz_corpus/good.json");
    const std::size_t end = text.rfind('}');
    for (std::size_t size = 0; size <= end; ++size) {
        const LoadedConfig loaded = load_deployment("f", text.substr(0, size), registry());
        REQUIRE_FALSE(loaded.config);
        REQUIRE(loaded.problems.size() == 1);
        CHECK(loaded.problems[0].code == "syntax");
    }
}

namespace {

/// The messages for a deployment of one dmsg-server that names a file with this text.
std::string with_block_file(const std::string& members, const std::string& block_file) {
    const std::string text = R"({"services": [{"type": "dmsg-server", "name": "dmsgs",
 "config_path": "server.json")" +
                             members + "}]}";
    const auto read = [&](const std::string& path) -> Result<std::string> {
        if (path == "server.json") return block_file;
        return fail(errc::not_found, "cannot open the file");
    };
    return messages("f", load_deployment("f", text, registry(), read));
}

}  // namespace

TEST_CASE("load: the members of a block's file stand in the block") {
    const std::string text = R"({"services": [
        {"type": "dmsg-server", "name": "dmsgs", "CONFIG_PATH": "server.json", "stop_timeout": "9s",
         "max_sessions": 7, "ws_url": "ws://here/dmsg"}]})";
    const auto read = [](const std::string& path) -> Result<std::string> {
        CHECK(path == "server.json");
        return std::string(R"({"secret_key": ")") + kSecret +
               R"(", "Max_Sessions": 100, "log_level": "debug", "local_address": "127.0.0.1:1"})";
    };
    const LoadedConfig loaded = load_deployment("f", text, registry(), read);
    INFO(messages("f", loaded));
    REQUIRE(loaded.config);
    const BlockConfig& block = loaded.config->blocks.at(0);
    CHECK(block.label == "dmsgs");
    CHECK(block.stop_timeout == 9s);
    CHECK(block.log_level == log::Level::debug);
    CHECK(block.block->integer("max_sessions") == 100);
    CHECK(block.block->text("ws_url") == "ws://here/dmsg");
    CHECK(block.block->text("local_address") == "127.0.0.1:1");
    REQUIRE(block.facts.public_key);
    CHECK(block.facts.public_key->to_text() == kPublic);
    CHECK(
        messages("f", loaded)
            .find("f:3:10: warning: dmsgs: \"Max_Sessions\" is that of the "
                  "block's file (see server.json:1:") != std::string::npos
    );
}

TEST_CASE("load: problems in a block's file are told with its name and place") {
    CHECK(
        with_block_file("", "{\n \"max_sessions\": 0}") ==
        "server.json:2:18: error: dmsgs: \"max_sessions\" must be between 1 and 1000000, "
        "is 0\nrefused\n"
    );
    CHECK(
        with_block_file("", R"({"max_session": 1})") ==
        "server.json:1:2: error: dmsgs: unknown key \"max_session\" (did you mean "
        "\"max_sessions\"?)\nrefused\n"
    );
    CHECK(with_block_file("", "[]").starts_with("server.json:1:1: error: dmsgs: a file that a"));
    CHECK(with_block_file("", "{").starts_with("server.json:1:2: error: dmsgs: "));
    CHECK(
        with_block_file("", R"({"type": "noop"})") ==
        "server.json:1:2: error: dmsgs: \"type\" belongs in the deployment file\nrefused\n"
    );
    const std::string other = R"(, "peers": [{"public_key": 5}])";
    CHECK(with_block_file(other, "{}").starts_with("f:2:"));
    CHECK(with_block_file("", "{}") == "accepted\n");
    CHECK(with_block_file(R"(, "config_path": "")", "{").ends_with("accepted\n"));
}

TEST_CASE("load: a block's file that cannot be read") {
    const std::string text =
        R"({"services": [{"type": "dmsg-server", "config_path": "/nonexistent/server.json"}]})";
    CHECK(
        messages("f", load_deployment("f", text, registry())) ==
        "f:1:54: error: dmsg-server: \"config_path\" \"/nonexistent/server.json\": files are read "
        "only "
        "for a deployment that is itself a file\nrefused\n"
    );
}
