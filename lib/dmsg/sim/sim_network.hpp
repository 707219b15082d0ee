#pragma once

#include "base/test.hpp"
#include "dmsg/client.hpp"
#include "dmsg/server.hpp"
#include "dmsg/sim/sim_discovery.hpp"
#include "http/client.hpp"
#include "sim/trial.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

/// For simulations: a whole dmsg network in one world. Servers and clients reach the discovery by
/// HTTP over simulated links; each may die and come back with its key.
namespace skywire::dmsg::test {

using namespace std::chrono_literals;

struct SimOptions {
    std::size_t servers = 2;
    std::size_t clients = 20;
    /// The servers keep sessions with each other.
    bool mesh = false;
    /// Of all links that no fault has changed.
    sim::LinkOptions links;
    std::function<void(std::size_t index, ClientOptions&)> client_options;
    std::function<void(ServerOptions&)> server_options;
};

/// A machine with a dmsg server.
struct SimServer {
    std::string name;
    sim::Node& node;
    crypto::KeyPair keys;
    std::unique_ptr<http::Client> http = nullptr;
    /// Null while it is down.
    std::unique_ptr<Server> server = nullptr;
    /// A fault has hold of it.
    bool busy = false;

    const crypto::PublicKey& key() const { return keys.public_key; }
};

/// A machine with a dmsg client and what uses it.
struct SimClient {
    std::size_t index;
    std::string name;
    sim::Node& node;
    crypto::KeyPair keys;
    std::unique_ptr<http::Client> http = nullptr;
    /// Null while it is down.
    std::unique_ptr<Client> client = nullptr;
    /// The applications.
    std::unique_ptr<net::Scope> work = nullptr;
    bool busy = false;
    /// How long it was frozen, all in all.
    Duration frozen{0};

    const crypto::PublicKey& key() const { return keys.public_key; }
};

class SimNetwork : public sim::Trial {
 public:
    static constexpr std::uint16_t kPort = 8081;
    /// For things to end once they are told to.
    static constexpr Duration kEndMax = 10s;

    explicit SimNetwork(std::uint64_t seed, SimOptions options_in = {})
        : Trial(seed, options_in.links), discovery(world), options(std::move(options_in)) {
        discovery.start();
        for (std::size_t i = 0; i < options.servers; ++i) {
            const auto name = fmt::format("server{}", i);
            servers.push_back(std::make_unique<SimServer>(
                SimServer{name, world.node(name), crypto::deterministic_key_pair(name)}
            ));
        }
        for (std::size_t i = 0; i < options.clients; ++i) {
            const auto name = fmt::format("client{}", i);
            clients.push_back(std::make_unique<SimClient>(
                SimClient{i, name, world.node(name), crypto::deterministic_key_pair(name)}
            ));
        }
    }
    ~SimNetwork() { give_up(); }

    /// Where a test has not come to `end`: stops all, so that it can be destroyed.
    void give_up() {
        if (ended_) return;
        world.heal();
        for (const auto& client : clients)
            client->node.thaw();
        for (const auto& server : servers)
            server->node.thaw();
        world.run(stop_all());
    }

    void start_all() {
        for (const auto& server : servers)
            start(*server);
        for (const auto& client : clients)
            start(*client);
    }

    void start(SimServer& host) {
        const auto& context = host.node.context();
        ServerOptions made(host.keys);
        made.address = host.node.at(kPort).to_string();
        for (const auto& other : servers) {
            if (options.mesh && other.get() != &host)
                made.peers.push_back({other->key(), other->node.at(kPort)});
        }
        if (options.server_options) options.server_options(made);
        host.http = std::make_unique<http::Client>(context);
        host.server = std::make_unique<Server>(context, std::move(made), ask(context, *host.http));
        host.server->start([] {});
        host.server->serve(context.network.listen(context.loop, host.node.at(kPort)).value());
    }

    void start(SimClient& host) {
        const auto& context = host.node.context();
        ClientOptions made(host.keys);
        if (options.client_options) options.client_options(host.index, made);
        host.http = std::make_unique<http::Client>(context);
        host.work = std::make_unique<net::Scope>(context.loop);
        host.client = std::make_unique<Client>(context, std::move(made), ask(context, *host.http));
        host.client->start();
        if (on_start) on_start(host);
    }

