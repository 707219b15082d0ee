#include "framework/config_value.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::framework;

namespace {

ConfigValue good(std::string_view text) {
    auto parsed = parse_config(text);
    if (const auto* error = std::get_if<SyntaxError>(&parsed)) {
        FAIL(fmt::format("{}:{}: {}", error->position.line, error->position.column, error->message)
        );
    }
    return std::get<ConfigValue>(std::move(parsed));
}

std::string bad(std::string_view text) {
    const auto parsed = parse_config(text);
    const auto* error = std::get_if<SyntaxError>(&parsed);
    if (error == nullptr) return "no error";
    return fmt::format("{}:{}: {}", error->position.line, error->position.column, error->message);
}

void same_value(const ConfigValue& value, const json::value& expected);

void same_object(const ConfigValue& value, const json::object& expected) {
    REQUIRE(value.kind == ConfigValue::Kind::object);
    REQUIRE(value.members.size() == expected.size());
    for (std::size_t i = 0; const auto& member : expected) {
        CHECK(value.members[i].key == std::string_view(member.key().data(), member.key().size()));
        same_value(value.members[i++].value, member.value());
    }
}

void same_value(const ConfigValue& value, const json::value& expected) {
    if (const auto* object = expected.if_object()) return same_object(value, *object);
    if (const auto* array = expected.if_array()) {
        REQUIRE(value.kind == ConfigValue::Kind::array);
        REQUIRE(value.elements.size() == array->size());
        for (std::size_t i = 0; i < array->size(); ++i)
            same_value(value.elements[i], (*array)[i]);
        return;
    }
    if (const auto* text = expected.if_string()) {
        CHECK(value.kind == ConfigValue::Kind::string);
        CHECK(value.text == std::string_view(text->data(), text->size()));
    } else if (expected.is_bool()) {
        CHECK(value.kind == ConfigValue::Kind::boolean);
        CHECK(value.boolean == expected.get_bool());
    } else if (expected.is_null()) {
        CHECK(value.kind == ConfigValue::Kind::null);
    } else {
        CHECK(value.kind == ConfigValue::Kind::number);
    }
}

/// What a value's piece of the text reads as again.
void same_slices(const ConfigValue& value, std::string_view text) {
    REQUIRE(value.begin < value.end);
    REQUIRE(value.end <= text.size());
    const auto parsed = parse_json(text.substr(value.begin, value.end - value.begin), 64);
    REQUIRE(parsed.has_value());
    same_value(value, *parsed);
    for (const ConfigValue& element : value.elements)
        same_slices(element, text);
    for (const auto& member : value.members)
        same_slices(member.value, text);
}

}  // namespace

TEST_CASE("config value: keys and values know their line and column") {
    const std::string text =
        "{\n"
        "  \"a\" : -12.50e1,\n"
        "  \"\\u00e4\\\"b\": [true, null,\n"
        "    \"x\\n\\ud83d\\ude00\", {}],\r\n"
        "\t\"a\":{\"c\":[]}}\n";
    const ConfigValue root = good(text);
    REQUIRE(root.members.size() == 3);
    CHECK(root.position == Position{1, 1});
    CHECK(root.members[0].position == Position{2, 3});
    CHECK(root.members[0].value.position == Position{2, 9});
    CHECK(root.members[0].value.text == "-12.50e1");
    CHECK(root.members[1].key == "\xC3\xA4\"b");
    CHECK(root.members[1].position == Position{3, 3});
    const ConfigValue& list = root.members[1].value;
    CHECK(list.position == Position{3, 16});
    CHECK(list.elements[0].boolean);
    CHECK(list.elements[1].position == Position{3, 23});
    CHECK(list.elements[2].position == Position{4, 5});
    CHECK(list.elements[2].text == "x\n\xF0\x9F\x98\x80");
    CHECK(list.elements[3].position == Position{4, 24});
    CHECK(root.members[2].position == Position{5, 2});
    CHECK(root.members[2].value.members[0].value.position == Position{5, 11});
}

TEST_CASE("config value: a repeated key is kept, the last one is found") {
    const ConfigValue root = good(R"({"a": 1, "b": 2, "a": 3})");
    CHECK(root.members.size() == 3);
    REQUIRE(root.find("a") != nullptr);
    CHECK(root.find("a")->value.text == "3");
    CHECK(root.find("A") == nullptr);
}

TEST_CASE("config value: every value's piece of the text reads as that value") {
    const std::string text = R"( { "a" : [ 1 , -0.5E+3 , "\"]}\\" , [ ] , { "k,:" : false } ] ,)"
                             R"( "b":"\u007d", "c":null } )";
    const ConfigValue root = good(text);
    same_slices(root, text);
    const std::string key_text = test::read_file("vectors/dmsg/keys.json");
    same_slices(good(key_text), key_text);
}

TEST_CASE("config value: any value may be the document") {
    CHECK(good("7").text == "7");
    CHECK(good(" \"x\" ").text == "x");
    CHECK(good("[]").kind == ConfigValue::Kind::array);
}

