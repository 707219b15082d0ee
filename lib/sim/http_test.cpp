#include "http/client.hpp"
#include "http/server.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "sim/test.hpp"

using namespace skywire;
using namespace skywire::sim;
using namespace std::chrono_literals;

namespace {

Task<http::Response> echo(http::Request& request) {
    co_return http::Response::of(200, "text/plain", request.body);
}

/// An HTTP server on one node, clients on others.
class Web {
 public:
    explicit Web(std::uint64_t seed, const LinkOptions& links = {})
        : world(seed), node(world.node("web.example")) {
        world.set_links(links);
        router.on(http::Method::post, "/echo", echo);
        serve();
    }
    Web(const Web&) = delete;
    Web& operator=(const Web&) = delete;
    ~Web() { stop(); }

    void serve() {
        server = std::make_unique<http::Server>(node.context(), router, http::Server::Options());
        server->serve(node.context().network.listen(world.loop(), node.at(80)).value());
    }

    void stop() {
        world.run(server->stop(world.clock().now() + 10s));
        server.reset();
    }

    static http::ClientRequest request(std::string body) {
        http::ClientRequest made;
        made.method = http::Method::post;
        made.address = net::Address::tcp("web.example", 80);
        made.target = "/echo";
        made.body = std::move(body);
        made.timeout = 60s;
        return made;
    }

    World world;
    Node& node;
    http::Router router;
    std::unique_ptr<http::Server> server;
};

}  // namespace

TEST_CASE("http in a simulation: a request and its answer") {
    Web web(1);
    http::Client client(web.world.node("client").context());
    const auto answer = web.world.run(client.send(Web::request("hello")));
    REQUIRE(answer);
    CHECK(answer->body == "hello");
    CHECK(web.world.elapsed() < 1s);
    client.close();
}

TEST_CASE("http in a simulation: a silent server costs the whole timeout, a reset one does not") {
    Web web(1);
    Node& node = web.world.node("client");
    http::Client client(node.context());
    REQUIRE(web.world.run(client.send(Web::request("first"))));
    auto before = web.world.elapsed();
    web.world.cut(web.node, node);
    auto answer = web.world.run(client.send(Web::request("second")));
    CHECK(answer.error() == make_error_code(errc::timed_out));
    CHECK(web.world.elapsed() - before >= 60s);
    web.world.heal();
    web.node.kill(Death::process);
    before = web.world.elapsed();
    answer = web.world.run(client.send(Web::request("third")));
    CHECK_FALSE(answer);
    CHECK(web.world.elapsed() - before < 1s);
    web.stop();
    web.node.start();
    web.serve();
    answer = web.world.run(client.send(Web::request("fourth")));
    REQUIRE(answer);
    CHECK(answer->body == "fourth");
    client.close();
}

TEST_CASE("http in a simulation: a hundred clients on a bad day, for three minutes") {
    for_each_seed(1, [](std::uint64_t seed) {
        Web web(seed, LinkOptions::rough());
        net::Scope scope(web.world.loop());
        std::vector<std::unique_ptr<http::Client>> clients;
        std::size_t answered = 0;
        std::size_t failed = 0;
        const SteadyTime end = web.world.clock().now() + 3min;
        const auto ask = [&](const net::Context& context, http::Client& client) -> Task<> {
            while (context.clock.now() < end) {
                const std::string body(1 + context.random.below(20'000), 'b');
                const auto answer = co_await client.send(Web::request(body));
                if (!answer) {
                    ++failed;
                } else {
                    CHECK((answer->status != 200 || answer->body == body));
                    ++answered;
                }
                co_await net::sleep_for(
                    context.clock, Duration(context.random.below(20'000'000'000))
                );
            }
        };
        for (int i = 0; i < 100; ++i) {
            const auto& context = web.world.node("client" + std::to_string(i)).context();
            clients.push_back(std::make_unique<http::Client>(context));
            scope.spawn("client", [&ask, &context, &client = *clients.back()] {
                return ask(context, client);
            });
        }
        PartitionOptions partitions;
        partitions.mode = PartitionMode::isolate_single;
        partitions.partition_probability = 0.2;
        web.world.partition(partitions);
        CHECK(web.world.run_until([&] { return scope.size() == 0; }, 20min));
        CHECK(answered > 1000);
        CHECK(failed < answered / 10);
        for (const auto& client : clients)
            client->close();
        web.world.heal();
        web.world.run_for(1min);
        CHECK(web.world.connections() == 0);
    });
}
