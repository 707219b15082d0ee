// The search beside a slow model that lists every simple path.

#include "services/route_finder/search.hpp"

#include "base/test.hpp"
#include "services/route_finder/test_graphs.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace skywire::route_finder {
namespace {

/// As one compares routes: hops, latency, ids.
struct Named {
    std::size_t hops = 0;
    std::uint64_t latency_us = 0;
    std::vector<std::string> ids;

    auto operator<=>(const Named&) const = default;
};

/// All simple paths by trying everything.
class Model {
 public:
    explicit Model(const std::vector<Measured>& transports) {
        std::map<TransportId, Measured> newest;
        for (const Measured& each : transports)
            newest[each.entry.id] = each;
        for (const auto& [id, each] : newest) {
            if (each.entry.label == transport::kLabelSetup) continue;
            const auto& [a, b] = each.entry.edges;
            known_.insert({a, b});
            if (a == b) continue;
            offer(a, b, each);
            offer(b, a, each);
        }
    }

    std::vector<Named> paths(
        const crypto::PublicKey& from, const crypto::PublicKey& to, const Bounds& bounds
    ) {
        found_.clear();
        Named path;
        std::set<crypto::PublicKey> visited{from};
        if (from == to) {
            for (const auto& [next, link] : links_[from]) {
                const std::string id = link.entry.id.to_text();
                found_.push_back({2, 2 * latency(link), {id, id}});
            }
            std::erase_if(found_, [&](const Named&) {
                return bounds.hops_min > 2 || bounds.hops_max < 2;
            });
        } else {
            walk(from, to, bounds, path, visited);
        }
        std::sort(found_.begin(), found_.end());
        if (found_.size() > bounds.routes_max) found_.resize(bounds.routes_max);
        return found_;
    }

    bool knows(const crypto::PublicKey& key) const { return known_.contains(key); }

    bool joined(const crypto::PublicKey& from, const crypto::PublicKey& to) {
        std::set<crypto::PublicKey> seen{from};
        std::vector<crypto::PublicKey> open{from};
        while (!open.empty()) {
            const auto at = open.back();
            open.pop_back();
            for (const auto& [next, link] : links_[at])
                if (seen.insert(next).second) open.push_back(next);
        }
        return seen.contains(to);
    }

 private:
    static std::uint64_t latency(const Measured& link) {
        return link.latency_us.value_or(kUnmeasuredLatencyUs);
    }

    static int rank(const Measured& link) {
        return link.entry.type == transport::kStcpr   ? 0
               : link.entry.type == transport::kSudph ? 1
                                                      : 2;
    }

    void offer(const crypto::PublicKey& from, const crypto::PublicKey& to, const Measured& link) {
        const auto [place, added] = links_[from].try_emplace(to, link);
        if (!added && rank(link) < rank(place->second)) place->second = link;
    }

    void walk(
        const crypto::PublicKey& at,
        const crypto::PublicKey& to,
        const Bounds& bounds,
        Named& path,
        std::set<crypto::PublicKey>& visited
    ) {
        if (at == to) {
            if (path.hops >= bounds.hops_min && path.hops <= bounds.hops_max)
                found_.push_back(path);
            return;
        }
        if (path.hops >= bounds.hops_max) return;
        for (const auto& [next, link] : links_[at]) {
            if (!visited.insert(next).second) continue;
            ++path.hops;
            path.latency_us += latency(link);
            path.ids.push_back(link.entry.id.to_text());
            walk(next, to, bounds, path, visited);
            path.ids.pop_back();
            path.latency_us -= latency(link);
            --path.hops;
            visited.erase(next);
        }
    }

    std::map<crypto::PublicKey, std::map<crypto::PublicKey, Measured>> links_;
    std::set<crypto::PublicKey> known_;
    std::vector<Named> found_;
};

std::vector<std::vector<std::string>> ids_of(const std::vector<Named>& paths) {
    std::vector<std::vector<std::string>> ids;
    ids.reserve(paths.size());
    for (const Named& path : paths)
        ids.push_back(path.ids);
    return ids;
}

std::vector<std::vector<std::string>> ids_of(const Search::Answer& answer) {
    std::vector<std::vector<std::string>> ids;
    for (const Route& route : answer.routes) {
        ids.emplace_back();
        for (const Hop& hop : route)
            ids.back().push_back(hop.id.to_text());
    }
    return ids;
}

/// Each hop begins where the one before has ended, and no visor comes twice.
void check_shape(
    const Graph& graph, const Search::Answer& answer, int from, int to, const Bounds& bounds
) {
    for (const Route& route : answer.routes) {
        CHECK(route.size() >= bounds.hops_min);
        CHECK(route.size() <= bounds.hops_max);
        REQUIRE_FALSE(route.empty());
        CHECK(graph.key(route.front().from) == visor(from));
        CHECK(graph.key(route.back().to) == visor(to));
        std::set<Graph::Node> seen{route.front().from};
        for (std::size_t i = 0; i < route.size(); ++i) {
            if (i > 0) CHECK(route[i].from == route[i - 1].to);
            const bool fresh = seen.insert(route[i].to).second;
            CHECK((fresh || from == to));
        }
    }
}

}  // namespace

