#include "framework/problem.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::framework;

TEST_CASE("problem: a line names file, place, severity, block, suggestion and the other place") {
    const Problem problem{
        Problem::Severity::error, "clash", {3, 14}, "tpd", "\"addr\" binds tcp :9091", "", {7, 2}
    };
    CHECK(
        problem.to_string("d.json") ==
        "d.json:3:14: error: tpd: \"addr\" binds tcp :9091 (see d.json:7:2)"
    );
    const Problem unreadable{
        Problem::Severity::warning, "unreadable", {}, "", "cannot open the file", "adress", {}
    };
    CHECK(
        unreadable.to_string("d.json") ==
        "d.json: warning: cannot open the file (did you mean \"adress\"?)"
    );
}

TEST_CASE("problem: the JSON form leaves out what there is not") {
    const Problem problem{
        Problem::Severity::error, "unknown-key", {3, 14}, "tpd", "unknown key \"adr\"", "addr", {}
    };
    CHECK(
        problem.to_json("d.json") ==
        R"({"file":"d.json","line":3,"column":14,"severity":"error","code":"unknown-key",)"
        R"("label":"tpd","message":"unknown key \"adr\"","suggestion":"addr"})"
    );
    const Problem bare{Problem::Severity::warning, "x", {}, "", "m", "", {2, 1}};
    CHECK(
        bare.to_json("f") == R"({"file":"f","severity":"warning","code":"x","message":"m",)"
                             R"("other_line":2,"other_column":1})"
    );
}

TEST_CASE("problem: only an error is an error") {
    CHECK_FALSE(has_errors({}));
    Problem problem;
    problem.severity = Problem::Severity::warning;
    CHECK_FALSE(has_errors({problem}));
    CHECK(has_errors({problem, Problem{}}));
}

TEST_CASE("nearest: slips are found, other words are not") {
    const std::vector<std::string_view> keys{"addr", "entry_timeout", "redis", "tag", "testing"};
    CHECK(nearest("adr", keys) == "addr");
    CHECK(nearest("adres", {"address"}) == "address");
    CHECK(nearest("entry_timout", keys) == "entry_timeout");
    CHECK(nearest("EntryTimeout", keys) == "entry_timeout");
    CHECK(nearest("rdeis", keys) == "redis");
    CHECK(nearest("gat", keys) == "");
    CHECK(nearest("comment", keys) == "");
    CHECK(nearest("", keys) == "");
    CHECK(nearest(std::string(1000, 'a'), keys) == "");
    CHECK(nearest("addr", {}) == "");
}
