// Load on a running transport-discovery; bench/run.py starts one and looks at its CPU and memory.
//
//   bench_transports preload HOST:PORT [count] [visors]    registers so many, each by one edge
//   bench_transports edge HOST:PORT [visors] [requests] [connections]
//                                        signed reads by edge, as fast as they are answered
//   bench_transports paced HOST:PORT [visors] [rate] [seconds] [SD_HOST:PORT services]
//                                        signed reads by edge and by id at a fixed rate, a third of
//                                        them reads by key of a service-discovery where one is
//                                        named
//   bench_transports list HOST:PORT [seconds] [connections]
//                                        whole lists one after another, and a write every 20 ms
//
//   bench_transports graph HOST:PORT [visors] [transports]
//                                        registers a random graph and prints questions about it for
//                                        a route-finder
//
// Requests are signed before the clock starts. One line of JSON each; latencies in ms.

#include "bench/http_load.hpp"
#include "transport/entry.hpp"

#include <array>
#include <optional>
#include <random>
#include <set>
#include <unordered_map>

namespace skywire::bench {
namespace {

constexpr std::size_t kPerRequest = 500;

/// Transport `index`: its visor and one of the next ones, no pair twice.
transport::Entry make_transport(const std::vector<crypto::KeyPair>& visors, std::size_t index) {
    const std::size_t a = index % visors.size();
    const std::size_t b = (a + 1 + index / visors.size()) % visors.size();
    return transport::make_entry(
        visors[a].public_key, visors[b].public_key, transport::kStcpr, transport::kLabelAutomatic
    );
}

Task<> preload(net::Context context, net::Address server, std::size_t count, std::size_t visors) {
    const auto keys = make_visors(visors);
    Connection connection(context, server);
    const double began = wall_seconds();
    // A visor registers what is its own: one request each for as many rounds as needed.
    for (std::size_t visor = 0; visor < keys.size(); ++visor) {
        std::string body;
        std::size_t entries = 0;
        for (std::size_t index = visor; index < count && entries < kPerRequest;
             index += keys.size(), ++entries) {
            transport::SignedEntry entry;
            entry.entry = make_transport(keys, index);
            body += (body.empty() ? "[" : ",") + transport::to_json(entry);
        }
        if (entries == 0) break;
        body += ']';
        // An answer of 201 does not advance the nonce.
        const std::string request = signed_request("POST", "/transports/", body, keys[visor], 0);
        const auto answer = co_await connection.ask(request);
        if (answer.status != 201) give_up("register", std::to_string(answer.status));
    }
    fmt::print("{{\"transports\": {}, \"seconds\": {:.2f}}}\n", count, wall_seconds() - began);
}

/// Random transports of a few visors, as route_finder.cpp has them, and what a visor asks.
Task<> graph(net::Context context, net::Address server, std::size_t visors, std::size_t count) {
    constexpr std::size_t kQuestions = 500;
    const auto keys = make_visors(visors);
    std::mt19937_64 random(1);
    const auto pair = [&] {
        const std::size_t a = random() % visors;
        return std::pair(a, (a + 1 + random() % (visors - 1)) % visors);
    };
    std::unordered_map<std::size_t, std::string> bodies;
    std::set<std::pair<std::size_t, std::size_t>> made;
    while (made.size() < count) {
        const auto [a, b] = pair();
        if (!made.emplace(std::min(a, b), std::max(a, b)).second) continue;
        transport::SignedEntry entry;
        entry.entry = transport::make_entry(
            keys[a].public_key,
            keys[b].public_key,
            random() % 2 == 0 ? transport::kStcpr : transport::kSudph,
            transport::kLabelAutomatic
        );
        std::string& body = bodies[a];
        body += (body.empty() ? "[" : ",") + transport::to_json(entry);
    }
    Connection connection(context, std::move(server));
    for (const auto& [a, body] : bodies) {
        const auto answer =
            co_await connection.ask(signed_request("POST", "/transports/", body + "]", keys[a], 0));
        if (answer.status != 201) give_up("register", std::to_string(answer.status));
    }
    for (std::size_t i = 0; i < kQuestions; ++i) {
        const auto [a, b] = pair();
        fmt::print(
            R"({{"Edges":["{0}:{1}","{1}:{0}"],"Opts":{{"MinHops":1,"MaxHops":50}}}})"
            "\n",
            keys[a].public_key,
            keys[b].public_key
        );
    }
}

/// Requests of one connection, in order: each key is asked for on one connection alone.
struct Lane {
    std::unique_ptr<Connection> connection;
    std::vector<std::string> requests;
    std::vector<double> took;
};

Task<std::vector<Lane>> make_lanes(
    net::Context context,
    net::Address server,
    std::size_t visors,
    std::size_t requests,
    std::size_t connections,
    bool ids_too
) {
    const auto keys = make_visors(visors);
    std::vector<Lane> lanes(connections);
    for (Lane& lane : lanes)
        lane.connection = std::make_unique<Connection>(context, server);
    const std::size_t rounds = (requests + visors - 1) / visors;
    std::vector<std::uint64_t> nonces;
    nonces.reserve(visors);
    for (const crypto::KeyPair& each : keys)
        nonces.push_back(co_await lanes[0].connection->nonce_of(each.public_key));
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::size_t visor = 0; visor < visors; ++visor) {
            const bool by_id = ids_too && (round + visor) % 2 == 1;
            const std::string target =
                by_id ? "/transports/id:" + make_transport(keys, visor).id.to_text()
                      : "/transports/edge:" + keys[visor].public_key.to_text();
            lanes[visor % connections].requests.push_back(
                signed_request("GET", target, "", keys[visor], nonces[visor] + round)
            );
        }
    }
    co_return lanes;
}

