#pragma once

#include "dmsg/sim/sim_traffic.hpp"
#include "sim/chaos.hpp"

namespace skywire::dmsg::test {

/// For simulations: breaks links and machines at random, each for a while only. What is down comes
/// back with the same key.
class Faults {
 public:
    /// Longer than a client or server waits for a silent peer.
    static constexpr Duration kCutMax = 30s;
    static constexpr Duration kDownMax = 25s;
    static constexpr Duration kFrozenMax = 20s;

    explicit Faults(SimNetwork& network) : net_(network), chaos_(network) {
        chaos_.add(3, [this] { return chaos_.cut(some_link(), kCutMax); });
        chaos_.add(3, [this] { return bad_link(); });
        chaos_.add(1, [this] { return reset(); });
        chaos_.add(2, [this] { return kill(some_client()); });
        chaos_.add(1, [this] { return freeze_client(); });
        chaos_.add(1, [this] { return kill(some_server()); });
        chaos_.add(1, [this] { return freeze_server(); });
        chaos_.add(1, [this] { return drain_server(); });
        chaos_.add(1, [this] { return lose_discovery(); });
    }

    /// Begins; `under_way` is 0 again once the last one has been repaired.
    void run_for(Duration duration) { chaos_.run_for(duration, 100ms, 2s); }
    std::size_t under_way() const noexcept { return chaos_.under_way(); }

 private:
    SimClient& some_client() { return *net_.clients[net_.below(net_.clients.size())]; }
    SimServer& some_server() { return *net_.servers[net_.below(net_.servers.size())]; }
    /// The ends of a link over which something goes.
    std::pair<sim::Node*, sim::Node*> some_link() {
        sim::Node& server = some_server().node;
        sim::Node& discovery = net_.discovery.node();
        switch (net_.below(8)) {
            case 0:
                return {&some_client().node, &discovery};
            case 1:
                return {&server, &discovery};
            case 2: {
                sim::Node& peer = some_server().node;
                if (&peer != &server) return {&server, &peer};
                break;
            }
        }
        return {&some_client().node, &server};
    }

    Task<> bad_link() {
        const auto link = some_link();
        sim::LinkOptions options = sim::LinkOptions::rough();
        switch (net_.below(3)) {
            case 0:
                break;
            case 1:
                options.packet_loss_probability = 0.2;
                break;
            case 2:
                options.one_way_delay_min = 200ms;
                options.one_way_delay_mean = 600ms;
                options.bytes_per_second = 50'000;
                break;
        }
        co_await chaos_.have_link(link, options, net_.options.links, 60s);
    }

    Task<> reset() {
        const auto [a, b] = some_link();
        net_.world.reset(*a, *b);
        co_return;
    }

    /// Ends a machine; `stop` takes down what ran on it, which has died with it.
    template <class Host>
    Task<> kill(Host& host) {
        if (std::exchange(host.busy, true)) co_return;
        host.node.kill(chaos_.some_death());
        co_await net_.stop(host);
        co_await net_.sleep(net_.between(100ms, kDownMax));
        host.node.start();
        net_.start(host);
        host.busy = false;
    }

    Task<> freeze_client() {
        SimClient& host = some_client();
        if (std::exchange(host.busy, true)) co_return;
        const Duration duration = net_.between(1s, kFrozenMax);
        co_await chaos_.freeze(&host.node, duration);
        host.frozen += duration;
        host.busy = false;
    }
    Task<> freeze_server() {
        SimServer& host = some_server();
        if (std::exchange(host.busy, true)) co_return;
        co_await chaos_.freeze(&host.node, net_.between(1s, kFrozenMax));
        host.busy = false;
    }

    /// Ends it in order, as a restart for an update does.
    Task<> drain_server() {
        SimServer& host = some_server();
        if (std::exchange(host.busy, true)) co_return;
        co_await host.server->drain(net_.world.clock().now() + net_.between(1s, 10s));
        co_await net_.stop(host);
        co_await net_.sleep(net_.between(100ms, 10s));
        net_.start(host);
        host.busy = false;
    }

    Task<> lose_discovery() {
        if (std::exchange(discovery_lost_, true)) co_return;
        sim::Node& node = net_.discovery.node();
        const bool refuses = net_.chance(0.5);
        if (refuses) {
            node.kill(sim::Death::process);
            co_await net_.discovery.stop();
        } else {
            net_.world.isolate(node);
        }
        co_await net_.sleep(net_.between(1s, 40s));
        if (refuses) {
            node.start();
            net_.discovery.start();
        } else {
            for (const auto& host : net_.clients)
                net_.world.heal(node, host->node);
            for (const auto& host : net_.servers)
                net_.world.heal(node, host->node);
        }
        discovery_lost_ = false;
    }

    SimNetwork& net_;
    bool discovery_lost_ = false;
    sim::Chaos chaos_;
};

}  // namespace skywire::dmsg::test
