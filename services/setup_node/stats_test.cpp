#include "services/setup_node/stats.hpp"

#include "base/test.hpp"
#include "services/setup_node/breaker.hpp"

#include <set>

namespace skywire::setup_node {
namespace {

using namespace std::chrono_literals;

crypto::PublicKey key(const std::string& name) {
    return crypto::deterministic_key_pair(name).public_key;
}

json::object parsed(const Stats& stats) {
    const auto none_open = [](const crypto::PublicKey&) { return false; };
    return parse_json(stats.json(none_open)).value().as_object();
}

}  // namespace

TEST_CASE("setup-node stats: before anything has happened") {
    ManualClock clock;
    MetricRegistry metrics;
    const Stats stats(metrics, clock);
    const auto object = parsed(stats);
    CHECK(object.at("total_requests").to_number<int>() == 0);
    CHECK(object.at("success_rate_pct").to_number<double>() == 0);
    CHECK(object.at("latency_ms").at("count").to_number<int>() == 0);
    CHECK(object.at("failures_by_reason").as_object().size() == kReasonCount);
    CHECK(object.at("recent_failures").as_array().empty());
    CHECK_FALSE(object.contains("last_success_at"));
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < kReasonCount; ++i)
        names.insert(reason_name(static_cast<Reason>(i)));
    CHECK(names.size() == kReasonCount);
}

TEST_CASE("setup-node stats: counts, latencies and failures, without a key in them") {
    ManualClock clock;
    MetricRegistry metrics;
    Stats stats(metrics, clock);
    clock.advance(90s);
    for (int i = 1; i <= 100; ++i) {
        stats.begun();
        stats.succeeded({key("a"), key("b"), i <= 60 ? 1U : 2U, i * 1ms});
    }
    stats.begun();
    CHECK(stats.active() == 1);
    const std::string error = "reserve routeID from " + key("c").to_text() + " failed: <boom>";
    stats.failed({key("a"), key("c"), 3, 5ms}, Reason::id_reservation, error);
    stats.begun();
    const auto object = parsed(stats);
    CHECK(object.at("uptime_sec").to_number<int>() == 90);
    CHECK(object.at("total_requests").to_number<int>() == 102);
    CHECK(object.at("successful").to_number<int>() == 100);
    CHECK(object.at("failed").to_number<int>() == 1);
    CHECK(object.at("active_requests").to_number<int>() == 1);
    CHECK(object.at("success_rate_pct").to_number<double>() == Approx(99.01));
    const auto& latency = object.at("latency_ms");
    CHECK(latency.at("min_ms").to_number<double>() == 1);
    CHECK(latency.at("max_ms").to_number<double>() == 100);
    CHECK(latency.at("p50_ms").to_number<double>() == 51);
    CHECK(latency.at("p99_ms").to_number<double>() == 100);
    CHECK(object.at("route_length_hist").at("1").to_number<int>() == 60);
    CHECK(object.at("failures_by_reason").at("id_reservation").to_number<int>() == 1);
    const auto& failure = object.at("recent_failures").as_array()[0];
    CHECK(failure.at("reason").as_string() == "id_reservation");
    CHECK(failure.at("error").as_string() == "reserve routeID from  failed: <boom>");
    CHECK(failure.at("hop_count").to_number<int>() == 3);
    CHECK(failure.at("src_pk").as_string().empty());
    REQUIRE(object.at("top_destinations").as_array().size() == 2);
    CHECK(object.at("top_destinations").as_array()[0].at("total").to_number<int>() == 100);
    REQUIRE(object.at("top_failed_destinations").as_array().size() == 1);
    const std::string text = stats.json([](const crypto::PublicKey&) { return true; });
    CHECK(without_keys(text) == text);
    CHECK(text.find(R"("circuit":"open")") != std::string::npos);
    CHECK(metrics.counter("setup_node_requests_total", "", {{"outcome", "ok"}}).value() == 100);
}

TEST_CASE("setup-node stats: every list has an end") {
    ManualClock clock;
    MetricRegistry metrics;
    Stats stats(metrics, clock);
    for (std::size_t i = 0; i < Stats::kLatenciesMax + 10; ++i) {
        stats.begun();
        stats.succeeded({key("a"), key(std::to_string(i % 600)), 1, 1ms});
    }
    for (std::size_t i = 0; i < Stats::kFailuresMax + 10; ++i) {
        stats.begun();
        stats.failed({}, Reason::unknown, std::to_string(i));
    }
    const auto object = parsed(stats);
    CHECK(object.at("latency_ms").at("count").to_number<std::size_t>() == Stats::kLatenciesMax);
    const auto& failures = object.at("recent_failures").as_array();
    CHECK(failures.size() == Stats::kFailuresMax);
    CHECK(failures[0].at("error").as_string() == "137");
    CHECK(object.at("top_destinations").as_array().size() == 10);
}

TEST_CASE("setup-node breakers: open after failures in a row, longer each time") {
    Breakers breakers;
    const auto b = key("b");
    SteadyTime now{};
    now += 1h;
    for (int i = 0; i < 4; ++i)
        breakers.failed(b, now);
    CHECK_FALSE(breakers.open(b, now));
    // The first ones are long ago by now.
    now += 5min;
    for (int i = 0; i < 4; ++i)
        breakers.failed(b, now);
    CHECK_FALSE(breakers.open(b, now));
    breakers.failed(b, now);
    CHECK(breakers.open(b, now));
    CHECK_FALSE(breakers.open(key("c"), now));
    CHECK(breakers.open(b, now + 59s));
    now += 60s;
    CHECK_FALSE(breakers.open(b, now));
    for (const Duration lasts : {2min, 4min, 8min, 10min, 10min}) {
        breakers.failed(b, now);
        CHECK(breakers.open(b, now + lasts - 1ns));
        now += lasts;
        CHECK_FALSE(breakers.open(b, now));
    }
    // A while of quiet, and it begins anew.
    now += 5min;
    breakers.failed(b, now);
    CHECK_FALSE(breakers.open(b, now));
    breakers.succeeded(b);
    CHECK(breakers.size() == 0);
}

TEST_CASE("setup-node breakers: they forget who failed longest ago") {
    Breakers::Options options;
    options.destinations_max = 3;
    options.failures = 1;
    Breakers breakers(options);
    SteadyTime now{};
    for (const char* name : {"a", "b", "c", "d"})
        breakers.failed(key(name), now += 1s);
    CHECK(breakers.size() == 3);
    CHECK_FALSE(breakers.open(key("a"), now));
    CHECK(breakers.open(key("d"), now));
}

}  // namespace skywire::setup_node
