// The recorded requests of vectors/services/rf_http_2025.json, and requests that nobody should
// send.

#include "base/test.hpp"
#include "services/common/test_recorded.hpp"
#include "services/route_finder/test_finder.hpp"

#include <algorithm>

namespace skywire::route_finder {
namespace {

using services::Recorded;

const std::string kPair = visor(1).to_text() + ":" + visor(2).to_text();

std::string body_of(const std::string& edges, const std::string& opts = R"({"MaxHops":5})") {
    return R"({"Edges":)" + edges + R"(,"Opts":)" + opts + "}";
}

std::string refusal(const std::string& message) {
    return R"({"error":{"message":")" + message + R"(","code":400}})";
}

bool is_answer_with_routes(const std::string& body) {
    return body.starts_with("{\"0");
}

/// spec/services-http.md section 13.1: every recorded route is among ours and the first of ours is
/// as short; further ones may follow.
void compare_routes(const std::string& ours, const std::string& recorded) {
    const json::object mine = parse_json(ours).value().as_object();
    const json::object theirs = parse_json(recorded).value().as_object();
    REQUIRE(mine.size() == theirs.size());
    auto place = mine.begin();
    for (const auto& [pair, routes] : theirs) {
        CHECK(place->key() == pair);
        const json::array& found = place->value().as_array();
        for (const json::value& route : routes.as_array())
            CHECK(std::find(found.begin(), found.end(), route) != found.end());
        CHECK(found.at(0).as_array().size() == routes.as_array().at(0).as_array().size());
        ++place;
    }
}

void compare(TestFinder& finder, const Recorded& pair) {
    INFO(pair.name);
    const auto response = finder.send(pair.request.method, pair.request.target, pair.request.body);
    const std::string body(response.body_view());
    if (pair.name == "one_key_pair") {
        CHECK(response.status == 400);
        CHECK(body == refusal("Invalid public key"));
        return;
    }
    CHECK(static_cast<int>(response.status) == pair.status);
    services::check_fields(response, pair);
    if (pair.name == "health") {
        services::check_health(response, pair, "route-finder");
    } else if (is_answer_with_routes(pair.body)) {
        compare_routes(body, pair.body);
    } else {
        CHECK(body == pair.body);
    }
}

}  // namespace

TEST_CASE("route-finder: the recorded requests") {
    TestFinder finder;
    finder.know_recorded();
    const auto pairs = services::recorded("services/rf_http_2025.json");
    CHECK(pairs.size() == 28);
    for (const Recorded& pair : pairs)
        compare(finder, pair);
}

TEST_CASE("route-finder: an answer, byte for byte") {
    TestFinder finder;
    finder.know_recorded();
    // Where the recorded order is that of hops alone, ours is the same text.
    std::size_t same = 0;
    for (const Recorded& pair : services::recorded("services/rf_http_2025.json")) {
        if (!is_answer_with_routes(pair.body)) continue;
        const auto response = finder.ask(pair.request.body);
        if (response.body_view() == pair.body) ++same;
    }
    CHECK(same == 6);
}

TEST_CASE("route-finder: equal routes come in the order of latency, then of the ids") {
    TestFinder finder;
    auto graph = std::make_unique<Graph>();
    for (int middle = 10; middle < 20; ++middle) {
        graph->put(joins(1, middle), middle == 15 ? std::optional(7U) : std::nullopt);
        graph->put(joins(middle, 2), middle == 15 ? std::optional(7U) : std::nullopt);
    }
    finder.graph.replace(std::move(graph));
    const auto response = finder.ask(body_of("[\"" + kPair + "\"]"));
    REQUIRE(response.status == 200);
    const json::value parsed = parse_json(response.body).value();
    const json::array& routes = parsed.at(kPair).as_array();
    REQUIRE(routes.size() == 5);
    std::vector<std::string> first_ids;
    for (const json::value& route : routes)
        first_ids.emplace_back(route.as_array().at(0).at("TpID").as_string());
    CHECK(first_ids.front() == joins(1, 15).id.to_text());
    CHECK(std::is_sorted(first_ids.begin() + 1, first_ids.end()));
    const auto more = finder.ask(body_of("[\"" + kPair + "\"]", R"({"MaxHops":5,"NumRoutes":20})"));
    CHECK(parse_json(more.body).value().at(kPair).as_array().size() == 10);
    const auto one = finder.ask(body_of("[\"" + kPair + "\"]", R"({"maxhops":5,"numroutes":1})"));
    CHECK(parse_json(one.body).value().at(kPair).as_array().size() == 1);
}

TEST_CASE("route-finder: bodies that make no question are refused in the decoder's words") {
    TestFinder finder;
    finder.know_recorded();
    const std::string ok = "\"" + kPair + "\"";
    const std::string field = "json: cannot unmarshal ";
    const std::string not_curve = "02" + std::string(64, 'f');
    struct Case {
        std::string body;
        std::string message;
    };
    for (const Case& each : std::vector<Case>{
             {"[]", field + "array into Go value of type rfclient.FindRoutesRequest"},
             {"7", field + "number into Go value of type rfclient.FindRoutesRequest"},
             {R"("x")", field + "string into Go value of type rfclient.FindRoutesRequest"},
             {R"({"Edges":{}})",
              field +
                  "object into Go struct field FindRoutesRequest.Edges of type []routing.PathEdges"
             },
             {R"({"Edges":[7]})",
              field +
                  "number into Go struct field FindRoutesRequest.Edges of type routing.PathEdges"},
             {R"({"Edges":[true]})",
              field + "bool into Go struct field FindRoutesRequest.Edges of type routing.PathEdges"
             },
             {R"({"Opts":[]})",
              field +
                  "array into Go struct field FindRoutesRequest.Opts of type rfclient.RouteOptions"
             },
             {body_of("[" + ok + "]", R"({"MaxHops":65536})"),
              field + "number 65536 into Go struct field RouteOptions.Opts.MaxHops of type uint16"},
             {body_of("[" + ok + "]", R"({"MaxHops":1.5})"),
              field + "number 1.5 into Go struct field RouteOptions.Opts.MaxHops of type uint16"},
             {body_of("[" + ok + "]", R"({"MinHops":"1"})"),
              field + "string into Go struct field RouteOptions.Opts.MinHops of type uint16"},
             {body_of("[\"\"]"), "Invalid public key"},
             {body_of("[\"" + kPair.substr(0, 66) + "\"]"), "Invalid public key"},
             {body_of("[\"" + kPair + "00\"]"), "Invalid public key length"},
             {body_of("[\"" + kPair.substr(0, 131) + "\"]"), "Invalid public key length"},
             {body_of("[\"" + not_curve + kPair.substr(66) + "\"]"), "Invalid public key"},
             {body_of("[\"" + kPair.substr(0, 67) + not_curve + "\"]"), "Invalid public key"},
             // A key that is none ends the reading; another complaint waits for its end.
             {R"({"Opts":7,"Edges":["zz"]})", "Invalid public key"},
         }) {
        const auto response = finder.ask(each.body);
        INFO(each.body);
        CHECK(response.status == 400);
        CHECK(response.body == refusal(each.message));
    }
    for (const std::string& body :
         {std::string("nope"),
          std::string("{}{}"),
          std::string("{} x"),
          std::string(1000, '['),
          std::string(1000, '{'),
          R"({"Edges":["\u00"]})" + std::string(),
          std::string("{\"Edges\":[\"\x01\"]}"),
          std::string("\0", 1)}) {
        INFO(body);
        CHECK(finder.ask(body).status == 400);
    }
    CHECK(finder.counted("bad_json") > 0);
    CHECK(finder.counted("bad_key") > 0);
    CHECK(finder.counted("wrong_type") > 0);
}

TEST_CASE("route-finder: null, unknown members and pairs said twice do no harm") {
    TestFinder finder;
    finder.know_recorded();
    CHECK(finder.ask("null").body == "{}");
    CHECK(finder.ask(R"({"Edges":null,"Opts":null,"More":[{"x":[]}]})").body == "{}");
    CHECK(finder.ask(body_of("[null]")).status == 404);
    const std::string ok = "\"" + kPair + "\"";
    const auto once = finder.ask(body_of("[" + ok + "]"));
    CHECK(once.status == 200);
    CHECK(finder.ask(body_of("[" + ok + "," + ok + "]")).body == once.body);
    CHECK(finder.ask(body_of("[" + ok + "]", R"({"MaxHops":1,"maxhops":5})")).body == once.body);
    std::string upper = kPair;
    for (char& c : upper)
        c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
    CHECK(finder.ask(body_of("[\"" + upper + "\"]")).body == once.body);
}

TEST_CASE("route-finder: one failing pair fails the request, and too many are refused") {
    TestFinder finder;
    finder.know_recorded();
    const std::string ok = "\"" + kPair + "\"";
    const std::string nobody = "\"" + visor(1).to_text() + ":" + visor(99).to_text() + "\"";
    const auto failed = finder.ask(body_of("[" + ok + "," + nobody + "]"));
    CHECK(failed.status == 404);
    CHECK(failed.body == R"({"error":{"message":"no route to destination","code":404}})");
    std::string many;
    for (std::size_t i = 0; i < kPairsMax; ++i)
        many += (many.empty() ? "" : ",") + ok;
    CHECK(finder.ask(body_of("[" + many + "]")).status == 200);
    const auto refused = finder.ask(body_of("[" + many + "," + ok + "]"));
    CHECK(refused.status == 400);
    CHECK(refused.body == refusal("more than 64 pairs"));
    CHECK(finder.counted("too_many_pairs") == 1);
    CHECK(finder.counted("no_route_to_destination") == 1);
}

TEST_CASE("route-finder: without a list it answers 503; the last one is good for a while") {
    TestFinder finder;
    const std::string body = body_of("[\"" + kPair + "\"]");
    CHECK(finder.ask(body).status == 503);
    CHECK(finder.ask("{}").status == 200);
    CHECK(finder.graph.check("there").status == framework::Check::Status::fail);
    finder.know_recorded();
    CHECK(finder.ask(body).status == 200);
    CHECK(finder.graph.check("there").status == framework::Check::Status::pass);
    finder.clock.advance(std::chrono::minutes(5));
    finder.graph.failed(fail(errc::unavailable, "refused"));
    CHECK(finder.ask(body).status == 200);
    CHECK(finder.graph.check("there").status == framework::Check::Status::warn);
    CHECK(finder.graph.check("there").detail == "there: refused");
    finder.clock.advance(std::chrono::minutes(6));
    CHECK(finder.ask(body).status == 503);
    CHECK(finder.graph.check("there").status == framework::Check::Status::fail);
    finder.graph.confirm();
    CHECK(finder.ask(body).status == 200);
    CHECK(finder.counted("unavailable") == 2);
}

}  // namespace skywire::route_finder
