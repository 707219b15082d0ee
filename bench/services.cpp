// Fills a service-discovery; bench/run.py starts one and reads from it.
//
//   bench_services HOST:PORT [count] [type]    registers so many services, each by its own key
//
// One line of JSON: how many, and how long an answer took in ms.

#include "bench/http_load.hpp"

namespace skywire::bench {
namespace {

/// About 175 bytes in a list.
std::string entry_text(const crypto::PublicKey& key, std::string_view type, std::size_t number) {
    return fmt::format(
        R"({{"address":"{}:{}","type":"{}","geo":{{"lat":{}.5,"lon":{}.25,"country":"DE",)"
        R"("region":"BE"}},"version":"v1.3.20"}})",
        key,
        kServicePort,
        type,
        number % 89,
        number % 179
    );
}

Task<> register_services(
    net::Context context, net::Address server, std::size_t count, std::string type
) {
    const auto all = make_service_keys(count);
    Connection connection(context, std::move(server));
    std::vector<double> took;
    took.reserve(count);
    for (std::size_t number = 0; number < all.size(); ++number) {
        const crypto::KeyPair& keys = all[number];
        const std::uint64_t nonce = co_await connection.nonce_of(keys.public_key);
        const std::string body = entry_text(keys.public_key, type, number);
        const std::string request = signed_request("POST", "/api/services", body, keys, nonce);
        const auto answer = co_await connection.ask(request);
        if (answer.status != 200) give_up("register", answer.body);
        took.push_back(answer.seconds * 1e3);
    }
    const double p50 = percentile(took, 0.5);
    const double p99 = percentile(took, 0.99);
    fmt::print("{{\"services\": {}, \"p50_ms\": {:.3f}, \"p99_ms\": {:.3f}}}\n", count, p50, p99);
}

Task<int> begun(Task<> task) {
    co_await std::move(task);
    co_return 0;
}

int run(const std::vector<std::string>& arguments) {
    if (arguments.empty()) give_up("usage", "bench_services HOST:PORT [count] [type]");
    const net::Address server = need(net::Address::parse(arguments[0]), "address");
    const std::size_t count = arguments.size() > 1 ? std::stoul(arguments[1]) : 200;
    const std::string type = arguments.size() > 2 ? arguments[2] : "vpn";
    World world(1);
    world.run(0, begun(register_services(world.context(0), server, count, type)));
    return 0;
}

}  // namespace
}  // namespace skywire::bench

int main(int argc, char** argv) {
    return skywire::bench::run(std::vector<std::string>(argv + 1, argv + argc));
}
