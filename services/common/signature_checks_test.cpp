#include "services/common/signature_checks.hpp"

#include "net/scope.hpp"
#include "services/common/test_store.hpp"

#include <string>

namespace skywire::services {
namespace {

const crypto::KeyPair kVisor = crypto::deterministic_key_pair("visor");

/// Many requests at one time; every third one is signed wrongly.
class Requests {
 public:
    explicit Requests(TestWorld& world) : checks(world.context), scope(world.context.loop) {}

    void begin(std::size_t count) {
        proved.resize(count);
        for (std::size_t i = 0; i < count; ++i)
            scope.spawn("request", [this, i] { return run(i); });
    }
    static bool is_right(std::size_t number) { return number % 3 != 0; }

    SignatureChecks checks;
    std::vector<bool> proved;
    std::size_t ended = 0;
    net::Scope scope;

 private:
    Task<> run(std::size_t number) {
        http::Fields fields;
        const std::string body = std::to_string(number);
        http::sign_request(fields, kVisor, body, number);
        const auto headers = http::read_signed_headers(fields).value();
        const std::string seen = is_right(number) ? body : body + " ";
        const auto outcome = co_await checks.check(headers, http::signed_digest(headers, seen));
        proved[number] = outcome.has_value();
        ++ended;
    }
};

}  // namespace

TEST_CASE("signature checks: of many at one time each has its own outcome") {
    TestWorld world;
    Requests requests(world);
    requests.begin(100);
    world.loop.run_until([&] { return requests.ended == 100; });
    for (std::size_t i = 0; i < requests.proved.size(); ++i) {
        INFO("request " << i);
        CHECK(requests.proved[i] == Requests::is_right(i));
    }
    // The next ones find free workers.
    requests.begin(50);
    world.loop.run_until([&] { return requests.ended == 150; });
}

TEST_CASE("signature checks: requests that end early leave none of the others waiting") {
    TestWorld world;
    Requests requests(world);
    requests.begin(100);
    world.loop.run_until([&] { return requests.ended > 0; });
    Clock& clock = world.context.clock;
    const SteadyTime deadline = clock.now() + std::chrono::hours(1);
    const auto late = world.loop.run(requests.scope.close(clock, clock.now(), deadline));
    CHECK(late.empty());
    http::Fields fields;
    http::sign_request(fields, kVisor, "{}", 7);
    const auto headers = http::read_signed_headers(fields).value();
    const auto outcome = world.loop.run(
        requests.checks.check(headers, http::signed_digest(headers, std::string_view("{}")))
    );
    CHECK(outcome.has_value());
}

}  // namespace skywire::services
