#include "cli/service_client.hpp"
#include "crypto/keys.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::uint64_t kHopsMax = 65'535;

class RouteFind final : public Command {
 public:
    std::vector<std::string> path() const override { return {"cli", "route", "find"}; }
    std::string summary() const override { return "Find routes between two visors"; }
    std::string details() const override {
        return "The shortest ones first; a line per hop.\n"
               "\n"
               "Examples:\n"
               "  skywire cli route find 024ec474... 031b80cd...\n"
               "  skywire cli route find --min 2 --routes 10 024ec474... 031b80cd...\n"
               "\n" +
               std::string(kServiceHelp);
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"--min", "HOPS", "No shorter ones (default 1)", &hops_min_});
        all.push_back({"--max", "HOPS", "No longer ones (default 50)", &hops_max_});
        all.push_back({"--routes", "COUNT", "At most so many (default 5)", &routes_});
        all.push_back({"--both", "", "The way back, too", &both_});
        all.push_back({"FROM", "FROM", "The visor's key", &from_, ValueKind::text, {}, true});
        all.push_back({"TO", "TO", "The other one's", &to_, ValueKind::text, {}, true});
        return all;
    }

    int run(Session& session) override {
        const auto question = make_question();
        if (!question) return usage_error(session, *this, question.error().message());
        return run_service(session, *this, options_, "route-finder", [&](ServiceClient& client) {
            return print(client, session, *question);
        });
    }

 private:
    Result<std::string> make_question() const {
        const auto from = crypto::PublicKey::from_text_not_null(from_);
        if (!from) return from.error().within("FROM");
        const auto to = crypto::PublicKey::from_text_not_null(to_);
        if (!to) return to.error().within("TO");
        const auto least = parse_number("--min", hops_min_, 0, kHopsMax);
        if (!least) return least.error();
        const auto most = parse_number("--max", hops_max_, 0, kHopsMax);
        if (!most) return most.error();
        const auto routes = parse_number("--routes", routes_, 1, 20);
        if (!routes) return routes.error();
        std::string edges = fmt::format(R"("{}:{}")", *from, *to);
        if (both_) edges += fmt::format(R"(,"{}:{}")", *to, *from);
        return fmt::format(
            R"({{"Edges":[{}],"Opts":{{"MinHops":{},"MaxHops":{},"NumRoutes":{}}}}})",
            edges,
            *least,
            *most,
            *routes
        );
    }

    Task<Result<>> print(ServiceClient& client, Session& session, std::string question) {
        http::Fields fields;
        fields.set("Content-Type", "application/json");
        const auto answer = expect_ok(co_await client.send(
            http::Method::post, "/routes", std::move(question), std::move(fields)
        ));
        co_return show_answer(session, options_, answer, [&](const json::value& pairs) -> Result<> {
            if (!pairs.is_object()) return fail(errc::unavailable, "the answer is no object");
            for (const auto& [pair, routes] : pairs.get_object())
                if (routes.is_array()) print_routes(session.io.out, pair, routes.get_array());
            return {};
        });
    }

    static void print_routes(std::ostream& out, std::string_view pair, const json::array& routes) {
        out << pair << '\n';
        for (std::size_t i = 0; i < routes.size(); ++i) {
            if (!routes[i].is_array()) continue;
            const json::array& hops = routes[i].get_array();
            out << fmt::format(
                "  route {}, {} hop{}\n", i + 1, hops.size(), hops.size() == 1 ? "" : "s"
            );
            for (const json::value& hop : hops) {
                out << fmt::format(
                    "    {} -> {} by {}\n",
                    text_of(hop, "From"),
                    text_of(hop, "To"),
                    text_of(hop, "TpID")
                );
            }
        }
    }

    ServiceOptions options_;
    std::string from_;
    std::string to_;
    std::string hops_min_ = "1";
    std::string hops_max_ = "50";
    std::string routes_ = "5";
    bool both_ = false;
};

}  // namespace

std::unique_ptr<Command> make_cli_route_find() {
    return std::make_unique<RouteFind>();
}

}  // namespace skywire::cli
