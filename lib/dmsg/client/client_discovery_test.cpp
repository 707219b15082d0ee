// A discovery that is reached over dmsg, through the very client that asks it, in virtual time.

#include "dmsg/client.hpp"
#include "dmsg/client/client_rig.hpp"
#include "http/client.hpp"
#include "http/server.hpp"

namespace skywire::dmsg {
namespace {

using test::key_of;
using test::Rig;
using namespace std::chrono_literals;

http::Response refusal(const Error& error) {
    const auto code = static_cast<errc>(error.code().value());
    return http::Response::json(
        static_cast<unsigned>(http_status(code)),
        fmt::format(R"({{"message":"{}","code":{}}})", error.code().message(), http_status(code))
    );
}

/// The rig's discovery over HTTP, on a client's listener and on its node's port 80.
class WebDiscovery {
 public:
    explicit WebDiscovery(Rig& rig, const std::string& name = "disc")
        : rig_(rig),
          memory_(rig.memory),
          client(rig.start_client(
              name,
              [&](ClientOptions& options) {
                  options.publish_entry = false;
                  options.servers = {rig.server_entry("s1")};
              },
              make_static_discovery({rig.server_entry("s1")})
          )),
          server_(rig.world.node(name).context(), router_, {}) {
        const auto handler = [this](http::Request& request) { return answer(request); };
        for (const auto method : {http::Method::get, http::Method::post, http::Method::delete_})
            router_.on(method, "/*", handler);
        rig.world.run(client.wait_ready()).value();
        server_.serve(client.listen(80).value());
        auto& node = rig.world.node(name);
        server_.serve(node.context().network.listen(rig.world.loop(), node.at(80)).value());
    }
    ~WebDiscovery() { rig_.world.run(server_.stop(rig_.world.clock().now() + 5s)); }
    WebDiscovery(const WebDiscovery&) = delete;
    WebDiscovery& operator=(const WebDiscovery&) = delete;

    int requests = 0;

 private:
    Task<http::Response> answer(http::Request& request) {
        ++requests;
        constexpr std::string_view kEntry = "/dmsg-discovery/entry/";
        const std::string target(request.target);
        if (request.method == http::Method::get && target.starts_with(kEntry)) {
            const auto key = crypto::PublicKey::from_text(target.substr(kEntry.size()));
            const auto found = co_await memory_.entry(key.value());
            if (!found) co_return refusal(found.error());
            co_return http::Response::json(200, to_json(*found));
        }
        if (request.method == http::Method::get) {
            const auto servers = (co_await memory_.all_servers()).value();
            std::string list;
            for (const Entry& server : servers)
                list += (list.empty() ? "" : ",") + to_json(server);
            co_return http::Response::json(200, "[" + list + "]");
        }
        const auto entry = ReceivedEntry::parse(request.body).value().entry();
        const bool post = request.method == http::Method::post;
        const auto done = post ? co_await memory_.post(entry) : co_await memory_.erase(entry);
        if (!done) co_return refusal(done.error());
        co_return http::Response::json(200, R"({"message":"wrote a new entry","code":200})");
    }

    Rig& rig_;
    test::MemoryDiscovery memory_;

 public:
    Client& client;

 private:
    http::Router router_;
    http::Server server_;
};

/// A client whose discovery is asked through itself.
class OverDmsg {
 public:
    OverDmsg(
        Rig& rig, const std::string& name, ClientOptions options, const std::string& fallback = {}
    )
        : rig_(rig),
          below_(rig.world.node(name).context()),
          network(below_.network),
          context_(
              below_.loop,
              below_.clock,
              below_.random,
              network,
              below_.workers,
              below_.metrics,
              below_.faults,
              below_.logger
          ),
          http(context_) {
        const std::string url = "dmsg://" + key_of("disc").to_text() + ":80";
        auto discovery = make_http_discovery(context_, http, url).value();
        if (!fallback.empty()) {
            discovery = make_fallback_discovery(
                context_,
                std::move(discovery),
                make_http_discovery(context_, http, fallback).value()
            );
        }
        client.emplace(below_, std::move(options), std::move(discovery));
        network.attach(&*client);
        client->start();
    }
    ~OverDmsg() {
        const auto late = rig_.world.run(client->stop(rig_.world.clock().now() + 10s));
        CHECK(late.empty());
        http.close();
        rig_.world.run_for(1s);
    }
    OverDmsg(const OverDmsg&) = delete;
    OverDmsg& operator=(const OverDmsg&) = delete;

