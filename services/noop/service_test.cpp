#include "services/noop/service.hpp"

#include "base/test.hpp"
#include "framework/harness/harness.hpp"

#include <algorithm>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;
using harness::Harness;

std::size_t ticks_after(const std::string& members, Duration time) {
    framework::ServiceRegistry types;
    types.add(noop_type());
    Harness harness(types, R"({"services":[{"type":"noop")" + members + "}]}");
    REQUIRE(harness.boot());
    for (Duration passed{0}; passed < time; passed += 1s)
        harness.advance(1s);
    const auto lines = harness.log_lines();
    const auto ticks = std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
        return line.find("tick") != std::string::npos;
    });
    CHECK(harness.stop() == 0);
    return static_cast<std::size_t>(ticks);
}

}  // namespace

TEST_CASE("noop: ticks as often as its block says") {
    CHECK(ticks_after("", 61s) == 2);
    CHECK(ticks_after(R"(,"tick_seconds":0)", 31s) == 1);
    CHECK(ticks_after(R"(,"tick_seconds":2)", 11s) == 5);
    CHECK(ticks_after(R"(,"tick_seconds":-1)", 100s) == 0);
}

}  // namespace skywire::services
