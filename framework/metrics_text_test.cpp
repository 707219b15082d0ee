#include "framework/metrics_text.hpp"

#include "base/test.hpp"

#include <sstream>

namespace skywire::framework {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("metrics text: every kind has HELP and TYPE, histograms have le buckets") {
    MetricRegistry registry;
    registry.counter("a_total", "Things seen", {{"reason", "late"}}).add(3);
    registry.gauge("b_open", "Things open").set(2.5);
    const std::array<double, 2> bounds{0.1, 1};
    auto& histogram = registry.histogram("c_seconds", "How long", {}, bounds);
    histogram.observe(0.05);
    histogram.observe(0.5);
    histogram.observe(5);

    CHECK(
        metrics_text(registry, /*with_process=*/false) ==
        "# HELP a_total Things seen\n"
        "# TYPE a_total counter\n"
        "a_total{reason=\"late\"} 3\n"
        "# HELP b_open Things open\n"
        "# TYPE b_open gauge\n"
        "b_open 2.5\n"
        "# HELP c_seconds How long\n"
        "# TYPE c_seconds histogram\n"
        "c_seconds_count 3\n"
        "c_seconds_sum 5.55\n"
        "c_seconds_bucket{le=\"0.1\"} 1\n"
        "c_seconds_bucket{le=\"1\"} 2\n"
        "c_seconds_bucket{le=\"+Inf\"} 3\n"
    );
}

TEST_CASE("metrics text: help and label values cannot break a line") {
    MetricRegistry registry;
    registry.counter("a_total", "one\ntwo \\", {{"x", "q\"uo\\te\nnext"}});
    CHECK(
        metrics_text(registry, false) ==
        "# HELP a_total one\\ntwo \\\\\n"
        "# TYPE a_total counter\n"
        "a_total{x=\"q\\\"uo\\\\te\\nnext\"} 0\n"
    );
}

TEST_CASE("metrics text: a service's own page has its series only") {
    MetricRegistry registry;
    LabelledMetrics first(registry, {{"service", "dmsgd"}});
    LabelledMetrics second(registry, {{"service", "tpd"}});
    first.counter("a_total", "Both").add(1);
    second.counter("a_total", "Both").add(2);
    second.counter("b_total", "One").add(2);
    registry.counter("c_total", "Process");

    const std::string page = service_metrics_text(registry, "dmsgd");
    CHECK_THAT(page, Contains("a_total{service=\"dmsgd\"} 1\n"));
    CHECK_THAT(page, !Contains("tpd"));
    CHECK_THAT(page, !Contains("b_total"));
    CHECK_THAT(page, !Contains("c_total"));
    CHECK(service_metrics_text(registry, "none").empty());

    registry.forget("service", "dmsgd");
    CHECK(service_metrics_text(registry, "dmsgd").empty());
}

TEST_CASE("metrics text: the process's own series are there and plausible") {
    const MetricRegistry registry;
    std::istringstream lines(metrics_text(registry));
    std::map<std::string, double> values;
    std::map<std::string, std::string> types;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string name;
        std::string type;
        if (line.starts_with("# TYPE ")) {
            words >> name >> name >> name >> type;
            types[name] = type;
        } else if (!line.starts_with('#')) {
            double value = 0;
            words >> name >> value;
            values[name] = value;
        }
    }
    CHECK(values.at("process_cpu_seconds_total") > 0);
    CHECK(values.at("process_resident_memory_bytes") > 1e6);
    CHECK(values.at("process_virtual_memory_bytes") >= values.at("process_resident_memory_bytes"));
    CHECK(values.at("process_open_fds") >= 1);
    CHECK(values.contains("process_max_fds"));
    CHECK(values.contains("process_coroutines"));
    CHECK(values.at("process_threads") >= 1);
    CHECK(values.at("process_start_time_seconds") > 1e9);
    CHECK(types.at("process_cpu_seconds_total") == "counter");
    CHECK(types.at("process_open_fds") == "gauge");
}

}  // namespace
}  // namespace skywire::framework
