#include "base/json.hpp"

#include "base/test.hpp"

using namespace skywire;

namespace {

std::string plain(std::string_view text) {
    std::string out;
    append_json_string(out, text, JsonEscape::plain);
    return out;
}

std::string html(std::string_view text) {
    std::string out;
    append_json_string(out, text, JsonEscape::html);
    return out;
}

}  // namespace

TEST_CASE("json: the plain form escapes quotes, backslashes and control characters only") {
    CHECK(plain("") == R"("")");
    CHECK(plain("a/b") == R"("a/b")");
    CHECK(plain("a<b>&c\"\\\xc3\xa9\xe2\x80\xa8") == "\"a<b>&c\\\"\\\\\xc3\xa9\xe2\x80\xa8\"");
    CHECK(plain("\n\r\t") == R"("\n\r\t")");
    CHECK(
        plain(std::string_view("\0\x01\b\f\x1f\x7f", 6)) ==
        "\"\\u0000\\u0001\\u0008\\u000c\\u001f\x7f\""
    );
}

TEST_CASE("json: the html form escapes <, >, & and the line separators too") {
    CHECK(html("a<b>&c") == R"("a\u003cb\u003e\u0026c")");
    CHECK(html("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa") == "\"\\u2028\\u2029\xe2\x80\xaa\"");
}

TEST_CASE("json: bytes that are not UTF-8 become the replacement character, one each") {
    CHECK(plain("\xff") == R"("\ufffd")");
    CHECK(plain("a\xc3") == R"("a\ufffd")");
    CHECK(plain("\xc0\x80") == R"("\ufffd\ufffd")");            // overlong
    CHECK(plain("\xed\xa0\x80") == R"("\ufffd\ufffd\ufffd")");  // surrogate
    CHECK(plain("\xf4\x90\x80\x80").size() == 2 + 4 * 6);       // above U+10FFFF
    CHECK(plain("\xf0\x9f\x98\x80") == "\"\xf0\x9f\x98\x80\"");
    CHECK(plain("\xe2\x80") == R"("\ufffd\ufffd")");
}

TEST_CASE("json: text that was appended stays in front") {
    std::string out = "[";
    append_json_string(out, "x", JsonEscape::plain);
    CHECK(out == "[\"x\"");
}

TEST_CASE("json: one value and nothing behind it") {
    CHECK(parse_json(R"({"a":[1,2]})").value().at("a").as_array().size() == 2);
    CHECK(parse_json(" 1 ").has_value());
    for (const std::string_view text :
         {"", "{", "1 2", "{} x", "nul", "{\"a\":}", "[1,]", "'a'", "// x\n1"}) {
        INFO(text);
        const auto parsed = parse_json(text);
        REQUIRE_FALSE(parsed.has_value());
        CHECK(parsed.error() == make_error_code(errc::malformed));
        CHECK(parsed.error().message().starts_with("not JSON: "));
    }
}

TEST_CASE("json: depth is bounded") {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(parse_json(nested(32)).has_value());
    CHECK_FALSE(parse_json(nested(33)).has_value());
    CHECK(parse_json(nested(2), 2).has_value());
    CHECK_FALSE(parse_json(nested(3), 2).has_value());
}