void check(const Connection::Answer& answer) {
    if (answer.status != 200) give_up("answer", answer.body);
}

Task<> run_lane(Lane& lane) {
    lane.took.reserve(lane.requests.size());
    for (const std::string& request : lane.requests) {
        const auto answer = co_await lane.connection->ask(request);
        check(answer);
        lane.took.push_back(answer.seconds * 1e3);
    }
}

Task<> run_paced(Lane& lane, Clock& clock, Duration interval, SteadyTime first) {
    lane.took.reserve(lane.requests.size());
    SteadyTime due = first;
    for (const std::string& request : lane.requests) {
        (void)co_await net::sleep_until(clock, due);
        check(co_await lane.connection->ask(request));
        // From when it was due: a late one makes the next ones late, too.
        lane.took.push_back(std::chrono::duration<double>(clock.now() - due).count() * 1e3);
        due += interval;
    }
}

void print_latencies(std::vector<Lane>& lanes, double seconds) {
    std::vector<double> took;
    for (const Lane& lane : lanes)
        took.insert(took.end(), lane.took.begin(), lane.took.end());
    const double p50 = percentile(took, 0.5);
    const double p99 = percentile(took, 0.99);
    fmt::print(
        "{{\"requests\": {}, \"per_s\": {:.0f}, \"p50_ms\": {:.3f}, \"p99_ms\": {:.3f}}}\n",
        took.size(),
        static_cast<double>(took.size()) / seconds,
        p50,
        p99
    );
}

Task<> edge(
    net::Context context,
    net::Address server,
    std::size_t visors,
    std::size_t requests,
    std::size_t connections
) {
    auto lanes = co_await make_lanes(context, server, visors, requests, connections, false);
    net::Scope scope(context.loop);
    const double began = wall_seconds();
    for (Lane& lane : lanes)
        scope.spawn("lane", [&lane] { return run_lane(lane); });
    co_await scope.wait_empty();
    print_latencies(lanes, wall_seconds() - began);
}

struct Services {
    net::Address server;
    std::size_t count;
};

/// Every third lane asks for services by key instead, which nobody signs.
void ask_for_services(
    const net::Context& context, const Services& services, std::vector<Lane>& lanes
) {
    const auto keys = make_service_keys(services.count);
    for (std::size_t i = 0; i < lanes.size(); i += 3) {
        lanes[i].connection = std::make_unique<Connection>(context, services.server);
        for (std::size_t number = 0; number < lanes[i].requests.size(); ++number) {
            const auto& key = keys[(i + number * lanes.size()) % keys.size()].public_key;
            lanes[i].requests[number] = request_text(
                "GET", fmt::format("/api/services/{}:{}?type=vpn", key, kServicePort), "", {}
            );
        }
    }
}

Task<> paced(
    net::Context context,
    net::Address server,
    std::size_t visors,
    std::size_t rate,
    std::size_t seconds,
    std::optional<Services> services
) {
    constexpr std::size_t kConnections = 64;
    auto lanes = co_await make_lanes(context, server, visors, rate * seconds, kConnections, true);
    for (Lane& lane : lanes)
        lane.requests.resize(std::min(lane.requests.size(), rate * seconds / kConnections));
    if (services) ask_for_services(context, *services, lanes);
    net::Scope scope(context.loop);
    const double began = wall_seconds();
    const Duration interval = Duration(std::chrono::seconds(kConnections)) / rate;
    const SteadyTime first = context.clock.now();
    for (std::size_t i = 0; i < lanes.size(); ++i) {
        Lane& lane = lanes[i];
        const SteadyTime at = first + interval * i / lanes.size();
        scope.spawn("lane", [&lane, &context, interval, at] {
            return run_paced(lane, context.clock, interval, at);
        });
    }
    co_await scope.wait_empty();
    print_latencies(lanes, wall_seconds() - began);
}

