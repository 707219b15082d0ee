#include "http/message.hpp"

#include "base/test.hpp"
#include "http/gzip.hpp"
#include "http/sse.hpp"
#include "http/uri.hpp"

using namespace skywire;
using namespace skywire::http;

TEST_CASE("fields: names compare without case") {
    Fields fields;
    fields.add("Content-Type", "a");
    fields.add("content-type", "b");
    fields.add("X", "c");
    CHECK(fields.get("CONTENT-TYPE") == "a");
    fields.set("content-TYPE", "d");
    CHECK(fields.size() == 2);
    CHECK(fields.get("Content-Type") == "d");
    fields.set("New", "e");
    CHECK(fields.get("new") == "e");
    fields.remove("X");
    CHECK_FALSE(fields.get("x"));
    CHECK(fields.size() == 2);
}

TEST_CASE("request: query values are decoded, the first one counts") {
    Request request;
    request.target = "/path?a=1&b=x%20y+z&a=2&flag&bad=%zz&%6bey=v#c=3";
    CHECK(request.query("a") == "1");
    CHECK(request.query("b") == "x y z");
    CHECK(request.query("flag") == "");
    CHECK(request.query("key") == "v");
    CHECK_FALSE(request.query("bad"));
    CHECK_FALSE(request.query("c"));
    CHECK_FALSE(request.query("path"));
    request.target = "/path";
    CHECK_FALSE(request.query("a"));
}

TEST_CASE("uri: percent-decoding refuses what is cut short or not hex") {
    CHECK(percent_decode("a%2Fb%2fc", Plus::literal) == "a/b/c");
    CHECK(percent_decode("a+b", Plus::literal) == "a+b");
    CHECK(percent_decode("%00", Plus::literal) == std::string(1, '\0'));
    CHECK(
        percent_decode(
            "%25"
            "41",
            Plus::literal
        ) == "%41"
    );
    CHECK_FALSE(percent_decode("%", Plus::literal));
    CHECK_FALSE(percent_decode("%4", Plus::literal));
    CHECK_FALSE(percent_decode("%4g", Plus::literal));
}

TEST_CASE("uri: the path of a target") {
    CHECK(target_path("/a/b?c=/d#e") == "/a/b");
    CHECK(target_path("http://host:1/a?b") == "/a");
    CHECK(target_path("http://host") == "/");
    CHECK(target_path("*") == "*");
    CHECK(target_path("") == "");
    CHECK(target_query("/a?b#c") == "b");
    CHECK(target_query("/a#?b").empty());
}

TEST_CASE("gzip: q-values decide") {
    for (const char* yes :
         {"gzip",
          "GZIP",
          "deflate, gzip",
          "gzip;q=0.5",
          "gzip ; q=1.0",
          "*",
          "x-gzip",
          "*;q=0.1",
          "identity;q=0.5, gzip",
          "gzip;q=0.001"}) {
        INFO(yes);
        CHECK(accepts_gzip(yes));
    }
    for (const char* no :
         {"",
          "identity",
          "deflate",
          "gzip;q=0",
          "gzip;q=0.000",
          "*;q=0",
          "gzip;q=0, *",
          "identity, gzip;q=0.5",
          "gzipped",
          "gzip;q=2",
          "gzip;q=x",
          "gzip;x=1",
          ",,;;=,"}) {
        INFO(no);
        CHECK_FALSE(accepts_gzip(no));
    }
}

TEST_CASE("gzip: what is packed comes back") {
    for (const std::size_t size : {0U, 1U, 1000U, 1000000U}) {
        std::string text;
        for (std::size_t i = 0; i < size; ++i)
            text += static_cast<char>(i * i >> 3);
        const auto packed = gzip(text);
        REQUIRE(packed);
        CHECK(gunzip(*packed, size) == text);
        if (size > 0) CHECK_FALSE(gunzip(*packed, size - 1));
        CHECK_FALSE(gunzip(packed->substr(0, packed->size() - 1), size));
    }
    CHECK_FALSE(gunzip("no gzip", 100));
}

TEST_CASE("sse: an event in lines") {
    CHECK(format_event({"", "text", ""}) == "data: text\n\n");
    CHECK(
        format_event({"tick", "a\nb\r\nc\rd", "7"}) ==
        "event: tick\nid: 7\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    );
    CHECK(format_event({"a\nid: 9", "", "x\ry"}) == "event: a id: 9\nid: x y\ndata: \n\n");
    CHECK(format_comment("still\nhere") == ": still here\n\n");
}