TEST_CASE("search: answers of random graphs are those of a slow model") {
    Search search;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        std::mt19937_64 random(seed);
        const int visors = 3 + static_cast<int>(random() % 7);
        const auto transports = random_transports(seed, visors, static_cast<int>(random() % 24));
        const Graph graph = graph_of(transports);
        Model model(transports);
        for (int i = 0; i < 40; ++i) {
            const int from = static_cast<int>(random() % static_cast<unsigned>(visors));
            const int to = static_cast<int>(random() % static_cast<unsigned>(visors));
            Bounds bounds;
            bounds.hops_min = static_cast<unsigned>(random() % 4);
            bounds.hops_max = static_cast<unsigned>(random() % 8);
            bounds.routes_max = 1 + static_cast<unsigned>(random() % Bounds::kRoutesLimit);
            INFO(
                "seed " << seed << ", " << from << " to " << to << ", hops " << bounds.hops_min
                        << " to " << bounds.hops_max << ", " << bounds.routes_max << " routes"
            );
            const auto answer = search.find(graph, visor(from), visor(to), bounds);
            CHECK_FALSE(answer.truncated);
            CHECK(ids_of(answer) == ids_of(model.paths(visor(from), visor(to), bounds)));
            check_shape(graph, answer, from, to, bounds);
            if (!answer.routes.empty()) {
                CHECK(answer.outcome == Outcome::found);
            } else if (model.knows(visor(from)) && model.joined(visor(from), visor(to))) {
                CHECK(answer.outcome == Outcome::route_not_found);
            } else {
                CHECK(answer.outcome == Outcome::no_route_to_destination);
            }
        }
    }
}

TEST_CASE("search: equal graphs give equal answers, however they came about") {
    auto transports = random_transports(7, 30, 90);
    // One entry per id, or the order would decide which one is there.
    std::map<TransportId, Measured> once;
    for (const Measured& each : transports)
        once.try_emplace(each.entry.id, each);
    transports.clear();
    for (const auto& [id, each] : once)
        transports.push_back(each);
    const Graph first = graph_of(transports);
    std::mt19937_64 random(7);
    Search search;
    const Bounds bounds{.hops_min = 1, .hops_max = 50, .routes_max = 20};
    for (int i = 0; i < 10; ++i) {
        std::shuffle(transports.begin(), transports.end(), random);
        const Graph second = graph_of(transports);
        for (int to = 1; to < 30; ++to) {
            CHECK(
                ids_of(search.find(first, visor(0), visor(to), bounds)) ==
                ids_of(search.find(second, visor(0), visor(to), bounds))
            );
        }
    }
}

TEST_CASE("search: one object answers for graphs of all sizes, one after another") {
    Search search;
    const Bounds bounds{.hops_min = 0, .hops_max = 5, .routes_max = 5};
    for (const int visors : {40, 3, 25, 2}) {
        const auto transports = random_transports(11, visors, visors * 3);
        const Graph graph = graph_of(transports);
        Model model(transports);
        for (int to = 1; to < visors; ++to) {
            CHECK(
                ids_of(search.find(graph, visor(0), visor(to), bounds)) ==
                ids_of(model.paths(visor(0), visor(to), bounds))
            );
        }
    }
}

TEST_CASE("search: a hostile question costs what the limits allow") {
    // Everybody is joined with everybody: the number of paths explodes.
    Graph graph;
    for (int a = 0; a < 40; ++a)
        for (int b = a + 1; b < 40; ++b)
            graph.put(joins(a, b), static_cast<std::uint32_t>(a * 7 + b) % 5);
    Search search;
    const Bounds many{.hops_min = 9, .hops_max = 65535, .routes_max = 65535};
    const auto answer = search.find(graph, visor(0), visor(1), many);
    CHECK(answer.routes.size() == Bounds::kRoutesLimit);
    for (const Route& route : answer.routes)
        CHECK(route.size() <= Bounds::kHopsLimit);
    check_shape(graph, answer, 0, 1, {.hops_min = 9, .hops_max = 10});

    // A walk of that length exists, a path does not: all would have to be tried.
    Graph dead_end = graph;
    dead_end.put(joins(1, 100));
    Search hurried({.expanded_max = 50, .looked_at_max = 1'000'000});
    const auto cut = hurried.find(dead_end, visor(0), visor(100), many);
    CHECK(cut.truncated);
    Search short_sighted({.expanded_max = 20'000, .looked_at_max = 50});
    CHECK(short_sighted.find(dead_end, visor(0), visor(100), many).truncated);
    // Short routes are found all the same.
    const Bounds few{.hops_min = 1, .hops_max = 2, .routes_max = 1};
    CHECK(hurried.find(graph, visor(0), visor(1), few).routes.size() == 1);
}

TEST_CASE("search: nothing is found in an empty graph, or for the null key") {
    Search search;
    const Bounds bounds{.hops_min = 0, .hops_max = 10, .routes_max = 5};
    const Graph empty;
    CHECK(
        search.find(empty, visor(1), visor(2), bounds).outcome == Outcome::no_route_to_destination
    );
    Graph graph;
    graph.put(joins(1, 2));
    for (const auto& [from, to] :
         {std::pair{visor(1), crypto::PublicKey()},
          {crypto::PublicKey(), visor(1)},
          {crypto::PublicKey(), crypto::PublicKey()},
          {visor(9), visor(9)}})
        CHECK(search.find(graph, from, to, bounds).outcome == Outcome::no_route_to_destination);
}

}  // namespace skywire::route_finder
