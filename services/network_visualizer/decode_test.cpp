// What comes from upstreams, and what of it is handed out.

#include "services/network_visualizer/decode.hpp"

#include "base/json.hpp"
#include "base/test.hpp"
#include "services/network_visualizer/test_network.hpp"

namespace skywire::network_visualizer {
namespace {

json::value parsed(const Body& body) {
    return parse_json(*body.text).value();
}

}  // namespace

TEST_CASE("visualizer parts: services of all types, by key") {
    const std::string a = key_text(1);
    const std::string b = key_text(2);
    const std::string vpn = R"([{"address":")" + a +
                            R"(:44","type":"vpn","geo":{"country":"AT"},"version":"v1.3.29"}])";
    const std::string visor = R"([{"address":")" + a + R"(","type":"visor","geo":{}},)" +
                              R"({"address":")" + b + R"(:3","type":"visor"}])";
    const auto body = services_body({vpn, visor, "null", "[]"});
    REQUIRE(body);
    CHECK(body->items == 2);
    CHECK(body->unreadable == 0);
    const json::value all = parsed(*body);
    const json::value& first = all.at(a);
    CHECK(first.at("pk").as_string() == a);
    CHECK(first.at("country").as_string() == "AT");
    CHECK(first.at("services").as_array().size() == 2);
    CHECK(first.at("services").at(1).at("type").as_string() == "vpn");
    CHECK(first.at("services").at(1).at("port").as_int64() == 44);
    CHECK(first.at("services").at(1).at("version").as_string() == "v1.3.29");
    CHECK(all.at(b).at("services").as_array().size() == 1);
}

TEST_CASE("visualizer parts: services that are none are left out and counted") {
    const std::string a = key_text(1);
    const std::string long_text(5000, 'x');
    const std::string list =
        R"([7,null,{},"x",[],{"address":7,"type":7},{"address":"zz:1","type":"vpn"},)"
        R"({"address":")" +
        a + R"(x","type":"vpn"},{"address":")" + a + R"(:70000","type":"vpn"},{"address":")" + a +
        R"(:-1","type":"vpn"},{"address":")" + a + R"(:1"},{"address":")" + std::string(66, '0') +
        R"(:1","type":"vpn"},{"address":")" + a + R"(:1","type":"<script>)" + long_text +
        R"(","version":7,"geo":[]}])";
    const auto body = services_body({list});
    REQUIRE(body);
    CHECK(body->items == 1);
    CHECK(body->unreadable == 12);
    CHECK(body->text->size() < 300);
    CHECK(body->text->find('<') == std::string::npos);
    // One visor of very many services.
    std::string many = "[";
    for (int i = 0; i < 100; ++i)
        many += fmt::format(R"({}{{"address":"{}:{}","type":"t"}})", i > 0 ? "," : "", a, i + 1);
    CHECK(services_body({many + "]"})->unreadable == 84);
    for (const char* text : {"", "[", "{}", "7", "[] x", "[{]", "nul", "\"\""}) {
        INFO(text);
        CHECK_FALSE(services_body({text}));
    }
}

TEST_CASE("visualizer parts: servers with their clients") {
    const std::string a = key_text(1);
    const std::string b = key_text(2);
    const std::string client = key_text(3);
    const std::string map = R"({")" + a + R"(":[")" + client + R"(",")" + client + R"("],")" + b +
                            R"(":[{"static":")" + client + R"("}]})";
    const std::string servers =
        R"([{"static":")" + a + R"("},{"static":")" + key_text(4) + R"("}])";
    const auto body = clients_body(map, servers);
    REQUIRE(body);
    CHECK(body->items == 4);
    CHECK(body->unreadable == 0);
    const json::value all = parsed(*body);
    CHECK(all.as_object().size() == 3);
    CHECK(all.at(key_text(4)).as_array().empty());
    CHECK(all.at(a).as_array().size() == 1);
    const json::value& entry = all.at(a).at(0);
    CHECK(entry.at("static").as_string() == client);
    CHECK(entry.at("client").at("delegated_servers").as_array().size() == 2);
    CHECK(all.at(b).at(0) == entry);
}

TEST_CASE("visualizer parts: servers and clients that are none are left out and counted") {
    const std::string a = key_text(1);
    const auto body = clients_body(
        R"({"x":[],")" + a + R"(":[7,null,"y",{},{"static":7}],")" + key_text(2) + R"(":7})",
        R"([7,{},{"static":"z"}])"
    );
    REQUIRE(body);
    CHECK(body->items == 2);
    CHECK(body->unreadable == 10);
    CHECK(clients_body("null", "")->items == 0);
    for (const char* text : {"", "[]", "7", "{", "{} x"}) {
        INFO(text);
        CHECK_FALSE(clients_body(text, ""));
        CHECK_FALSE(clients_body("{}", std::string(text) + " {}"));
    }
}

