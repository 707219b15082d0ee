#include "dmsg/discovery_client.hpp"

#include "base/test.hpp"
#include "dmsg/error.hpp"
#include "http/server.hpp"
#include "net/test_loop.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;

crypto::PublicKey key_of(std::string_view seed) {
    return crypto::deterministic_key_pair(seed).public_key;
}

Entry server_entry(std::string_view seed) {
    Entry entry;
    entry.version = kEntryVersion;
    entry.static_key = key_of(seed);
    entry.server = ServerInfo{};
    entry.server->address = "127.0.0.1:1";
    entry.server->available_sessions = 5;
    return entry;
}

/// A discovery that answers what it is told to, and remembers what it was asked.
class Peer {
 public:
    explicit Peer(net::TestLoop& loop) : loop_(loop), server_(loop.context, router_, {}) {
        const auto answer = [this](http::Request& request) -> Task<http::Response> {
            asked = std::string(http::method_name(request.method)) + " " + request.target;
            body = request.body;
            http::Response response = http::Response::json(status, text);
            if (!date.empty()) response.fields.set("Date", date);
            co_return response;
        };
        for (const auto method : {http::Method::get, http::Method::post, http::Method::delete_}) {
            router_.on(method, "/*", answer);
        }
        auto listener =
            loop.network.listen(loop.context.loop, net::Address::tcp("127.0.0.1", 0)).value();
        url = "http://" + listener->local().to_string();
        server_.serve(std::move(listener));
    }
    ~Peer() { loop_.run(stop()); }

    Task<> stop() { co_await server_.stop(loop_.context.clock.now() + 5s); }

    unsigned status = 200;
    std::string text;
    /// Of the answers; empty: the truth.
    std::string date;
    std::string asked;
    std::string body;
    std::string url;

 private:
    net::TestLoop& loop_;
    http::Router router_;
    http::Server server_;
};

struct World {
    World() : client(loop.context), peer(loop) {
        discovery = make_http_discovery(loop.context, client, peer.url).value();
    }
    ~World() { client.close(); }

    net::TestLoop loop;
    http::Client client;
    Peer peer;
    std::unique_ptr<DiscoveryClient> discovery;
};

/// Answers all questions alike and counts them.
class Fixed final : public DiscoveryClient {
 public:
    Fixed(int& count, Error error) : count_(count), error_(std::move(error)) {}
    Task<Result<Entry>> entry(crypto::PublicKey) override { co_return answer(); }
    Task<Result<std::vector<Entry>>> available_servers() override { co_return answer(); }
    Task<Result<std::vector<Entry>>> all_servers() override { co_return answer(); }
    Task<Result<>> post(Entry) override { co_return answer(); }
    Task<Result<>> erase(Entry) override { co_return answer(); }

 private:
    Error answer() {
        ++count_;
        return error_;
    }
    int& count_;
    Error error_;
};

TEST_CASE("discovery client: an entry is asked for and read") {
    World world;
    const Entry stored = server_entry("a");
    world.peer.text = to_json(stored);
    CHECK(world.loop.run(world.discovery->entry(stored.static_key)).value() == stored);
    CHECK(world.peer.asked == "GET /dmsg-discovery/entry/" + stored.static_key.to_text());
}

TEST_CASE("discovery client: somebody else's entry is none") {
    World world;
    world.peer.text = to_json(server_entry("a"));
    const auto answer = world.loop.run(world.discovery->entry(key_of("b")));
    REQUIRE(answer.has_error());
    CHECK(answer.error() == make_error_code(skywire::errc::unavailable));
    CHECK_THAT(answer.error().message(), Catch::Contains("for " + key_of("b").to_text()));
    CHECK(world.loop.metrics.counter("dmsg_discovery_client_unreadable_total", "").value() == 1);
}

TEST_CASE("discovery client: refusals are told by their sentences") {
    World world;
    world.peer.status = 404;
    world.peer.text = R"({"message":"entry of public key is not found","code":404})";
    CHECK(
        world.loop.run(world.discovery->entry(key_of("a"))).error() ==
        make_error_code(errc::entry_not_found)
    );
    world.peer.status = 401;
    world.peer.text = R"({"message":"invalid signature","code":401})";
    CHECK(
        world.loop.run(world.discovery->post(server_entry("a"))).error() ==
        make_error_code(errc::invalid_signature)
    );
    CHECK(world.peer.asked == "POST /dmsg-discovery/entry/");
    CHECK(world.peer.body == to_json(server_entry("a")));
    CHECK(world.loop.run(world.discovery->erase(server_entry("a"))).has_error());
    CHECK(world.peer.asked == "DELETE /dmsg-discovery/entry");
    world.peer.status = 500;
    world.peer.text = R"({"message":"something unexpected happened","code":500})";
    const auto failed = world.loop.run(world.discovery->post(server_entry("a")));
    CHECK(failed.error() == make_error_code(skywire::errc::unavailable));
    CHECK_THAT(failed.error().message(), Catch::Contains("something unexpected happened"));
    world.peer.text = "<html>";
    const auto foreign = world.loop.run(world.discovery->available_servers());
    CHECK(foreign.error() == make_error_code(skywire::errc::unavailable));
    CHECK_THAT(foreign.error().message(), Catch::Contains("<html>"));
}

