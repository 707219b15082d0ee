#include "base/test.hpp"
#include "framework/config_test_types.hpp"
#include "framework/load.hpp"

using namespace skywire;
using namespace skywire::framework;

namespace {

std::string messages(const std::string& blocks) {
    static const ServiceRegistry registry = config_test::test_registry();
    std::string out;
    const std::string text = "{\"services\": [" + blocks + "]}";
    for (const Problem& problem : load_deployment("f", text, registry).problems) {
        out += fmt::format(
            "{} {} {}\n",
            problem.severity == Problem::Severity::error ? "error" : "warning",
            problem.code,
            problem.label
        );
    }
    return out;
}

/// Two blocks of different types on these addresses.
std::string two(std::string_view first, std::string_view second) {
    return messages(fmt::format(
        R"({{"type": "dmsg-discovery", "addr": "{}"}},)"
        R"({{"type": "dmsg-server", "local_address": "{}"}})",
        first,
        second
    ));
}

std::string databases(std::string_view first_type, std::string_view second_type) {
    return messages(fmt::format(
        R"({{"type": "{}", "name": "a", "addr": ":1", "redis": "redis://h/1"}},)"
        R"({{"type": "{}", "name": "b", "addr": ":2", "redis": "redis://h/1"}})",
        first_type,
        second_type
    ));
}

}  // namespace

TEST_CASE("clashes: one port of overlapping hosts") {
    const std::string clash = "error clash dmsg-server\n";
    CHECK(two("127.0.0.1:80", "127.0.0.1:80") == clash);
    CHECK(two("127.0.0.1:80", "localhost:80") == clash);
    CHECK(two(":80", "127.0.0.1:80") == clash);
    CHECK(two("127.0.0.1:80", "0.0.0.0:80") == clash);
    CHECK(two("[::]:80", "127.0.0.1:80") == clash);
    CHECK(two(":80", "example.com:80") == clash);
    CHECK(two("Example.com:80", "example.com:80") == clash);
    CHECK(two("[::ffff:127.0.0.1]:80", "127.0.0.1:80") == clash);
    CHECK(two("127.0.0.1:80", "127.0.0.1:81").empty());
    CHECK(two("127.0.0.1:80", "127.0.0.2:80").empty());
    CHECK(two("0.0.0.0:80", "[::1]:80").empty());
    CHECK(two("127.0.0.1:0", "127.0.0.1:0").empty());
    CHECK(two(":0", ":0").empty());
}

TEST_CASE("clashes: tcp and udp have ports of their own") {
    CHECK(messages(R"({"type": "dmsg-discovery", "addr": "127.0.0.1:3478"},
        {"type": "stun-server", "primary_ip": "127.0.0.1", "secondary_ip": "127.0.0.2"})")
              .empty());
}

TEST_CASE("clashes: one block cannot bind a port twice either") {
    CHECK(
        messages(R"({"type": "stun-server", "primary_ip": "0.0.0.0", "secondary_ip": "127.0.0.2"})"
        ) == "error clash stun-server\n"
    );
}

TEST_CASE("clashes: a database is shared by a role, warned about between types, refused within one"
) {
    CHECK(databases("dmsg-discovery", "dmsg-discovery") == "error clash b\n");
    CHECK(databases("dmsg-discovery", "transport-discovery") == "warning clash b\n");
    CHECK(databases("route-finder", "transport-discovery").empty());
    CHECK(databases("route-finder", "route-finder") == "error clash b\n");
}

TEST_CASE("clashes: published test keys are for loopback") {
    const auto block = [](std::string_view addr) {
        return messages(fmt::format(
            R"({{"type": "dmsg-discovery", "addr": "{}", "public_key":)"
            R"("02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a"}})",
            addr
        ));
    };
    CHECK(block("127.0.0.1:80").empty());
    CHECK(block("127.9.0.1:80").empty());
    CHECK(block("localhost:80").empty());
    CHECK(block("[::1]:80").empty());
    CHECK(block(":80") == "warning test-key dmsg-discovery\n");
    CHECK(block("10.0.0.1:80") == "warning test-key dmsg-discovery\n");
    CHECK(block("example.com:80") == "warning test-key dmsg-discovery\n");
}

TEST_CASE("clashes: the published keys are known by their owners") {
    const auto owner = [](std::string_view key) {
        return detail::public_test_key(crypto::PublicKey::from_text(key).value());
    };
    CHECK(owner("0348c941c5015a05c455ff238af2e57fb8f914c399aab604e9abb5b32b91a4c1fe") == "visor-b");
    CHECK(
        owner("0283c63541f61e21f3b490feb1f20c9b69e2ecea691268c243339c0dc7d1b553d7") ==
        "address-resolver"
    );
    CHECK(owner("").empty());
}