TEST_CASE("visualizer parts: transports, from a list and from entries alike") {
    std::vector<transport::Entry> entries{joins(1, 2), joins(2, 3), joins(3, 3)};
    std::string list = "[";
    for (const transport::Entry& entry : entries)
        list += (list.size() > 1 ? "," : "") + transport::to_json(entry);
    const auto body = transports_body(list + "]\n");
    REQUIRE(body);
    CHECK(body->items == 3);
    const Body direct = transports_body(entries);
    CHECK(*body->text == *direct.text);
    CHECK(body->tag == direct.tag);
    CHECK(body->tag.size() == 16);
    CHECK(transports_body("null")->items == 0);
    CHECK(*transports_body("[]")->text == "[]");
    CHECK(transports_body("[]")->tag != body->tag);
}

TEST_CASE("visualizer parts: transports that are none are left out and counted") {
    const std::string good = transport::to_json(joins(1, 2));
    const auto body = transports_body(
        R"([7,null,{},[],{"t_id":"a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97","edges":["a","b"]},)"
        R"({"t_id":"<img src=x onerror=alert(1)>","edges":[")" +
        key_text(1) + R"(",")" + key_text(2) + R"("]},)" + good + "]"
    );
    REQUIRE(body);
    CHECK(body->items == 1);
    CHECK(body->unreadable == 6);
    CHECK_FALSE(transports_body(std::string(100, '[')));
    CHECK_FALSE(transports_body("{}"));
}

TEST_CASE("visualizer parts: from the leaves of feeds") {
    const std::string a = key_text(1);
    const std::string b = key_text(2);
    const std::string client = key_text(3);
    const std::string vpn = R"([{"address":")" + a + R"(:44","type":"vpn"}])";
    const auto services =
        leaves_body(Part::services, {{"services/visor/all", "[]"}, {"services/vpn/all", vpn}});
    REQUIRE(services);
    CHECK(*services->text == *services_body({vpn})->text);
    const std::string entries = R"([{"static":")" + client + R"(","client":{}},7])";
    const auto clients = leaves_body(
        Part::clients,
        {{"clients-by-server/" + a, entries},
         {"clients-by-server/servers/" + a, "{}"},
         {"clients-by-server/servers/" + b, "{}"},
         {"clients-by-server/servers/x", "{}"}}
    );
    REQUIRE(clients);
    CHECK(clients->unreadable == 2);
    const std::string map = R"({")" + a + R"(":[")" + client + R"("],")" + b + R"(":null})";
    CHECK(*clients->text == *clients_body(map, "")->text);
    // Ids follow from the rest.
    const std::string edges = R"([{"edges":[")" + joins(1, 2).edges[0].to_text() + R"(",")" +
                              joins(1, 2).edges[1].to_text() +
                              R"("],"type":"stcpr","label":"automatic"}])";
    const auto transports = leaves_body(
        Part::transports,
        {{"transports/all/with-self", edges}, {"transports/all/without-self", "["}}
    );
    REQUIRE(transports);
    CHECK(*transports->text == *transports_body({joins(1, 2)}).text);
}

TEST_CASE("visualizer parts: empty feeds, and feeds of another layout") {
    for (const Part part : kParts) {
        INFO(part_name(part));
        const auto empty = leaves_body(part, {});
        REQUIRE(empty);
        CHECK(empty->items == 0);
        const auto other = leaves_body(part, {{"something/else", "{}"}});
        REQUIRE_FALSE(other);
        CHECK(other.error() == make_error_code(errc::unsupported));
    }
    const std::string a = key_text(1);
    CHECK_FALSE(leaves_body(Part::services, {{"services/vpn/" + a + "/entry", "{}"}}));
    CHECK_FALSE(leaves_body(Part::clients, {{"clients-by-server/" + a + "/" + a + "/entry", "{}"}})
    );
    CHECK_FALSE(leaves_body(Part::services, {{"services/vpn/all", "{}"}}));
    CHECK_FALSE(leaves_body(Part::clients, {{"clients-by-server/" + a, "["}}));
    CHECK_FALSE(leaves_body(Part::transports, {{"transports/all/with-self", "7"}}));
}

}  // namespace skywire::network_visualizer