    /// Ends a server in order or, where its node is dead, what is left of it.
    Task<> stop(SimServer& host) {
        note_late(host.name, co_await host.server->stop(world.clock().now() + kEndMax));
        host.server.reset();
        host.http->close();
        host.http.reset();
    }
    Task<> stop(SimClient& host) {
        note_late(host.name, co_await host.client->stop(world.clock().now() + kEndMax));
        const auto now = world.clock().now();
        note_late(host.name + "'s work", co_await host.work->close(world.clock(), now, now + 1s));
        host.work.reset();
        host.client.reset();
        host.http->close();
        host.http.reset();
    }

    Task<> stop_all() {
        for (const auto& client : clients)
            if (client->client) co_await stop(*client);
        for (const auto& server : servers) {
            if (!server->server) continue;
            co_await server->server->drain(world.clock().now() + kEndMax);
            co_await stop(*server);
        }
        note_late("discovery", co_await discovery.stop());
        ended_ = true;
    }

    /// Ends all in order, and looks at what is left.
    void end() {
        world.run(stop_all());
        const auto left = discovery.entries();
        for (const auto& [key, entry] : left)
            wrong(fmt::format("the entry of {} is left", name_of(key)));
        look_for_leftovers();
    }

    /// Every client that is up has a session, and its entry names servers that are, and with which
    /// it has one.
    bool settled() {
        const auto entries = discovery.entries();
        return std::all_of(clients.begin(), clients.end(), [&](const auto& host) {
            return why_unsettled(*host, entries).empty();
        });
    }
    std::string why_unsettled() {
        const auto entries = discovery.entries();
        std::string all;
        for (const auto& host : clients) {
            const auto why = why_unsettled(*host, entries);
            if (!why.empty()) all += fmt::format("{}: {}\n", host->name, why);
        }
        return all;
    }
    std::string why_unsettled(
        const SimClient& host, const std::map<crypto::PublicKey, Entry>& entries
    ) const {
        if (!host.client) return {};
        const auto sessions = host.client->servers();
        if (sessions.empty()) return "no session: " + host.client->trouble();
        const auto found = entries.find(host.key());
        if (found == entries.end()) return "no entry: " + host.client->trouble();
        const auto& info = found->second.client;
        if (!info || info->delegated_servers.value_or(std::vector<crypto::PublicKey>()).empty())
            return "its entry names nobody: " + host.client->trouble();
        for (const auto& server : *info->delegated_servers) {
            if (!is_up(server)) return fmt::format("its entry names {}, dead", name_of(server));
            if (std::find(sessions.begin(), sessions.end(), server) == sessions.end())
                return fmt::format("its entry names {}, without a session", name_of(server));
        }
        return {};
    }

    bool is_up(const crypto::PublicKey& key) const {
        return std::any_of(servers.begin(), servers.end(), [&](const auto& host) {
            return host->key() == key && host->server && host->node.alive();
        });
    }
    std::string name_of(const crypto::PublicKey& key) const {
        for (const auto& host : servers)
            if (host->key() == key) return host->name;
        for (const auto& host : clients)
            if (host->key() == key) return host->name;
        return key.to_text();
    }

    /// Calendars that are wrong by so much, one way or the other.
    void skew_calendars(Duration most) {
        for (const auto& host : servers)
            host->node.set_wall_skew(between(-most, most));
        for (const auto& host : clients)
            host->node.set_wall_skew(between(-most, most));
    }

 private:
    std::unique_ptr<DiscoveryClient> ask(const net::Context& context, http::Client& http) {
        return make_http_discovery(context, http, SimDiscovery::url()).value();
    }

    bool ended_ = false;

 public:
    SimDiscovery discovery;
    SimOptions options;
    std::vector<std::unique_ptr<SimServer>> servers;
    std::vector<std::unique_ptr<SimClient>> clients;
    /// What a client's machine runs on it, each time it comes up.
    std::function<void(SimClient&)> on_start;
};

}  // namespace skywire::dmsg::test