TEST_CASE("discovery client: knows what time it is at the discovery") {
    World world;
    world.peer.text = "[]";
    const auto ahead = [&world] {
        CHECK(world.loop.run(world.discovery->all_servers()));
        return world.discovery->clock_ahead();
    };
    CHECK_FALSE(world.discovery->clock_ahead());
    REQUIRE(ahead());
    CHECK(std::chrono::abs(world.discovery->clock_ahead().value()) < 1min);
    world.peer.date = "Tue, 14 Nov 2023 22:13:20 GMT";
    const auto then = world.loop.context.clock.wall() + ahead().value();
    CHECK(std::chrono::abs(then - WallTime(1'700'000'000s)) < 1min);
    // What cannot be read changes nothing.
    for (const char* date : {"yesterday", "Tue, 14 Nov 2023 22:13:20 GMT+7"}) {
        world.peer.date = date;
        const auto still = world.loop.context.clock.wall() + ahead().value();
        CHECK(std::chrono::abs(still - WallTime(1'700'000'000s)) < 1min);
    }
}

TEST_CASE("discovery client: lists are read, what is unreadable in them is left out") {
    World world;
    world.peer.text =
        "[" + to_json(server_entry("a")) + R"(,{"static":5},)" + to_json(server_entry("b")) + "]";
    const auto found = world.loop.run(world.discovery->available_servers()).value();
    REQUIRE(found.size() == 2);
    CHECK(found[0] == server_entry("a"));
    CHECK(found[1] == server_entry("b"));
    CHECK(world.loop.metrics.counter("dmsg_discovery_client_unreadable_total", "").value() == 1);
    world.peer.text = "[" + to_json(server_entry("a"));
    CHECK(
        world.loop.run(world.discovery->all_servers()).error() ==
        make_error_code(skywire::errc::unavailable)
    );
    world.peer.status = 404;
    world.peer.text = R"({"message":"no delegated dmsg servers available for remote","code":404})";
    CHECK(world.loop.run(world.discovery->all_servers()).value().empty());
}

TEST_CASE("discovery client: urls are http or dmsg") {
    World world;
    CHECK(make_http_discovery(
        world.loop.context, world.client, "dmsg://" + key_of("a").to_text() + ":80"
    ));
    CHECK_FALSE(make_http_discovery(world.loop.context, world.client, "ftp://a"));
    CHECK_FALSE(make_http_discovery(world.loop.context, world.client, ""));
}

TEST_CASE("discovery client: the second way is taken while the first fails") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    int first = 0;
    int second = 0;
    const auto both = make_fallback_discovery(
        loop.context,
        std::make_unique<Fixed>(first, fail(skywire::errc::timed_out, {})),
        std::make_unique<Fixed>(second, make_error_code(errc::entry_not_found))
    );
    const auto ask = [&] { return loop.run(both->entry(key_of("a"))).error(); };
    CHECK(ask() == make_error_code(errc::entry_not_found));
    CHECK(ask() == make_error_code(errc::entry_not_found));
    CHECK(first == 1);
    CHECK(second == 2);
    clock.advance(10s);
    CHECK(ask() == make_error_code(errc::entry_not_found));
    CHECK(first == 2);
    CHECK(second == 3);
}

TEST_CASE("discovery client: a refusal of the first is an answer") {
    net::TestLoop loop;
    int first = 0;
    int second = 0;
    const auto both = make_fallback_discovery(
        loop.context,
        std::make_unique<Fixed>(first, make_error_code(errc::entry_not_found)),
        std::make_unique<Fixed>(second, fail(skywire::errc::timed_out, {}))
    );
    CHECK(loop.run(both->entry(key_of("a"))).error() == make_error_code(errc::entry_not_found));
    CHECK(first == 1);
    CHECK(second == 0);
}

TEST_CASE("discovery client: a static list delegates for everybody") {
    net::TestLoop loop;
    const auto fixed = make_static_discovery({server_entry("a"), server_entry("b")});
    const Entry found = loop.run(fixed->entry(key_of("c"))).value();
    REQUIRE(found.client);
    CHECK(found.client->delegated_servers == std::vector{key_of("a"), key_of("b")});
    CHECK(loop.run(fixed->entry(key_of("b"))).value() == server_entry("b"));
    CHECK(loop.run(fixed->all_servers()).value().size() == 2);
    CHECK(loop.run(fixed->post(found)));
    CHECK(loop.run(fixed->erase(found)));
}

}  // namespace
}  // namespace skywire::dmsg
