#include "services/service_discovery/entry.hpp"

#include "base/test.hpp"

namespace skywire::service_discovery {
namespace {

const std::string kKey = crypto::deterministic_key_pair("entry").public_key.to_text();

std::string written(const Entry& entry, Reader reader) {
    std::string text;
    append_entry(text, entry, reader);
    return text;
}

std::string posted(const std::string& members) {
    return R"({"address":")" + kKey + R"(:44","type":"vpn")" + members + "}";
}

}  // namespace

TEST_CASE("sd entry: who posts, who asks for one and who asks for all read different members") {
    const Entry entry =
        parse_posted(
            posted(R"(,"display_node_ip":true,"version":"v1","local_ips":["10.0.0.1","10.0.0.2"],)"
                   R"("info":{"latency":1.5,"uptime":2.5,"connections":3})")
        )
            .value();
    const std::string begin = R"({"address":")" + kKey + R"(:44","type":"vpn")";
    const std::string ips = R"(,"local_ips":["10.0.0.1","10.0.0.2"])";
    CHECK(
        written(entry, Reader::poster) ==
        begin + R"(,"display_node_ip":true,"version":"v1")" + ips +
            R"(,"info":{"latency":1.5,"uptime":2.5,"connections":3}})"
    );
    CHECK(
        written(entry, Reader::one) ==
        begin + R"(,"geo":{},"display_node_ip":true,"version":"v1")" + ips + "}"
    );
    CHECK(written(entry, Reader::list) == begin + R"(,"geo":{},"version":"v1")" + ips + "}");
    Entry hidden = entry;
    hidden.display_node_ip = false;
    CHECK(written(hidden, Reader::list) == begin + R"(,"geo":{},"version":"v1"})");
    CHECK(written(hidden, Reader::one) == begin + R"(,"geo":{},"version":"v1")" + ips + "}");
}

TEST_CASE("sd entry: what the network's decoder takes is taken") {
    CHECK(parse_posted(posted(",\"version\":null")));
    CHECK(parse_posted(posted("") + " trailing bytes"));
    CHECK(parse_posted(posted(R"(,"VERSION":"a","Version":"b")"))->version == "b");
    CHECK(parse_posted(posted(R"(,"version":"b","version":"a")"))->version == "a");
    CHECK(parse_posted(posted(R"(,"local_ips":["1.2.3.4",null])"))->local_ips.size() == 2);
    CHECK(parse_posted(posted(R"(,"geo":{"lat":1},"geo":null)"))->geo == std::nullopt);
    CHECK(parse_posted(posted(R"(,"geo":{"lat":1},"geo":{"lon":2})"))->geo == Geo{1, 2, "", ""});
    CHECK(parse_posted("null")->key.is_null());
    CHECK(parse_posted("{}")->key.is_null());
}

TEST_CASE("sd entry: what it does not take is refused") {
    for (const std::string& bad :
         {std::string(),
          std::string("{"),
          std::string("[]"),
          std::string("5"),
          std::string("\"\""),
          std::string(R"({"address":5})"),
          std::string(R"({"address":"zz:44"})"),
          R"({"address":")" + kKey + R"(:70000"})",
          R"({"address":")" + kKey + R"(:-1"})",
          R"({"address":")" + kKey + R"(:1:2"})",
          posted(",\"foo\":1"),
          posted(",\"geo\":{\"foo\":1}"),
          posted(",\"info\":{\"foo\":1}"),
          posted(",\"info\":{\"connections\":1.5}"),
          posted(",\"geo\":[]"),
          posted(",\"geo\":{\"lat\":\"1\"}"),
          posted(",\"geo\":{\"lat\":1e999}"),
          posted(",\"local_ips\":\"1.2.3.4\""),
          posted(",\"local_ips\":[1]"),
          posted(",\"display_node_ip\":1"),
          posted(",\"version\":1"),
          posted(",\"held\":true"),
          posted(",\"expires\":1")}) {
        INFO(bad);
        CHECK_FALSE(parse_posted(bad));
    }
}

TEST_CASE("sd entry: the store's form has the class behind what other services write") {
    Entry entry = parse_posted(posted(R"(,"geo":{"country":"DE"},"info":{"uptime":1})")).value();
    const std::string plain = to_stored({entry, false, 0});
    CHECK(plain == R"({"address":")" + kKey + R"(:44","type":"vpn","geo":{"country":"DE"}})");
    const std::string held = to_stored({entry, true, 0});
    CHECK(held == plain.substr(0, plain.size() - 1) + R"(,"held":true})");
    const std::string ends = to_stored({entry, false, 1'700'000'000'000});
    CHECK(ends == plain.substr(0, plain.size() - 1) + R"(,"expires":1700000000000})");
    CHECK(parse_stored(held)->held);
    CHECK(parse_stored(ends)->expires_ms == 1'700'000'000'000);
    CHECK_FALSE(parse_stored(ends)->held);
    CHECK(parse_stored(plain)->entry.geo == Geo{0, 0, "DE", ""});
    CHECK(parse_stored(R"({"address":")" + kKey + R"(:1","coin":"sky","x":[{}]})"));
    CHECK_FALSE(parse_stored("{}"));
    CHECK_FALSE(parse_stored("no"));
}

TEST_CASE("sd entry: an address is a key and a port") {
    CHECK(ServiceAddress::parse(kKey)->port == 0);
    CHECK(ServiceAddress::parse(kKey + ":65535")->port == 65535);
    CHECK(ServiceAddress::parse("zz:44").error().message() == "Invalid public key");
    CHECK(ServiceAddress::parse("0201").error().message() == "Invalid public key length");
    CHECK_FALSE(ServiceAddress::parse(kKey + ":"));
    CHECK_FALSE(ServiceAddress::parse(kKey + ":x"));
    CHECK(ServiceAddress::parse(std::string(66, '0') + ":1")->key.is_null());
}

}  // namespace skywire::service_discovery
