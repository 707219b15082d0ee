#include "dmsg/detail/json_reader.hpp"

#include "base/test.hpp"
#include "dmsg/error.hpp"

using namespace skywire;
using dmsg::detail::JsonArray;
using dmsg::detail::JsonObject;
using dmsg::detail::JsonReader;

namespace {

std::optional<std::string> string_of(std::string_view text) {
    JsonReader reader(text);
    std::string value;
    if (!reader.string(value)) return std::nullopt;
    return value;
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
    JsonReader reader(text);
    Number value = 0;
    if (!reader.number(value)) return std::nullopt;
    return value;
}

bool skips(std::string_view text) {
    JsonReader reader(text);
    return reader.skip() && reader.end() == text.size();
}

}  // namespace

TEST_CASE("json reader: strings and their escapes") {
    CHECK(string_of(R"("")") == "");
    CHECK(string_of(R"(  "a/b")") == "a/b");
    CHECK(string_of(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
    CHECK(string_of(R"("\u0041\u00e9\u20AC")") == "A\xc3\xa9\xe2\x82\xac");
    CHECK(string_of(R"("\ud83d\ude00")") == "\xf0\x9f\x98\x80");
    CHECK(string_of("\"\xf0\x9f\x98\x80\xc3\xa9\"") == "\xf0\x9f\x98\x80\xc3\xa9");
    CHECK(string_of(R"("\u0000")") == std::string(1, '\0'));
}

TEST_CASE("json reader: half pairs and bytes that are not UTF-8 read as U+FFFD") {
    const std::string bad = "\xef\xbf\xbd";
    CHECK(string_of(R"("\ud83d")") == bad);
    CHECK(string_of(R"("\ude00x")") == bad + "x");
    CHECK(string_of(R"("\ud83d\u0041")") == bad + "A");
    CHECK(string_of(R"("\ud83d\ud83d\ude00")") == bad + "\xf0\x9f\x98\x80");
    CHECK(string_of("\"\xff\"") == bad);
    CHECK(string_of("\"\xc0\x80\"") == bad + bad);
    CHECK(string_of("\"\xed\xa0\x80\"") == bad + bad + bad);
    CHECK(string_of("\"\xf4\x90\x80\x80\"") == bad + bad + bad + bad);
    CHECK(string_of("\"\xe2\x80\"") == bad + bad);
    JsonReader reader("\"\xff\"");
    std::string value;
    CHECK(reader.string(value));
    CHECK(reader.repaired());
}

TEST_CASE("json reader: what is no string is refused") {
    for (const std::string_view text :
         {"",
          "a",
          "1",
          "null",
          "\"",
          "\"\\",
          "\"\\\"",
          "\"\\x\"",
          "\"\\u12\"",
          "\"\\u12g4\"",
          "\"\\u+123\"",
          "\"\n\"",
          "\"\x1f\"",
          "\"\\ud83d\\u00\""}) {
        INFO(text);
        CHECK_FALSE(string_of(text).has_value());
    }
}

TEST_CASE("json reader: whole numbers that fit, nothing else") {
    CHECK(number_of<std::uint64_t>("0") == 0U);
    CHECK(number_of<std::uint64_t>("18446744073709551615") == 18446744073709551615U);
    CHECK(
        number_of<std::int64_t>("-9223372036854775808") == std::numeric_limits<std::int64_t>::min()
    );
    CHECK(number_of<std::int64_t>("-0") == 0);
    for (const std::string_view text :
         {"18446744073709551616",
          "-1",
          "-0",
          "1.0",
          "1e3",
          "1E0",
          "\"1\"",
          "true",
          "+1",
          ".5",
          "1.",
          "1e",
          "-",
          "",
          "0x1",
          "NaN"}) {
        INFO(text);
        const auto value = number_of<std::uint64_t>(text);
        // "0x1" is a zero with something behind it, which its reader refuses.
        CHECK(value.has_value() == (text == "0x1"));
    }
    CHECK_FALSE(number_of<std::int64_t>("9223372036854775808").has_value());
    CHECK_FALSE(skips("01"));
}

TEST_CASE("json reader: any value is passed over whole") {
    for (const std::string_view text :
         {"null",
          "true",
          "false",
          "-1.5e+10",
          "\"a\"",
          "{}",
          "[]",
          "[1,[2,{\"a\":[]}],\"]\"]",
          "{\"a\" : {\"b\":null} , \"c\":\"}\"}"}) {
        INFO(text);
        CHECK(skips(text));
    }
    for (const std::string_view text :
         {"",
          "nul",
          "tru",
          "{",
          "[",
          "{]",
          "[}",
          "[1,]",
          "[,1]",
          "{,}",
          "{\"a\"}",
          "{\"a\":}",
          "{\"a\":1,}",
          "{1:2}",
          "[1 2]",
          "{\"a\":1 \"b\":2}",
          "'a'"}) {
        INFO(text);
        CHECK_FALSE(skips(text));
    }
}

TEST_CASE("json reader: depth is bounded") {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(skips(nested(JsonReader::kDepthMax)));
    CHECK_FALSE(skips(nested(JsonReader::kDepthMax + 1)));
    CHECK_FALSE(skips(std::string(1'000'000, '[')));
    std::string wide = "[";
    for (int i = 0; i < 1000; ++i)
        wide += "[],{},";
    CHECK(skips(wide + "[]]"));
}

TEST_CASE("json reader: the first failure sticks and tells its place") {
    JsonReader reader("{\"a\":x}");
    JsonObject object(reader);
    REQUIRE(object.next());
    std::string value;
    CHECK_FALSE(reader.string(value));
    CHECK_FALSE(reader.skip());
    CHECK_FALSE(object.next());
    CHECK(reader.error() == make_error_code(dmsg::errc::unexpected));
    CHECK(reader.error().message() == "entry JSON, byte 5: a string is expected");
}

TEST_CASE("json reader: member names match in any letter case, the long s included") {
    JsonReader reader(
        "{\"sTATIC\":1, \"\\u0073tatic\":2,\"\xc5\xbftatic\":3,\"static_\":4,\"stati\":5}"
    );
    JsonObject object(reader);
    const std::array<std::pair<bool, bool>, 5> expected{
        {{true, false}, {true, false}, {true, false}, {false, false}, {false, false}}
    };
    for (const auto& [named, exactly] : expected) {
        REQUIRE(object.next());
        CHECK(object.named("static") == named);
        CHECK(object.named_exactly("static") == exactly);
        CHECK(reader.skip());
    }
    CHECK_FALSE(object.next());
    CHECK(reader.ok());
    CHECK(reader.spaced());
}

TEST_CASE("json reader: numbers of floating point are the nearest there is") {
    CHECK(number_of<double>("123456789.123456789") == 123456789.123456789);
    CHECK(number_of<double>("-0.00000012") == -0.00000012);
    CHECK(number_of<double>("1e21") == 1e21);
    CHECK(number_of<double>(" 7") == 7.0);
    CHECK(number_of<double>("1e-400") == 0.0);
    CHECK(number_of<double>("-0.5e-999") == 0.0);
    CHECK_FALSE(number_of<double>("1e400"));
    CHECK_FALSE(number_of<double>("-1e400"));
    CHECK_FALSE(number_of<double>("nan"));
    CHECK_FALSE(number_of<double>("+1"));
    CHECK_FALSE(number_of<double>("\"1\""));
}

TEST_CASE("json reader: true and false") {
    bool value = false;
    CHECK(JsonReader(" true").boolean(value));
    CHECK(value);
    CHECK(JsonReader("false").boolean(value));
    CHECK_FALSE(value);
    CHECK_FALSE(JsonReader("tru").boolean(value));
    CHECK_FALSE(JsonReader("null").boolean(value));
    CHECK_FALSE(JsonReader("1").boolean(value));
}
