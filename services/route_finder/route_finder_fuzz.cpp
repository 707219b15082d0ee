// Any body of POST /routes, over a graph of some dozen visors. A request that is answered names
// routes that are there.

#include "services/route_finder/test_finder.hpp"

#include <cstdlib>

using namespace skywire;
using namespace skywire::route_finder;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

std::unique_ptr<TestFinder> make_finder() {
    auto finder = std::make_unique<TestFinder>();
    finder->know_recorded();
    for (const Measured& each : random_transports(/*seed=*/1, /*visors=*/12, /*count=*/40))
        finder->graph.edit()->put(each.entry, each.latency_us);
    return finder;
}

void check_answer(const std::string& body) {
    const auto answer = parse_json(body);
    check(answer.has_value() && answer->is_object());
    for (const auto& [pair, routes] : answer->as_object()) {
        check(pair.size() == 2 * crypto::PublicKey::kTextSize + 1);
        check(!routes.as_array().empty() && routes.as_array().size() <= Bounds::kRoutesLimit);
        for (const json::value& route : routes.as_array()) {
            const json::array& hops = route.as_array();
            check(!hops.empty() && hops.size() <= Bounds::kHopsLimit);
            check(pair.starts_with(hops.front().at("From").as_string()));
            check(pair.ends_with(hops.back().at("To").as_string()));
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::unique_ptr<TestFinder> finder = make_finder();
    const auto response = finder->ask({reinterpret_cast<const char*>(data), size});
    if (response.status == 200) {
        check_answer(response.body);
    } else {
        check(response.status == 400 || response.status == 404);
        check(response.body.starts_with(R"({"error":{"message":")"));
    }
    return 0;
}
