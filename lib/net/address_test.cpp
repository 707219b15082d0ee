#include "net/address.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::net;

TEST_CASE("address: what is parsed is printed again") {
    for (const std::string text :
         {":9090",
          "127.0.0.1:0",
          "[::1]:80",
          "localhost:80",
          "dmsg.example.org:65535",
          "unix:/run/skywire/admin.sock",
          "unix:relative.sock"}) {
        CAPTURE(text);
        const auto address = Address::parse(text);
        REQUIRE(address);
        CHECK(address->to_string() == text);
        CHECK(*Address::parse(address->to_string()) == *address);
    }
}

TEST_CASE("address: the parts") {
    const auto any = Address::parse(":9090").value();
    CHECK(any.kind == Address::Kind::tcp);
    CHECK(any.host.empty());
    CHECK(any.port == 9090);
    CHECK(Address::parse("[0:0::1]:80").value() == Address::tcp("::1", 80));
    CHECK(Address::parse("unix:/a:b").value() == Address::unix_path("/a:b"));
}

TEST_CASE("address: a bad one names the rule it breaks") {
    struct Case {
        std::string text;
        std::string rule;
    };
    const std::vector<Case> cases{
        {"", "is empty"},
        {"localhost", "no :port"},
        {"localhost:", "the port is missing"},
        {"localhost:http", "not a number"},
        {"localhost:+1", "not a number"},
        {"localhost:-1", "not a number"},
        {"localhost: 80", "not a number"},
        {"localhost:080", "starts with 0"},
        {"localhost:65536", "above 65535"},
        {"localhost:99999999999999999999", "above 65535"},
        {"::1", "brackets"},
        {"::1:80", "brackets"},
        {"[::1]", "no :port"},
        {"[::1]80", "no :port"},
        {"[::1:80", "] is missing"},
        {"[localhost]:80", "not an IPv6 address"},
        {"[fe80::1%nosuch0]:80", "no interface"},
        {"[]:80", "not an IPv6 address"},
        {"1.2.3.999:80", "not an IPv4 address"},
        {"1.2.3:80", "not an IPv4 address"},
        {"a..b:80", "empty label"},
        {".a:80", "empty label"},
        {"http://a:80", "more than one colon"},
        {"a/b:80", "character"},
        {"a b:80", "character"},
        {"*:80", "character"},
        {std::string(64, 'a') + ":80", "63 bytes"},
        {std::string(300, 'a') + ":80", "253 bytes"},
        {"unix:", "path is missing"},
        {"unix:/" + std::string(107, 'a'), "107 bytes"},
        {std::string("unix:/a\0b", 9), "zero byte"},
    };
    for (const auto& [text, rule] : cases) {
        CAPTURE(text);
        const auto address = Address::parse(text);
        REQUIRE(!address);
        CHECK_THAT(address.error().message(), Catch::Contains(rule));
    }
}
