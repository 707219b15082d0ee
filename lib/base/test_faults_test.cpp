#include "base/test.hpp"

#include "base/test_faults.hpp"

namespace skywire {

TEST_CASE("faults: a point fails as often as set, for its subject alone") {
    TestFaults faults;
    CHECK(faults.check("bind", "127.0.0.1:80"));
    faults.set("bind", "127.0.0.1:80", 2, "taken");
    const auto first = faults.check("bind", "127.0.0.1:80");
    REQUIRE_FALSE(first);
    CHECK(first.error() == errc::injected);
    CHECK(first.error().message() == "bind 127.0.0.1:80: taken");
    CHECK(faults.check("bind", "127.0.0.1:81"));
    CHECK(faults.check("dial", "127.0.0.1:80"));
    CHECK_FALSE(faults.check("bind", "127.0.0.1:80"));
    CHECK(faults.check("bind", "127.0.0.1:80"));
    CHECK(faults.hits("bind", "127.0.0.1:80") == 2);
    CHECK(faults.hits("bind", "127.0.0.1:81") == 0);
}

TEST_CASE("faults: a fault without a number stays until it is cleared") {
    TestFaults faults;
    faults.set("store", "a");
    for (int i = 0; i < 10; ++i)
        CHECK_FALSE(faults.check("store", "a"));
    faults.clear("store", "a");
    CHECK(faults.check("store", "a"));
    faults.clear("store", "never set");
}

TEST_CASE("faults: delays") {
    TestFaults faults;
    CHECK(faults.delay("slow start", "a") == Duration(0));
    faults.set_delay("slow start", "a", std::chrono::seconds(3));
    CHECK(faults.delay("slow start", "a") == std::chrono::seconds(3));
    // A delay is no failure.
    CHECK(faults.check("slow start", "a"));
    faults.clear("slow start", "a");
    CHECK(faults.delay("slow start", "a") == Duration(0));
}

}  // namespace skywire
