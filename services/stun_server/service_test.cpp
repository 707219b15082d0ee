#include "services/stun_server/service.hpp"

#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "services/stun_server/stun_message.hpp"

namespace skywire::stun {
namespace {

using harness::Harness;

framework::ServiceRegistry registry() {
    framework::ServiceRegistry made;
    made.add(services::stun_server_type());
    return made;
}

std::string file(const std::string& secondary, const std::string& more = {}) {
    return R"({"services":[{"type":"stun-server","name":"stun","primary_ip":"127.0.0.1",)"
           R"("secondary_ip":")" +
           secondary + '"' + more + "}]}";
}

std::string problems_of(const std::string& text) {
    return harness::problems_of(registry(), text);
}

}  // namespace

TEST_CASE("stun-server: listens on four sockets and then is ready") {
    const auto types = registry();
    Harness harness(types, file("127.0.0.2"));
    REQUIRE(harness.boot());
    CHECK(harness.before("stun milestone listening", "stun ready"));
    for (const std::string address :
         {"127.0.0.1:3478", "127.0.0.1:3479", "127.0.0.2:3478", "127.0.0.2:3479"})
        CHECK(harness.network().real_udp_address(address));
    CHECK(harness.stop() == 0);
    CHECK_FALSE(harness.network().real_udp_address("127.0.0.1:3478"));
}

TEST_CASE("stun-server: an address that cannot be had is named where an operator looks") {
    const auto types = registry();
    Harness harness(types, file("127.0.0.2", R"(,"restart":{"policy":"never"})"));
    harness.faults().set("bind", "127.0.0.2:3479");
    CHECK_FALSE(harness.boot());
    CHECK(harness.service("stun").reason.find("secondary_ip") != std::string::npos);
    CHECK(harness.stop() == 1);
}

TEST_CASE("stun-server: the rules of its block") {
    CHECK(problems_of(file("127.0.0.2")).empty());
    CHECK(problems_of(file("127.0.0.2", R"(,"tag":"stun")")).find("warning") != std::string::npos);
    CHECK(problems_of(file("127.0.0.1")).find("the same as primary_ip") != std::string::npos);
    CHECK(problems_of(file("::1")).find("not an IPv4 address") != std::string::npos);
    CHECK(problems_of(file("0.0.0.0")).find("not an IPv4 address") != std::string::npos);
    CHECK(
        problems_of(file("127.0.0.2", R"(,"port":5000,"alt_port":5000)"))
            .find("alt_port is the same as port") != std::string::npos
    );
    CHECK(
        problems_of(R"({"services":[{"type":"stun-server"}]})").find("primary_ip") !=
        std::string::npos
    );
}

}  // namespace skywire::stun
