// What `svc env` makes: files that load, in each form, with keys that fit.

#include "cli/environment.hpp"

#include "base/test.hpp"
#include "cli/test_run.hpp"
#include "framework/deployment_config.hpp"

#include <set>

#include <sys/stat.h>

namespace skywire::cli {
namespace {

EnvironmentOptions form(Form form) {
    EnvironmentOptions options;
    options.form = form;
    if (form == Form::public_host) options.host = "net.example.org";
    return options;
}

const json::object& block(const json::object& deployment, std::string_view type) {
    for (const json::value& block : deployment.at("services").as_array())
        if (block.at("type").as_string() == type) return block.as_object();
    throw std::runtime_error("no " + std::string(type));
}

std::string problems_of(const json::object& deployment) {
    const auto loaded = framework::load_deployment("made.json", pretty(deployment), test_types());
    std::string all;
    for (const auto& problem : loaded.problems)
        all += problem.to_string("made.json") + "\n";
    return all;
}

}  // namespace

TEST_CASE("environment: every form is a deployment without errors") {
    SystemRandom random;
    const KeySet keys = new_keys(random);
    for (const Form each : {Form::local, Form::public_host, Form::docker}) {
        EnvironmentOptions options = form(each);
        const json::object plain = make_deployment(options, keys);
        INFO(pretty(plain));
        CHECK(problems_of(plain).find("error") == std::string::npos);
        options.stun_ips = {"192.0.2.7", "192.0.2.8"};
        if (each != Form::local) options.redis = "redis://redis:6379";
        const json::object more = make_deployment(options, keys);
        INFO(problems_of(more));
        CHECK(problems_of(more).find("error") == std::string::npos);
        CHECK(more.at("services").as_array().size() == 11);
        if (each == Form::local) continue;
        CHECK(plain.at("services").as_array().size() == 10);
        CHECK(block(more, "route-finder").at("redis").as_string() == "redis://redis:6379/1");
        CHECK_FALSE(block(plain, "route-finder").contains("testing"));
    }
}

TEST_CASE("environment: the local form with the test keys is the deployment of the reference") {
    const json::object made = make_deployment(form(Form::local), e2e_keys());
    for (const auto& [type, key] : std::vector<std::pair<std::string, std::string>>{
             {"dmsg-discovery", "02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a"
             },
             {"dmsg-server", "035915c609f71d0c7df27df85ec698ceca0cb262590a54f732e3bbd0cc68d89282"},
             {"transport-discovery",
              "02a5993cb6792eb18908cb7c6c9c742ef5fbe3dcfcce2862bbc4615a5f35cbed46"},
             {"service-discovery",
              "026f96adae04285f8b35eeba23b9aa2be3470ea4bb005118f4e64006afdeea85a7"},
             {"address-resolver",
              "02252c40a1ac021dcf6d93f1aae38023e8fd20bb0d35b7d07cba9435a7cb7ef34f"},
             {"route-finder", "02b88fe426b2f6f83f19b151c427c155aae186d734cbd45f12b57ddbd237b49278"},
             {"setup-node", "02603d53d49b6575a0b8cee05b70dd23c86e42cd6cba99af769d61a6196ea2bcb1"},
             {"transport-setup",
              "0277dda8a284d43b4d5ee2a4152771e76131e9437c47be5d8e835aafe02c45a9ae"},
         }) {
        INFO(type);
        CHECK(block(made, type).at("public_key").as_string() == key);
    }
    for (const json::value& each : made.at("services").as_array()) {
        const json::object& object = each.as_object();
        if (const auto* addr = object.if_contains("addr"))
            CHECK(addr->as_string().starts_with("127.0.0.1:"));
    }
    // The one that is built in.
    CHECK(json::value(made) == parse_json(test::read_file("configs/deployment.json")).value());
    const json::array visors = make_visors(e2e_keys());
    REQUIRE(visors.size() == 3);
    CHECK(
        visors[0].at("public_key").as_string() ==
        "024ec47420176680816e0406250e7156465e4531f5b26057c9f6297bb0303558c7"
    );
}

TEST_CASE("environment: new keys are all different, and each time others") {
    SystemRandom random;
    std::set<crypto::PublicKey> seen;
    for (int i = 0; i < 2; ++i)
        for (const auto& [name, pair] : new_keys(random))
            CHECK(seen.insert(pair.public_key).second);
    CHECK(seen.size() == 2 * key_names().size());
}

TEST_CASE("environment: others are told the public name, services use the nearest way") {
    const json::object made = make_deployment(form(Form::public_host), e2e_keys());
    CHECK(block(made, "dmsg-server").at("public_address").as_string() == "net.example.org:8081");
    CHECK(block(made, "dmsg-server").at("discovery").as_string() == "http://127.0.0.1:9090");
    CHECK(block(made, "address-resolver").at("addr").as_string() == ":9093");
    CHECK(
        block(made, "config-bootstrapper").at("transport_discovery").as_string() ==
        "http://net.example.org:9091"
    );
    // Who reaches it may do as he likes.
    CHECK(block(made, "transport-setup").at("addr").as_string() == "127.0.0.1:9088");
    const json::object docker = make_deployment(form(Form::docker), e2e_keys());
    CHECK(
        block(docker, "route-finder").at("transport_discovery").as_string() ==
        "http://transport-discovery:9091"
    );
    // Each listens on every interface of its container: others need the name to find it.
    const auto loaded = framework::load_deployment("made.json", pretty(docker), test_types());
    REQUIRE(loaded.config);
    const auto found_at = [&loaded](std::string_view label) {
        const auto* found = loaded.config->find(label);
        REQUIRE(found != nullptr);
        return found->facts.health_address.value().to_string();
    };
    CHECK(found_at("tpd") == "transport-discovery:9091");
    CHECK(found_at("dmsgs") == "dmsg-server:8082");
    CHECK(found_at("tps") == "transport-setup:9088");
    CHECK(found_at("viz") == "network-visualizer:8080");
    EnvironmentOptions v6 = form(Form::public_host);
    v6.host = "2001:db8::1";
    CHECK(
        block(make_deployment(v6, e2e_keys()), "dmsg-server").at("public_address").as_string() ==
        "[2001:db8::1]:8081"
    );
}

TEST_CASE("environment: svc env prints all of it, or writes files that only the owner reads") {
    const Ran printed = run_line({"svc", "env", "--local", "--keys", "e2e"});
    INFO(printed.err);
    REQUIRE(printed.code == kDone);
    const auto all = parse_json(printed.out).value();
    CHECK(all.at("deployment").as_object() == make_deployment(form(Form::local), e2e_keys()));
    CHECK(all.at("visors").as_array().size() == 3);
    const json::value& told = all.at("services_config").at("prod");
    CHECK(told.at("transport_discovery").as_string() == "http://127.0.0.1:9091");
    CHECK(told.at("uptime_tracker").as_string() == "http://127.0.0.1:9091");
    CHECK(told.at("route_setup_nodes").as_array().size() == 1);

    const TemporaryFolder folder;
    const std::string out = folder / "made";
    const std::vector<std::string> line{"svc", "env", "--public", "net.example.org", "-o", out};
    const Ran written = run_line(line);
    INFO(written.err);
    REQUIRE(written.code == kDone);
    for (const char* name : {"deployment.json", "services-config.json", "visors.json"}) {
        struct stat status{};
        INFO(name);
        REQUIRE(::stat((out + "/" + name).c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0600);
    }
    CHECK(run_line({"svc", "check", out + "/deployment.json"}).code == kDone);
    const Ran conf = run_line({"svc", "conf", "--config", out + "/deployment.json", "http"});
    CHECK(conf.out.find("http://net.example.org:9091") != std::string::npos);
    CHECK(conf.out.find("dmsg://") == std::string::npos);
    const Ran again = run_line(line);
    CHECK(again.code == kFailed);
    CHECK(again.err.find("exists already") != std::string::npos);
}

TEST_CASE("environment: options that make no sense are refused") {
    for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
             {"svc", "env"},
             {"svc", "env", "--local", "--docker"},
             {"svc", "env", "--local", "--public", "x"},
             {"svc", "env", "--local", "--keys", "old"},
             {"svc", "env", "--local", "--redis", "redis://x"},
             {"svc", "env", "--docker", "--stun-ip", "192.0.2.1"},
             {"svc", "conf", "ftp"},
         }) {
        const Ran run = run_line(line);
        INFO(line.back());
        CHECK(run.code == kUsage);
        CHECK(run.out.empty());
    }
}

}  // namespace skywire::cli
