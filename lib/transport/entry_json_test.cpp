#include "base/test.hpp"
#include "transport/entry.hpp"

using namespace skywire;

namespace {

std::string sentence(const Error& error, transport::errc expected) {
    CHECK(error == make_error_code(expected));
    return error.message();
}

std::string syntax(std::string_view body) {
    const auto read = transport::parse_signed_entries(body);
    REQUIRE_FALSE(read);
    return sentence(read.error(), transport::errc::json_syntax);
}

std::string type(std::string_view body) {
    const auto read = transport::parse_signed_entries(body);
    REQUIRE_FALSE(read);
    return sentence(read.error(), transport::errc::json_type);
}

constexpr std::string_view kText =
    R"({"t_id":"a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97","edges":["025ce18605c59e4d1c09351c820a19481b31)"
    R"(16ad2e89d0a23d31a6eae09bef355d","03278a0cb02db85d65c453985dd99d7d017046b6eb0ac30c7daa433808d4)"
    R"(ab855f"],"type":"stcpr","label":"user"})";

}  // namespace

TEST_CASE("transport JSON: lists, null and the decoder's sentences") {
    CHECK(transport::parse_signed_entries("[]").value()->empty());
    CHECK_FALSE(transport::parse_signed_entries("null").value());
    CHECK_FALSE(transport::parse_entries(" null \n").value());
    CHECK(syntax("") == "unexpected end of JSON input");
    CHECK(syntax("{") == "unexpected end of JSON input");
    CHECK(syntax("[{}") == "unexpected end of JSON input");
    CHECK(syntax("x") == "invalid character 'x' looking for beginning of value");
    CHECK(syntax("[] []") == "invalid character '[' after top-level value");
    CHECK(
        type("{}") == "json: cannot unmarshal object into Go value of type []*transport.SignedEntry"
    );
    CHECK(
        type("[1]") == "json: cannot unmarshal number into Go value of type transport.SignedEntry"
    );
    CHECK(
        type(R"([{"entry":{"type":true}}])") ==
        "json: cannot unmarshal bool into Go struct field Entry.type of type string"
    );
    CHECK(type(R"([{"entry":{"edges":["zz"]}}])") == "Invalid public key");
    CHECK(type(R"([{"entry":{"edges":["0201"]}}])") == "Invalid public key length");
    CHECK(type(R"([{"signatures":["zz"]}])") == "Invalid signature");
    CHECK(type(R"([{"entry":{"t_id":"xyz"}}])") == "invalid UUID length: 3");
    for (const std::string_view body :
         {R"([{"entry":7}])",
          R"([{"entry":{"t_id":7}}])",
          R"([{"entry":{"edges":{}}}])",
          R"([{"entry":{"edges":[7]}}])",
          R"([{"entry":{"label":[]}}])",
          R"([{"registered":1.5}])",
          R"([{"registered":18446744073709551615}])",
          R"([{"version":7}])"})
        type(body);
}

TEST_CASE("transport JSON: names in any case, the last of two, unknown members, null") {
    const auto read = [](std::string_view text) {
        return transport::entry_of(parse_json(text).value()).value();
    };
    CHECK(transport::to_json(read(kText)) == kText);
    const auto odd =
        read(R"({"more":{"a":[1]},"TYPE":"dmsg","Label":"a","label":"b","edges":null})");
    CHECK(odd.type == "dmsg");
    CHECK(odd.label == "b");
    CHECK(odd.edges[0].is_null());
    CHECK(read("null") == transport::Entry());
    // Fewer elements leave the rest empty, more are passed over.
    CHECK(read(R"({"edges":[]})").edges[1].is_null());
    CHECK(read(R"({"edges":["0","0",7]})").edges[1].is_null());
    const auto list = transport::parse_signed_entries(R"([null,{"registered":5,"version":"v1"}])");
    REQUIRE(list);
    REQUIRE(list.value().has_value());
    CHECK((**list)[0] == transport::SignedEntry());
    CHECK((**list)[1].registered == 5);
    CHECK((**list)[1].version == "v1");
    CHECK(transport::to_json((**list)[1]).ends_with(R"(,"registered":5})"));
}

TEST_CASE("transport JSON: texts are escaped as the network's encoder does") {
    auto entry = transport::entry_of(parse_json(kText).value()).value();
    entry.label = "<a>&\"";
    std::string plain;
    transport::append_json(plain, entry, JsonEscape::plain);
    CHECK(plain.ends_with(R"("label":"<a>&\""})"));
    CHECK(transport::to_json(entry).ends_with(R"("label":"\u003ca\u003e\u0026\""})"));
}

TEST_CASE("transport JSON: each byte of a body changed is an error or another valid value") {
    const std::string body = "[{\"entry\":" + std::string(kText) + "}]";
    for (std::size_t at = 0; at < body.size(); ++at) {
        for (const char with : {'\0', '"', '}', '9', '\x80'}) {
            std::string changed = body;
            changed[at] = with;
            const auto read = transport::parse_signed_entries(changed);
            if (!read) {
                const Error error = read.error();
                const bool known = error == make_error_code(transport::errc::json_syntax) ||
                                   error == make_error_code(transport::errc::json_type);
                CHECK(known);
            }
        }
    }
}

TEST_CASE("transport JSON: bytes that are not UTF-8 read as U+FFFD, and are written as they read") {
    const auto read = transport::parse_entries("[{\"type\":\"a\xd6\xff\",\"label\":\"\xc3\xa4\"}]");
    REQUIRE((read && read.value() && read.value()->size() == 1));
    const transport::Entry& entry = read.value()->front();
    CHECK(entry.type == "a\xef\xbf\xbd\xef\xbf\xbd");
    CHECK(entry.label == "\xc3\xa4");
    const auto again = transport::parse_entries("[" + transport::to_json(entry) + "]");
    REQUIRE((again && again.value()));
    CHECK(again.value()->front() == entry);
}
