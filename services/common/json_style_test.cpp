#include "services/common/json_style.hpp"

#include "base/test.hpp"

namespace skywire::services {
namespace {

std::string float_text(double value, JsonStyle style) {
    std::string text;
    append_float(text, value, style);
    return text;
}

}  // namespace

TEST_CASE("json style: floats of style C have six decimals, large ones all of theirs") {
    const std::pair<double, const char*> cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {1.5, "1.5"},
        {-3.25, "-3.25"},
        {1.23456789, "1.234568"},
        {-0.00000012, "-0"},
        {0.000001, "0.000001"},
        {0.1, "0.1"},
        {100.05, "100.05"},
        {83886079, "83886079"},
        {83886079.5, "83886079.5"},
        {123456789.12345679, "123456789.12345679"},
        {-123456789.12345679, "-123456789.12345679"},
        {1e21, "1e+21"},
        {1e20, "100000000000000000000"},
    };
    for (const auto& [value, text] : cases)
        CHECK(float_text(value, JsonStyle::c) == text);
}

TEST_CASE("json style: floats of the other styles are the shortest that read back") {
    const std::pair<double, const char*> cases[] = {
        {0, "0"},
        {1.23456789, "1.23456789"},
        {0.000001, "0.000001"},
        {0.0000001, "1e-7"},
        {-1.2e-10, "-1.2e-10"},
        {1e21, "1e+21"},
        {5e-324, "5e-324"},
    };
    for (const auto& [value, text] : cases) {
        CHECK(float_text(value, JsonStyle::a) == text);
        CHECK(float_text(value, JsonStyle::b) == text);
    }
}

TEST_CASE("json style: type, ending and escapes go together") {
    const auto a = error_response(404, "<&>", JsonStyle::a);
    CHECK(a.status == 404);
    CHECK(a.body == "{\"error\":\"\\u003c\\u0026\\u003e\"}\n");
    CHECK(a.fields.get("Content-Type") == "text/plain; charset=utf-8");
    const auto b = error_response(400, "<&>", JsonStyle::b);
    CHECK(b.body == "{\"error\":\"\\u003c\\u0026\\u003e\"}");
    CHECK(b.fields.get("Content-Type") == "application/json");
    const auto c = error_response(500, "<&>", JsonStyle::c);
    CHECK(c.body == "{\"error\":\"<&>\"}\n");
    CHECK(c.fields.get("Content-Type") == "application/json");
    CHECK(auth_error_response(401, "no").body == "{\"error\":{\"message\":\"no\",\"code\":401}}\n");
}

}  // namespace skywire::services
