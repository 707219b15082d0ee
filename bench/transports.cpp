// Load on a running transport-discovery; bench/run.py starts one and looks at its CPU and memory.
//
//   bench_transports preload HOST:PORT [count] [visors]    registers so many, each by one edge
//   bench_transports edge HOST:PORT [visors] [requests] [connections]
//                                        signed reads by edge, as fast as they are answered
//   bench_transports paced HOST:PORT [visors] [rate] [seconds]
//                                        signed reads by edge and by id at a fixed rate
//   bench_transports list HOST:PORT [seconds] [connections]
//                                        whole lists one after another, and a write every 20 ms
//
// Requests are signed before the clock starts. One line of JSON each; latencies in ms.

#include "bench/load.hpp"
#include "http/signed_request.hpp"
#include "transport/entry.hpp"

#include <array>

#include <fmt/format.h>

namespace skywire::bench {
namespace {

constexpr std::size_t kPerRequest = 500;

double percentile(std::vector<double>& values, double share) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const double index = share * static_cast<double>(values.size() - 1);
    return values.at(static_cast<std::size_t>(index + 0.5));
}

/// The same keys in each run.
std::vector<crypto::KeyPair> make_visors(std::size_t count) {
    SeededRandom random(42);
    std::vector<crypto::KeyPair> visors;
    visors.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        visors.push_back(crypto::generate_key_pair(random));
    return visors;
}

/// Transport `index`: its visor and one of the next ones, no pair twice.
transport::Entry make_transport(const std::vector<crypto::KeyPair>& visors, std::size_t index) {
    const std::size_t a = index % visors.size();
    const std::size_t b = (a + 1 + index / visors.size()) % visors.size();
    return transport::make_entry(
        visors[a].public_key, visors[b].public_key, transport::kStcpr, transport::kLabelAutomatic
    );
}

std::string request_text(
    std::string_view method,
    std::string_view target,
    std::string_view body,
    const http::Fields& fields
) {
    std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: x\r\n", method, target);
    for (const auto& [name, value] : fields)
        text += fmt::format("{}: {}\r\n", name, value);
    if (method == "POST") text += fmt::format("Content-Length: {}\r\n", body.size());
    text += "\r\n";
    text += body;
    return text;
}

std::string signed_request(
    std::string_view method,
    std::string_view target,
    std::string_view body,
    const crypto::KeyPair& keys,
    std::uint64_t nonce
) {
    http::Fields fields;
    http::sign_request(fields, keys, body, nonce);
    return request_text(method, target, body, fields);
}

/// One kept connection; one request at a time.
class Connection {
 public:
    Connection(net::Context context, net::Address server)
        : context_(std::move(context)), server_(std::move(server)), buffer_(1 << 18) {}

    struct Answer {
        unsigned status = 0;
        std::size_t bytes = 0;
        double first_byte_s = 0;
        double seconds = 0;
        /// Of short answers.
        std::string body;
    };

    Task<Answer> ask(std::string_view request) {
        if (!stream_)
            stream_ = need(co_await context_.network.dial(context_.loop, server_), "connect");
        Answer answer;
        const double began = wall_seconds();
        need(co_await stream_->write(as_bytes(request)), "write");
        std::string head;
        std::size_t end = std::string::npos;
        while (end == std::string::npos) {
            const std::size_t size = co_await read();
            if (answer.first_byte_s == 0) answer.first_byte_s = wall_seconds() - began;
            head.append(as_text(ByteSpan(buffer_).first(size)));
            end = head.find("\r\n\r\n");
        }
        answer.body = head.substr(end + 4);
        head.resize(end);
        answer.status = static_cast<unsigned>(std::stoul(head.substr(9, 3)));
        answer.bytes = answer.body.size();
        if (head.find("chunked") != std::string::npos) {
            co_await read_chunks(answer);
        } else {
            const std::size_t at = head.find("Content-Length: ");
            const std::size_t length =
                at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
            while (answer.bytes < length) {
                const std::size_t size = co_await read();
                answer.bytes += size;
                if (answer.bytes < 4096) answer.body.append(as_text(ByteSpan(buffer_).first(size)));
            }
        }
        answer.seconds = wall_seconds() - began;
        co_return answer;
    }

