#include "services/route_finder/routes.hpp"

#include "base/json.hpp"

#include <map>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

namespace skywire::route_finder {
namespace {

using http::Request;
using http::Response;

constexpr std::string_view kFound = "found";
constexpr std::string_view kNoRoute = "no_route_to_destination";
constexpr std::string_view kNotFound = "route_not_found";
constexpr std::string_view kUnavailable = "unavailable";

Response error(unsigned status, std::string_view message) {
    std::string body = R"({"error":{"message":)";
    append_json_string(body, message, JsonEscape::html);
    body += fmt::format(R"(,"code":{}}}}})", status);
    return Response::json(status, std::move(body));
}

}  // namespace

void append_routes(
    std::string& out, const Graph& graph, const Pair& pair, const std::vector<Route>& routes
) {
    out += '"';
    out += pair.from.to_text();
    out += ':';
    out += pair.to.to_text();
    out += "\":[";
    for (std::size_t i = 0; i < routes.size(); ++i) {
        out += i == 0 ? "[" : ",[";
        const Route& route = routes[i];
        for (std::size_t j = 0; j < route.size(); ++j) {
            out += j == 0 ? R"({"TpID":")" : R"(,{"TpID":")";
            out += route[j].id.to_text();
            out += R"(","From":")";
            out += graph.key(route[j].from).to_text();
            out += R"(","To":")";
            out += graph.key(route[j].to).to_text();
            out += "\"}";
        }
        out += ']';
    }
    out += ']';
}

Routes::Routes(const net::Context& context, const LiveGraph& graph, Renew renew)
    : metrics_(context.metrics),
      graph_(graph),
      renew_(std::move(renew)),
      truncated_(context.metrics.counter(
          "route_finder_searches_truncated_total",
          "Searches that ended at a limit of work: there may be further routes."
      )) {
    for (const std::string_view outcome :
         {kFound,
          kNoRoute,
          kNotFound,
          kUnavailable,
          reason(Refusal::bad_json),
          reason(Refusal::wrong_type),
          reason(Refusal::bad_key),
          reason(Refusal::too_many_pairs)}) {
        outcomes_[outcome] = &metrics_.counter(
            "route_finder_requests_total",
            "Requests for routes, by outcome.",
            {{"outcome", std::string(outcome)}}
        );
    }
}

void Routes::add_to(http::Router& router) {
    router.on(http::Method::post, "/routes", [this](Request& request) { return find(request); });
}

Response Routes::answered(std::string_view outcome, unsigned status, std::string_view message) {
    outcomes_.at(outcome)->add();
    return error(status, message);
}

Task<Response> Routes::find(Request& request) {
    Question question;
    Refused refused;
    if (!read_question(request.body, question, refused))
        co_return answered(reason(refused.refusal), 400, refused.message);

    // By their text, which is the order of the keys; each once.
    std::map<Pair, std::string> answers;
    bool renewed = !renew_;
    const Executor loop = co_await asio::this_coro::executor;
    for (const Pair& pair : question.pairs) {
        // A pair may cost milliseconds: others get their turn. The graph may be another one then.
        if (!answers.empty() && answers.size() % 2 == 0)
            co_await asio::post(loop, asio::use_awaitable);
        const Graph* graph = graph_.current();
        if (graph == nullptr)
            co_return answered(kUnavailable, 503, "the transports are not known at the moment");
        const auto [place, added] = answers.try_emplace(pair);
        if (!added) continue;
        auto answer = search_.find(*graph, pair.from, pair.to, question.bounds);
        if (answer.outcome != Outcome::found && !renewed) {
            renewed = true;
            co_await renew_();
            graph = graph_.current();
            if (graph == nullptr)
                co_return answered(kUnavailable, 503, "the transports are not known at the moment");
            answer = search_.find(*graph, pair.from, pair.to, question.bounds);
        }
        if (answer.truncated) truncated_.add();
        switch (answer.outcome) {
            case Outcome::found:
                append_routes(place->second, *graph, pair, answer.routes);
                break;
            case Outcome::no_route_to_destination:
                co_return answered(kNoRoute, 404, "no route to destination");
            case Outcome::route_not_found:
                co_return answered(kNotFound, 404, "route not found");
        }
    }
    std::string body = "{";
    for (const auto& [pair, text] : answers) {
        if (body.size() > 1) body += ',';
        body += text;
    }
    body += '}';
    outcomes_.at(kFound)->add();
    co_return Response::json(200, std::move(body));
}

}  // namespace skywire::route_finder
