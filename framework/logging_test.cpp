#include "framework/logging.hpp"

#include "base/test.hpp"
#include "framework/log_line.hpp"

namespace skywire::framework {
namespace {

using log::kv;
using log::Level;

/// A hub on a still clock that keeps what it writes.
struct Fixture {
    explicit Fixture(LogHub::Format format = LogHub::Format::text)
        : clock(WallTime(std::chrono::nanoseconds(1'795'260'153'123'456'000))),
          hub(clock, format, [this](std::string_view line) { lines.emplace_back(line); }) {}

    std::string last() const { return lines.empty() ? "" : lines.back(); }

    ManualClock clock;
    std::vector<std::string> lines;
    LogHub hub;
};

TEST_CASE("logging: a text line has time, level, scope, event and fields") {
    Fixture f;
    const auto logger = f.hub.logger("dmsgd");
    log::info(logger, "entry.registered", kv("pk", "02ab"), kv("type", "visor x"), kv("n", 3));
    CHECK(
        f.last() ==
        "2026-11-21T11:22:33.123456000Z INFO  [dmsgd] entry.registered pk=02ab "
        "type=\"visor x\" n=3\n"
    );
    log::error(logger, "store.failed");
    CHECK(f.last() == "2026-11-21T11:22:33.123456000Z ERROR [dmsgd] store.failed\n");
}

TEST_CASE("logging: a value can neither end its line nor move a terminal") {
    Fixture f;
    const auto logger = f.hub.logger("a");
    const auto value = [&](std::string_view text) {
        log::info(logger, "e", kv("v", text));
        return f.last().substr(f.last().find(" v=") + 3);
    };
    CHECK(value("a\nb") == "\"a\\nb\"\n");
    CHECK(value("say \"hi\" \\") == "\"say \\\"hi\\\" \\\\\"\n");
    CHECK(value("\x1b[2J") == "\"\\x1b[2J\"\n");
    CHECK(value("\x7f") == "\"\\x7f\"\n");
    CHECK(
        value("\xc2\x9b"
              "2J") == "\"\\xc2\\x9b2J\"\n"
    );
    CHECK(value("\xe2\x80\xae") == "\"\\xe2\\x80\\xae\"\n");
    CHECK(value("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f\n");
    CHECK(value("\xff\xc3") == "\"\\xff\\xc3\"\n");
    CHECK(value("\xed\xa0\x80") == "\"\\xed\\xa0\\x80\"\n");
    CHECK(value("") == "\"\"\n");
    CHECK(value("a=b") == "\"a=b\"\n");
}

TEST_CASE("logging: a JSON line is one object, whatever the fields hold") {
    Fixture f(LogHub::Format::json);
    const auto logger = f.hub.logger("dmsgd");
    log::warn(logger, "peer.refused", kv("text", "a\"\n\xff\x01"), kv("service", "visor"));
    CHECK(f.last().find('\n') == f.last().size() - 1);
    const auto line = parse_json(f.last().substr(0, f.last().size() - 1)).value().as_object();
    CHECK(line.at("time") == "2026-11-21T11:22:33.123456000Z");
    CHECK(line.at("level") == "warn");
    CHECK(line.at("service") == "dmsgd");
    CHECK(line.at("event") == "peer.refused");
    CHECK(line.at("text") == "a\"\n\xef\xbf\xbd\x01");
    CHECK(line.at("service_") == "visor");
}

TEST_CASE("logging: lines have a bound in both forms and say that they were cut") {
    for (const auto format : {LogHub::Format::text, LogHub::Format::json}) {
        for (const char filling : {'x', '\x01', '"'}) {
            Fixture f(format);
            const auto logger = f.hub.logger("a");
            const std::string big(100'000, filling);
            log::info(logger, "e", kv("first", 1), kv("big", big), kv("last", 2));
            CHECK(f.last().size() <= kLogLineBytesMax + 1);
            CHECK(f.last().size() > kLogLineBytesMax / 4);
            CHECK(f.last().find("truncated") != std::string::npos);
            if (format == LogHub::Format::json) {
                CHECK(parse_json(f.last().substr(0, f.last().size() - 1)).has_value());
            }
        }
        Fixture f(format);
        const auto logger = f.hub.logger("a");
        std::vector<log::Field> many(5000, log::Field{"key", "value"});
        f.hub.write(Level::info, "a", "e", many.data(), many.size());
        CHECK(f.last().size() <= kLogLineBytesMax + 1);
    }
}

TEST_CASE("logging: the same scope gives the same channel, with the level it has") {
    Fixture f;
    const auto first = f.hub.logger("a", Level::warn);
    const auto second = f.hub.logger("a", Level::trace);
    CHECK(first.channel() == second.channel());
    CHECK_FALSE(second.enabled(Level::info));
    CHECK(f.hub.logger("b").channel() != first.channel());
}

TEST_CASE("logging: the level of one scope changes its lines only") {
    Fixture f;
    const auto a = f.hub.logger("a");
    const auto b = f.hub.logger("b");
    log::debug(a, "before");
    CHECK(f.hub.set_level("a", Level::debug));
    log::debug(a, "after");
    log::debug(b, "after");
    CHECK(f.lines.size() == 1);
    CHECK(f.hub.recent("a")->size() == 1);
    CHECK(f.hub.recent("b")->empty());
    CHECK_FALSE(f.hub.set_level("c", Level::debug));
    CHECK_FALSE(f.hub.recent("c").has_value());
}

TEST_CASE("logging: a level for a while falls back by itself") {
    Fixture f;
    const auto a = f.hub.logger("a", Level::warn);
    CHECK_FALSE(f.hub.expire_levels().has_value());
    f.hub.set_level("a", Level::debug, std::chrono::seconds(60));
    CHECK(f.hub.expire_levels() == f.clock.now() + std::chrono::seconds(60));
    auto status = f.hub.levels().at(0);
    CHECK(status.level == Level::debug);
    CHECK(status.back_to == Level::warn);
    CHECK(status.until == f.clock.wall() + std::chrono::seconds(60));

    f.clock.advance(std::chrono::seconds(59));
    f.hub.expire_levels();
    CHECK(a.enabled(Level::debug));
    // A second one within the first falls back to the same level.
    f.hub.set_level("a", Level::trace, std::chrono::seconds(10));
    f.clock.advance(std::chrono::seconds(10));
    CHECK_FALSE(f.hub.expire_levels().has_value());
    CHECK(a.channel()->level() == Level::warn);
    CHECK_FALSE(f.hub.levels().at(0).back_to.has_value());

    // One for good forgets the way back.
    f.hub.set_level("a", Level::debug, std::chrono::seconds(10));
    f.hub.set_level("a", Level::error);
    f.clock.advance(std::chrono::minutes(1));
    f.hub.expire_levels();
    CHECK(a.channel()->level() == Level::error);
}

TEST_CASE("logging: the ring keeps the newest lines") {
    Fixture f;
    const auto a = f.hub.logger("a");
    for (std::size_t i = 0; i < LogHub::kRingLines + 10; ++i)
        log::info(a, "e", kv("i", i));
    const auto recent = *f.hub.recent("a");
    REQUIRE(recent.size() == LogHub::kRingLines);
    CHECK(recent.front().ends_with("i=10"));
    CHECK(recent.back().ends_with(fmt::format("i={}", LogHub::kRingLines + 9)));
}

TEST_CASE("logging: a line that cannot be written is counted, and its writer goes on") {
    ManualClock clock;
    LogHub hub(clock, LogHub::Format::text, [](std::string_view) {
        throw std::runtime_error("disk full");
    });
    log::info(hub.logger("a"), "e");
    CHECK(hub.lost() == 1);
    CHECK(hub.recent("a")->size() == 1);
}

}  // namespace
}  // namespace skywire::framework