TEST_CASE("config value: what is wrong with a file that is not JSON is said in words") {
    struct Case {
        std::string_view text;
        std::string_view error;
    };
    const auto [text, error] = GENERATE(values<Case>({
        {"", "1:1: the file is empty"},
        {" \n ", "1:1: the file is empty"},
        {"{\"a\": 1,\n}", "2:1: a comma before '}': the last member of an object has none behind it"
        },
        {"[1, ]", "1:5: a comma before ']': the last element of an array has none behind it"},
        {"{\"a\": 1\n \"b\": 2}", "2:2: a comma is missing before this key"},
        {"[1\n 2]", "2:2: a comma is missing before this element"},
        {"{\"a\" 1}", "1:6: expected ':' behind the key, found \"1\""},
        {"{\"a\": }", "1:7: expected a value, found '}'"},
        {"{\"a\": 'x'}", "1:7: text needs double quotes, not single ones"},
        {"{\"a\": yes}",
         "1:7: \"yes\" is no value: text needs double quotes, and the only words without are true, "
         "false and null"},
        {"{\"a\": True}",
         "1:7: \"True\" is no value: text needs double quotes, and the only words without are "
         "true, "
         "false and null"},
        {"{\"a\": 127.0.0.1}", "1:7: malformed number \"127.0.0.1\": text needs double quotes"},
        {"{\"a\": 01}", "1:7: malformed number \"01\": text needs double quotes"},
        {"{\"a\": 1.}", "1:7: malformed number \"1.\": text needs double quotes"},
        {"{\"a\": 5m}", "1:7: malformed number \"5m\": text needs double quotes"},
        {"{a: 1}", "1:2: expected a key in double quotes or '}', found \"a\""},
        {"{\"a\": 1, b: 1}", "1:10: expected a key in double quotes, found \"b\""},
        {"{\"a\": 1; \"b\": 1}", "1:8: expected ',' or '}' behind the value, found ';'"},
        {"{\"a\": [1, {\"b\": 2}",
         "1:19: the file ends before the ']' of the array that opened at 1:7"},
        {"{\"a\": {\"b\": 2\n", "2:1: the file ends before the '}' of the object that opened at 1:7"
        },
        {"{\"a\":", "1:6: the file ends where a value is expected"},
        {"{\"a\": \"x", "1:7: this string is not closed"},
        {"{\"a\": \"x\n\"}", "1:7: this string is not closed on its line"},
        {"{\"a\n\": 1}", "1:2: this string is not closed on its line"},
        {"{\"a\": \"x\ty\"}", "1:9: control character 0x09 inside a string; write \\t"},
        {"{\"a\": \"C:\\dir\"}",
         "1:10: unknown escape: a backslash may stand before one of \"\\/bfnrtu only"},
        {"{\"a\": \"\\u12g4\"}", "1:8: \\u needs four hex digits"},
        {"{\"a\": \"\\ud800x\"}",
         "1:8: \\u escape of a high surrogate without the low one behind it"},
        {"{\"a\": \"\\udc00\"}", "1:8: \\u escape of a low surrogate without the high one before it"
        },
        {"{\"a\": 1} // x", "1:10: comments are not allowed in this file"},
        {"# x\n{}", "1:1: comments are not allowed in this file"},
        {"{} {}", "1:4: expected nothing more behind the closing brace, found '{'"},
        {"{}\n]", "2:1: expected nothing more behind the closing brace, found ']'"},
        {"\xEF\xBB\xBF{}",
         "1:1: the file begins with a byte order mark (EF BB BF): save it as UTF-8 without BOM"},
        {"\xFF\xFE{", "1:1: the file is UTF-16: save it as UTF-8 without BOM"},
        {"{\"a\":\n\"\xC3\x28\"}", "2:2: the byte 0xc3 is not UTF-8"},
        {"{\"a\": \"\xED\xA0\x80\"}", "1:8: the byte 0xed is not UTF-8"},
        {"{\"a\": \"\xC0\x80\"}", "1:8: the byte 0xc0 is not UTF-8"},
    }));
    CAPTURE(text);
    CHECK(bad(text) == error);
}

TEST_CASE("config value: a NUL byte is named") {
    CHECK(bad(std::string_view("{\"a\"\0: 1}", 9)) == "1:5: a NUL byte: this is not a text file");
}

TEST_CASE("config value: depth, size and number of values have limits") {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(bad(nested(64)) == "no error");
    CHECK(bad(nested(65)) == "1:65: nested deeper than 64 levels");
    CHECK(bad(nested(100'000)) == "1:65: nested deeper than 64 levels");
    CHECK(
        bad(std::string((16U << 20U) + 1, ' ')) ==
        "0:0: the file has 16777217 bytes; at most 16 MiB are read"
    );
    std::string many = "[0";
    for (int i = 0; i < 300'000; ++i)
        many += ",0";
    CHECK(bad(many + "]").ends_with(": more than 262144 values in one file"));
}

TEST_CASE("config value: every cut of a good file is an error inside of the file") {
    const std::string text =
        "{\"services\": [{\"type\": \"no\\u006fp\", \"n\": -1.5e3, \"b\": [true, null]}],\n \"x\": "
        "{}}";
    for (std::size_t size = 0; size < text.size(); ++size) {
        const std::string cut = text.substr(0, size);
        CAPTURE(cut);
        const auto parsed = parse_config(cut);
        const auto* error = std::get_if<SyntaxError>(&parsed);
        REQUIRE(error != nullptr);
        CHECK(error->position.line >= 1);
        CHECK(error->position.line <= 2);
        CHECK(error->position.column <= cut.size() + 1);
        CHECK_FALSE(error->message.starts_with("malformed JSON"));
    }
}