 private:
    Rig& rig_;
    net::Context below_;

 public:
    DmsgNetwork network;

 private:
    net::Context context_;

 public:
    http::Client http;
    std::optional<Client> client;
};

ClientOptions options_of(Rig& rig, const std::string& name) {
    ClientOptions options(test::keys_of(name));
    options.servers = {rig.server_entry("s1")};
    options.direct_keys = {key_of("disc")};
    return options;
}

TEST_CASE("client over dmsg: reaches the discovery through itself, and dials others") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    WebDiscovery discovery(rig);
    {
        OverDmsg alice(rig, "alice", options_of(rig, "alice"));
        REQUIRE(rig.world.run_until([&] { return alice.client->ready(); }, 10s));
        CHECK(rig.delegated("alice") == std::vector{key_of("s1")});
        CHECK(discovery.requests > 0);
        CHECK(rig.memory.look_ups[key_of("disc")] == 0);
        CHECK(rig.memory.look_ups[key_of("s1")] <= 1);
        Client& bob = rig.add_client("bob");
        const auto listener = bob.listen(80).value();
        REQUIRE(rig.dial(*alice.client, "bob", 80));
        rig.world.run_for(10min);
        CHECK(alice.client->trouble().empty());
    }
    // Its last word went over dmsg, too.
    CHECK_FALSE(rig.memory.entries.contains(key_of("alice")));
}

TEST_CASE("client over dmsg: without the guard it would wait for itself") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    WebDiscovery discovery(rig);
    ClientOptions options = options_of(rig, "alice");
    options.direct_keys.clear();
    OverDmsg alice(rig, "alice", std::move(options));
    CHECK_FALSE(rig.world.run_until([&] { return alice.client->ready(); }, 2min));
    CHECK_THAT(alice.client->trouble(), Catch::Contains("entry in the discovery"));
}

TEST_CASE("client over dmsg: first there, else over TCP") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    WebDiscovery discovery(rig);
    // No server is known: the list comes over TCP.
    ClientOptions options = options_of(rig, "alice");
    options.servers.clear();
    OverDmsg alice(rig, "alice", std::move(options), "http://disc:80");
    REQUIRE(rig.world.run_until([&] { return alice.client->ready(); }, 30s));
}

TEST_CASE("dmsg network: keys are dialled over dmsg, everything else below") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    sim::Node& node = rig.world.node("alice");
    DmsgNetwork network(node.context().network);
    const auto bob_at = net::Address::tcp(key_of("bob").to_text(), 80);
    const auto none = rig.world.run(network.dial(rig.world.loop(), bob_at));
    CHECK(none.error() == make_error_code(skywire::errc::unavailable));
    CHECK_THAT(none.error().message(), Catch::Contains(key_of("bob").to_text()));
    Client& alice = rig.add_client("alice");
    network.attach(&alice);
    const auto at_bob = rig.add_client("bob").listen(80).value();
    const auto stream = rig.world.run(network.dial(rig.world.loop(), bob_at));
    REQUIRE(stream);
    CHECK((*stream)->remote() == bob_at);
    const auto listener = network.listen(rig.world.loop(), node.at(9)).value();
    CHECK(rig.world.run(network.dial(rig.world.loop(), node.at(9))));
    CHECK(network.bind_udp(rig.world.loop(), node.at(9)));
}

}  // namespace
}  // namespace skywire::dmsg