struct Lists {
    std::vector<double> first_byte;
    std::size_t bytes = 0;
    std::size_t count = 0;
};

Task<> read_lists(net::Context context, net::Address server, Lists& lists, double until) {
    Connection connection(context, std::move(server));
    const std::string request = request_text("GET", "/all-transports", "", {});
    while (wall_seconds() < until) {
        const auto answer = co_await connection.ask(request);
        check(answer);
        lists.first_byte.push_back(answer.first_byte_s * 1e3);
        lists.bytes += answer.bytes;
        ++lists.count;
    }
}

Task<> write_on(
    net::Context context, net::Address server, std::vector<double>& took, double until
) {
    Connection connection(context, std::move(server));
    const crypto::KeyPair keys = crypto::generate_key_pair(context.random);
    const std::uint64_t nonce = co_await connection.nonce_of(keys.public_key);
    for (int number = 0; wall_seconds() < until; ++number) {
        transport::SignedEntry entry;
        entry.entry = transport::make_entry(
            keys.public_key, keys.public_key, fmt::format("bench{}", number), "user"
        );
        const std::string request = signed_request(
            "POST", "/transports/", "[" + transport::to_json(entry) + "]", keys, nonce
        );
        const auto answer = co_await connection.ask(request);
        if (answer.status != 201) give_up("write", answer.body);
        took.push_back(answer.seconds * 1e3);
        (void)co_await net::sleep_for(context.clock, std::chrono::milliseconds(20));
    }
}

Task<> read_on(
    net::Context context, net::Address server, std::size_t connections, Lists& lists, double until
) {
    net::Scope scope(context.loop);
    for (std::size_t i = 0; i < connections; ++i)
        scope.spawn("list", [&] { return read_lists(context, server, lists, until); });
    co_await scope.wait_empty();
}

Task<int> begun(Task<> task) {
    co_await std::move(task);
    co_return 0;
}

void list(World& world, const net::Address& server, std::size_t seconds, std::size_t connections) {
    Lists lists;
    std::vector<double> writes;
    const double began = wall_seconds();
    const double until = began + static_cast<double>(seconds);
    // On a loop of its own: what the reader takes for itself is not the server's.
    auto writing = asio::co_spawn(
        world.loops.at(1), write_on(world.context(1), server, writes, until), asio::use_future
    );
    world.run(0, begun(read_on(world.context(0), server, connections, lists, until)));
    const double took = wall_seconds() - began;
    writing.get();
    const double gigabytes = static_cast<double>(lists.bytes) * 1e-9;
    fmt::print(
        "{{\"lists\": {}, \"mb_each\": {:.1f}, \"gb_per_s\": {:.3f}, \"first_byte_p50_ms\": "
        "{:.3f}, "
        "\"first_byte_p99_ms\": {:.3f}, \"write_p50_ms\": {:.3f}, \"write_p99_ms\": {:.3f}}}\n",
        lists.count,
        gigabytes * 1e3 / static_cast<double>(std::max<std::size_t>(lists.count, 1)),
        gigabytes / took,
        percentile(lists.first_byte, 0.5),
        percentile(lists.first_byte, 0.99),
        percentile(writes, 0.5),
        percentile(writes, 0.99)
    );
}

int run(const std::vector<std::string>& arguments) {
    if (arguments.size() < 2) give_up("usage", "bench_transports WHAT HOST:PORT; see the source");
    const auto number = [&](std::size_t index, std::size_t otherwise) {
        return arguments.size() > index ? std::stoul(arguments[index]) : otherwise;
    };
    const std::string& what = arguments[0];
    const net::Address server = need(net::Address::parse(arguments[1]), "address");
    World world(2);
    const net::Context context = world.context(0);
    if (what == "preload") {
        world.run(0, begun(preload(context, server, number(2, 50'000), number(3, 12'500))));
    } else if (what == "edge") {
        world.run(
            0, begun(edge(context, server, number(2, 12'500), number(3, 50'000), number(4, 64)))
        );
    } else if (what == "paced") {
        std::optional<Services> services;
        if (arguments.size() > 6)
            services = {need(net::Address::parse(arguments[5]), "address"), number(6, 0)};
        const std::size_t visors = number(2, 12'500);
        world.run(
            0, begun(paced(context, server, visors, number(3, 1000), number(4, 10), services))
        );
    } else if (what == "graph") {
        world.run(0, begun(graph(context, server, number(2, 200), number(3, 600))));
    } else if (what == "list") {
        list(world, server, number(2, 5), number(3, 1));
    } else {
        give_up("unknown", what);
    }
    return 0;
}

}  // namespace
}  // namespace skywire::bench

int main(int argc, char** argv) {
    return skywire::bench::run(std::vector<std::string>(argv + 1, argv + argc));
}