    Task<std::uint64_t> nonce_of(crypto::PublicKey key) {
        const std::string request =
            request_text("GET", "/security/nonces/" + key.to_text(), "", {});
        const Answer answer = co_await ask(request);
        const auto body = need(parse_json(answer.body), "nonce");
        co_return body.as_object().at("next_nonce").to_number<std::uint64_t>();
    }

 private:
    Task<std::size_t> read() {
        const std::size_t size = need(co_await stream_->read_some(buffer_), "read");
        if (size == 0) give_up("read", "the server has closed the connection");
        co_return size;
    }

    /// Until the last chunk, which no list's text looks like.
    Task<> read_chunks(Answer& answer) {
        constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
        std::string tail = answer.body;
        while (!tail.ends_with(kEnd)) {
            const std::size_t size = co_await read();
            answer.bytes += size;
            const std::string_view text = as_text(ByteSpan(buffer_).first(size));
            tail.append(text.substr(text.size() - std::min(text.size(), kEnd.size())));
            if (tail.size() > 2 * kEnd.size()) tail.erase(0, tail.size() - kEnd.size());
        }
    }

    net::Context context_;
    net::Address server_;
    std::unique_ptr<net::Stream> stream_;
    Bytes buffer_;
};

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

Task<> paced(
    net::Context context,
    net::Address server,
    std::size_t visors,
    std::size_t rate,
    std::size_t seconds
) {
    constexpr std::size_t kConnections = 64;
    auto lanes = co_await make_lanes(context, server, visors, rate * seconds, kConnections, true);
    net::Scope scope(context.loop);
    const double began = wall_seconds();
    const Duration interval = std::chrono::seconds(kConnections) / rate;
    const SteadyTime first = context.clock.now();
    for (std::size_t i = 0; i < lanes.size(); ++i) {
        Lane& lane = lanes[i];
        lane.requests.resize(std::min(lane.requests.size(), rate * seconds / kConnections));
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

Task<> list(
    net::Context context, net::Address server, std::size_t seconds, std::size_t connections
) {
    Lists lists;
    std::vector<double> writes;
    net::Scope scope(context.loop);
    const double began = wall_seconds();
    const double until = began + static_cast<double>(seconds);
    for (std::size_t i = 0; i < connections; ++i)
        scope.spawn("list", [&] { return read_lists(context, server, lists, until); });
    scope.spawn("write", [&] { return write_on(context, server, writes, until); });
    co_await scope.wait_empty();
    const double gigabytes = static_cast<double>(lists.bytes) * 1e-9;
    fmt::print(
        "{{\"lists\": {}, \"mb_each\": {:.1f}, \"gb_per_s\": {:.3f}, \"first_byte_p50_ms\": "
        "{:.3f}, "
        "\"first_byte_p99_ms\": {:.3f}, \"write_p50_ms\": {:.3f}, \"write_p99_ms\": {:.3f}}}\n",
        lists.count,
        gigabytes * 1e3 / static_cast<double>(std::max<std::size_t>(lists.count, 1)),
        gigabytes / (wall_seconds() - began),
        percentile(lists.first_byte, 0.5),
        percentile(lists.first_byte, 0.99),
        percentile(writes, 0.5),
        percentile(writes, 0.99)
    );
}

Task<int> begun(Task<> task) {
    co_await std::move(task);
    co_return 0;
}

int run(const std::vector<std::string>& arguments) {
    if (arguments.size() < 2) give_up("usage", "bench_transports WHAT HOST:PORT; see the source");
    const auto number = [&](std::size_t index, std::size_t otherwise) {
        return arguments.size() > index ? std::stoul(arguments[index]) : otherwise;
    };
    const std::string& what = arguments[0];
    const net::Address server = need(net::Address::parse(arguments[1]), "address");
    World world(1);
    const net::Context context = world.context(0);
    if (what == "preload") {
        world.run(0, begun(preload(context, server, number(2, 50'000), number(3, 12'500))));
    } else if (what == "edge") {
        world.run(
            0, begun(edge(context, server, number(2, 12'500), number(3, 50'000), number(4, 64)))
        );
    } else if (what == "paced") {
        world.run(
            0, begun(paced(context, server, number(2, 12'500), number(3, 1000), number(4, 10)))
        );
    } else if (what == "list") {
        world.run(0, begun(list(context, server, number(2, 5), number(3, 1))));
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
