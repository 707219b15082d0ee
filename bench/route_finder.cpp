// What one answer of the route-finder costs: a visor's question, forward and back, over 200 visors
// and 600 transports, from the bytes of the body to those of the answer. One figure a line: name,
// value, unit. CPU time of the thread, the best of several rounds, so that a busy machine does not
// show; "mean" is over all pairs of a round, "worst" the costliest pair.

#include "services/route_finder/routes.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>

#include <fmt/format.h>

using namespace skywire;
using namespace skywire::route_finder;

namespace {

constexpr int kRounds = 20;
constexpr int kPairs = 500;

double thread_seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

crypto::PublicKey visor(std::size_t number) {
    return crypto::deterministic_key_pair(fmt::format("bench visor {}", number)).public_key;
}

std::vector<transport::Entry> random_transports(std::size_t visors, std::size_t count) {
    std::vector<crypto::PublicKey> keys;
    keys.reserve(visors);
    for (std::size_t i = 0; i < visors; ++i)
        keys.push_back(visor(i));
    std::mt19937_64 random(1);
    std::vector<transport::Entry> made;
    made.reserve(count);
    while (made.size() < count) {
        const std::size_t a = random() % visors;
        const std::size_t b = random() % visors;
        if (a == b) continue;
        const auto type = random() % 2 == 0 ? transport::kStcpr : transport::kSudph;
        made.push_back(transport::make_entry(keys[a], keys[b], type, transport::kLabelAutomatic));
    }
    return made;
}

/// The work of Routes::find without its coroutine: reads, searches, writes.
std::size_t answer(Search& search, const Graph& graph, const std::string& body) {
    Question question;
    Refused refused;
    if (!read_question(body, question, refused)) std::abort();
    std::string out = "{";
    for (const Pair& pair : question.pairs) {
        const auto found = search.find(graph, pair.from, pair.to, question.bounds);
        append_routes(out, graph, pair, found.routes);
    }
    return out.size();
}

void measure(std::size_t visors, std::size_t transports, unsigned hops_min) {
    Graph graph;
    const auto entries = random_transports(visors, transports);
    const double made = thread_seconds();
    for (const transport::Entry& entry : entries)
        graph.put(entry);
    const double built = thread_seconds() - made;

    std::mt19937_64 random(2);
    std::vector<std::string> bodies;
    bodies.reserve(kPairs);
    for (int i = 0; i < kPairs; ++i) {
        const std::string a = visor(random() % visors).to_text();
        const std::string b = visor(random() % visors).to_text();
        bodies.push_back(fmt::format(
            R"({{"Edges":["{0}:{1}","{1}:{0}"],"Opts":{{"MinHops":{2},"MaxHops":50}}}})",
            a,
            b,
            hops_min
        ));
    }
    Search search;
    double best_mean = 1e9;
    std::vector<double> least(bodies.size(), 1e9);
    std::size_t bytes = 0;
    for (int round = 0; round < kRounds; ++round) {
        double sum = 0;
        for (std::size_t i = 0; i < bodies.size(); ++i) {
            const double began = thread_seconds();
            bytes += answer(search, graph, bodies[i]);
            const double took = thread_seconds() - began;
            least[i] = std::min(least[i], took);
            sum += took;
        }
        best_mean = std::min(best_mean, sum / kPairs);
    }
    const std::string name = fmt::format("{}_{}_min{}", visors, transports, hops_min);
    std::printf("answer_%s_mean %.4g us\n", name.c_str(), best_mean * 1e6);
    const double worst = *std::max_element(least.begin(), least.end());
    std::printf("answer_%s_worst %.4g us\n", name.c_str(), worst * 1e6);
    std::printf("answer_%s_size %zu bytes\n", name.c_str(), bytes / kRounds / kPairs);
    std::printf("put_%s %.4g us\n", name.c_str(), built / static_cast<double>(transports) * 1e6);
}

}  // namespace

int main() {
    measure(200, 600, 1);
    measure(200, 600, 4);
    measure(5'000, 50'000, 1);
}
