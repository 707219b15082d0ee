#include "services/config_bootstrapper/document.hpp"

#include "base/temporary_folder.hpp"
#include "base/test.hpp"
#include "services/config_bootstrapper/input_file.hpp"

#include <fstream>

namespace skywire::config_bootstrapper {
namespace {

crypto::PublicKey key(const std::string& seed) {
    return crypto::deterministic_key_pair(seed).public_key;
}

framework::DeploymentBlock block(
    std::string type, const std::string& address, bool with_key = true
) {
    framework::DeploymentBlock beside;
    if (with_key) beside.facts.public_key = key(type);
    if (!address.empty()) beside.facts.health_address = net::Address::parse(address).value();
    beside.type = std::move(type);
    return beside;
}

std::vector<framework::DeploymentBlock> deployment() {
    framework::DeploymentBlock server = block("dmsg-server", "127.0.0.1:8082");
    server.facts.advertised_address = "127.0.0.1:8081";
    framework::DeploymentBlock stun = block("stun-server", "", /*with_key=*/false);
    stun.facts.ports.push_back(
        {framework::PortUse::Transport::udp, net::Address::tcp("127.0.0.1", 3478), "primary_ip"}
    );
    return {
        block("dmsg-discovery", "127.0.0.1:9090"),
        server,
        block("transport-discovery", "127.0.0.1:9091"),
        block("service-discovery", "127.0.0.1:9098"),
        block("address-resolver", ":9093"),
        block("route-finder", "127.0.0.1:9092"),
        block("setup-node", ""),
        block("transport-setup", "127.0.0.1:9088"),
        stun,
        block("noop", ""),
    };
}

const std::string kInput =
    R"({"stun_servers":["127.0.0.1:3478","192.0.2.1:3478"],"route_setup_nodes":[)"
    R"("0385ec4b3c20106b5af1d250b36fb542c327d3f4b663d30cbb59621c888d6406f4"],"survey_whitelist":[)"
    R"("03646a3e8067747cea718a88258fe43a286c9c7df4cbe232d9c9cc1944ebde59ec"],"transport_setup":[)"
    R"("03a6066585a6593084488ae9b4bed08d779c46a5f1eef878dc3cc5a4a029164bdb"],"more":1})";

}  // namespace

TEST_CASE("config-bootstrapper: the recorded document, byte for byte") {
    Document said;
    REQUIRE(read_input(kInput, said));
    Document document = completed(said, {});
    add_domain(document, kDefaultDomain);
    const json::value file = test::vectors("services/conf_http_2025.json");
    const auto& recorded = file.at("pairs").as_array().at(0);
    CHECK(to_json(document) == test::text(recorded.at("response"), "body"));
    // Another domain has its own service-discovery.
    Document elsewhere;
    add_domain(elsewhere, "example.org");
    CHECK(elsewhere.url(Part::service_discovery) == "http://sd.example.org");
    CHECK(elsewhere.url(Part::uptime_tracker) == "http://ut.example.org");
}

TEST_CASE("config-bootstrapper: answers with the addresses and keys of the blocks beside") {
    Document document = completed({}, deployment());
    add_domain(document, kDefaultDomain);
    CHECK(document.url(Part::dmsg_discovery) == "http://127.0.0.1:9090");
    CHECK(document.url(Part::transport_discovery) == "http://127.0.0.1:9091");
    CHECK(document.url(Part::uptime_tracker) == "http://127.0.0.1:9091");
    CHECK(document.url(Part::service_discovery) == "http://127.0.0.1:9098");
    CHECK(document.url(Part::address_resolver) == "http://127.0.0.1:9093");
    CHECK(document.url(Part::route_finder) == "http://127.0.0.1:9092");
    const std::string tpd = "dmsg://" + key("transport-discovery").to_text() + ":80";
    CHECK(document.dmsg_url(Part::transport_discovery) == tpd);
    CHECK(document.dmsg_url(Part::uptime_tracker) == tpd);
    CHECK(document.route_setup_nodes == std::vector{key("setup-node")});
    CHECK(document.transport_setup == std::vector{key("transport-setup")});
    CHECK(document.stun_servers == std::vector<std::string>{"127.0.0.1:3478"});
    CHECK(document.dmsg_servers == std::vector<Server>{{key("dmsg-server"), "127.0.0.1:8081"}});
    CHECK(document.dns_server == "1.1.1.1");
}

TEST_CASE("config-bootstrapper: what the block says wins over what is beside") {
    Document said;
    said.url(Part::transport_discovery) = "http://tpd.example.org";
    said.dmsg_url(Part::route_finder) = "dmsg://" + key("other").to_text() + ":81";
    said.route_setup_nodes = {key("other")};
    said.stun_servers = {"192.0.2.1:3478"};
    said.dns_server = "9.9.9.9";
    const Document document = completed(said, deployment());
    CHECK(document.url(Part::transport_discovery) == "http://tpd.example.org");
    CHECK(document.url(Part::uptime_tracker) == "http://tpd.example.org");
    CHECK(document.dmsg_url(Part::route_finder) == said.dmsg_url(Part::route_finder));
    CHECK(document.route_setup_nodes == said.route_setup_nodes);
    CHECK(document.stun_servers == said.stun_servers);
    CHECK(document.dns_server == "9.9.9.9");
}

TEST_CASE("config-bootstrapper: members of 2026 come behind those of 2025, each where it is known"
) {
    Document document;
    add_domain(document, "example.org");
    const std::string plain = to_json(document);
    CHECK(plain.find("_dmsg") == std::string::npos);
    CHECK(plain.find("dmsg_servers") == std::string::npos);
    document.dmsg_servers = {{key("s"), "192.0.2.1:8081"}};
    document.dmsg_url(Part::route_finder) = "dmsg://x:80";
    const std::string more = to_json(document);
    CHECK(
        more ==
        plain.substr(0, plain.size() - 1) + R"(,"dmsg_servers":[{"static":")" + key("s").to_text() +
            R"(","server":{"address":"192.0.2.1:8081"}}],"route_finder_dmsg":"dmsg://x:80"})"
    );
    CHECK(to_json(document, Ways::http) == plain);
    const std::string over_dmsg = to_json(document, Ways::dmsg);
    CHECK(over_dmsg.find("http://") == std::string::npos);
    CHECK(over_dmsg.find(R"("route_finder_dmsg":"dmsg://x:80")") != std::string::npos);
    CHECK(over_dmsg.find(R"("stun_servers":[])") != std::string::npos);
    CHECK(
        to_dmsghttp_json(document) ==
        R"({"dmsg_servers":[{"static":")" + key("s").to_text() +
            R"(","server":{"address":"192.0.2.1:8081"}}],"dmsg_discovery":"",)"
            R"("transport_discovery":"","address_resolver":"","route_finder":"dmsg://x:80",)"
            R"("uptime_tracker":"","service_discovery":""})"
    );
}

