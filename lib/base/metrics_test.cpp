#include "base/metrics.hpp"

#include "base/log.hpp"
#include "base/test.hpp"

using namespace skywire;

TEST_CASE("metrics: the same name and labels give the same series") {
    MetricRegistry registry;
    Counter& first = registry.counter("x_total", "help", {{"reason", "a"}});
    Counter& other = registry.counter("x_total", "help", {{"reason", "b"}});
    first.add();
    first.add(4);
    CHECK(&registry.counter("x_total", "help", {{"reason", "a"}}) == &first);
    CHECK(&first != &other);
    CHECK(first.value() == 5);
    CHECK(other.value() == 0);
}

TEST_CASE("metrics: a gauge is set and moved") {
    MetricRegistry registry;
    Gauge& gauge = registry.gauge("sessions", "help");
    gauge.set(3);
    gauge.add(-1.5);
    CHECK(gauge.value() == 1.5);
}

TEST_CASE("metrics: a histogram counts cumulatively, its bounds included") {
    MetricRegistry registry;
    constexpr std::array kBounds{1.0, 2.0, 4.0};
    Histogram& histogram = registry.histogram("seconds", "help", {}, kBounds);
    for (const double value : {0.5, 1.0, 1.5, 4.0, 100.0})
        histogram.observe(value);
    const auto snapshot = histogram.snapshot();
    CHECK(
        snapshot.cumulative == std::vector<std::pair<double, std::uint64_t>>{{1, 2}, {2, 3}, {4, 4}}
    );
    CHECK(snapshot.count == 5);
    CHECK(snapshot.sum == 107.0);
}

TEST_CASE("metrics: families are visited in order of registration") {
    MetricRegistry registry;
    registry.counter("b_total", "second letter");
    registry.gauge("a", "first letter", {{"l", "1"}});
    registry.gauge("a", "first letter", {{"l", "2"}});
    std::vector<std::string> names;
    std::size_t series = 0;
    registry.for_each([&](const MetricRegistry::Family& family) {
        names.push_back(family.name);
        series += family.series.size();
    });
    CHECK(names == std::vector<std::string>{"b_total", "a"});
    CHECK(series == 3);
}

TEST_CASE("metrics: fixed labels stand in front, and a label's series can be forgotten") {
    MetricRegistry registry;
    LabelledMetrics mine(registry, {{"service", "stun"}});
    LabelledMetrics theirs(registry, {{"service", "dmsgd"}});
    mine.counter("x_total", "help", {{"reason", "a"}}).add();
    theirs.counter("x_total", "help").add(2);
    CHECK(registry.counter("x_total", "help", {{"service", "stun"}, {"reason", "a"}}).value() == 1);
    registry.forget("service", "stun");
    CHECK(registry.counter("x_total", "help", {{"service", "dmsgd"}}).value() == 2);
    CHECK(mine.counter("x_total", "help", {{"reason", "a"}}).value() == 0);
}

namespace {

class RecordingSink final : public log::Sink {
 public:
    void write(
        log::Level level,
        std::string_view scope,
        std::string_view event,
        const log::Field* fields,
        std::size_t field_count
    ) override {
        std::string line = fmt::format("{} {} {}", log::level_name(level), scope, event);
        for (std::size_t i = 0; i < field_count; ++i) {
            line += fmt::format(" {}={}", fields[i].key, fields[i].value);
        }
        lines.push_back(line);
    }

    std::vector<std::string> lines;
};

}  // namespace

TEST_CASE("log: lines below the channel's level are dropped, also after it changed") {
    RecordingSink sink;
    const auto channel = std::make_shared<log::Channel>("stun", log::Level::info, sink);
    const log::Logger logger(channel);
    log::debug(logger, "packet.ignored");
    log::info(logger, "listening", log::kv("address", "127.0.0.1"), log::kv("port", 3478));
    channel->set_level(log::Level::debug);
    log::debug(logger, "packet.ignored");
    log::info(log::Logger(), "dropped");
    CHECK(
        sink.lines ==
        std::vector<std::string>{
            "info stun listening address=127.0.0.1 port=3478", "debug stun packet.ignored"
        }
    );
}

TEST_CASE("log: level names of the existing network are read") {
    CHECK(log::parse_level("warning") == log::Level::warn);
    CHECK(log::parse_level("panic") == log::Level::error);
    CHECK(log::parse_level("verbose") == std::nullopt);
    for (const auto level : {log::Level::trace, log::Level::info, log::Level::off}) {
        CHECK(log::parse_level(log::level_name(level)) == level);
    }
}