TEST_CASE("config-bootstrapper: an input file that makes no sense says where") {
    Document document;
    for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
             {"", ""},
             {"[]", "not a JSON object"},
             {R"({"stun_servers":"x"})", "stun_servers is no list of text"},
             {R"({"stun_servers":[7]})", "stun_servers is no list of text"},
             {R"({"route_setup_nodes":["zz"]})", "route_setup_nodes: \"zz\""},
             {R"({"transport_setup":[""]})", "transport_setup"},
             {R"({"survey_whitelist":{}})", "survey_whitelist"},
         }) {
        INFO(text);
        const auto read = read_input(text, document);
        REQUIRE_FALSE(read);
        CHECK(read.error().message().find(part) != std::string::npos);
    }
    CHECK(read_input(R"({"stun_servers":null,"unknown":[1]})", document));
    const test::TemporaryFolder folder;
    const std::string file = folder / "config.json";
    CHECK(read_input_file(file, document).error() == make_error_code(errc::not_found));
    std::ofstream(file) << kInput;
    CHECK(read_input_file(file, document));
    CHECK(document.stun_servers.size() == 2);
    std::ofstream(file) << "nonsense";
    CHECK(read_input_file(file, document).error().message().find(file) != std::string::npos);
}

}  // namespace skywire::config_bootstrapper
