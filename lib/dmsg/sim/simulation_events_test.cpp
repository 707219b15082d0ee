// Single events in a whole dmsg network, in virtual time: a server restarts, dies, drains; a link
// is cut without a word; a reader stops.

#include "dmsg/sim/sim_network.hpp"
#include "dmsg/sim/sim_traffic.hpp"

namespace skywire::dmsg {
namespace {

using test::SimClient;
using test::SimNetwork;
using test::SimOptions;
using test::SimServer;
using test::Traffic;
using namespace std::chrono_literals;

/// A dead peer of a session is noticed in 15 s; sessions are looked at every 250 ms.
constexpr Duration kNoticeMax = 15s + 500ms;

SimOptions small(std::size_t servers, std::size_t clients) {
    SimOptions options;
    options.servers = servers;
    options.clients = clients;
    return options;
}

bool has_session(const SimClient& host, const SimServer& server) {
    const auto keys = host.client->servers();
    return std::find(keys.begin(), keys.end(), server.key()) != keys.end();
}

/// The server of a client with one session.
SimServer& server_of(SimNetwork& net, const SimClient& host) {
    for (const auto& server : net.servers)
        if (has_session(host, *server)) return *server;
    throw std::runtime_error(host.name + " has no session");
}

void start(SimNetwork& net) {
    net.start_all();
    REQUIRE(net.run_until([&] { return net.settled(); }, 1min));
}

/// No entry names a server that is down, now and for a while.
void check_entries_stay_true(SimNetwork& net) {
    const SteadyTime until = net.world.clock().now() + 2min;
    const auto lies = [&] { return !net.settled(); };
    CHECK_FALSE(net.run_until(lies, until - net.world.clock().now()));
    INFO(net.why_unsettled());
    CHECK(net.settled());
}

/// All is as it should be within `limit`, and stays so until the end.
void check_recovery(SimNetwork& net, Duration limit) {
    const bool settled = net.run_until([&] { return net.settled(); }, limit);
    INFO(net.why_unsettled());
    CHECK(settled);
    check_entries_stay_true(net);
    net.end();
    net.check();
}

TEST_CASE("simulation: clients of a server that restarts have it again within 10 s") {
    for (const auto death : {sim::Death::process, sim::Death::reset}) {
        sim::for_each_seed(3, [&](std::uint64_t seed) {
            SimNetwork net(seed, small(1, 3));
            start(net);
            SimServer& server = *net.servers[0];
            server.node.kill(death);
            net.world.run(net.stop(server));
            net.world.run_for(1s);
            server.node.start();
            net.start(server);
            check_recovery(net, 10s);
        });
    }
}

TEST_CASE("simulation: clients of a server that restarts in order have it again within 10 s") {
    sim::for_each_seed(3, [&](std::uint64_t seed) {
        SimNetwork net(seed, small(1, 3));
        start(net);
        SimServer& server = *net.servers[0];
        net.world.run(server.server->drain(net.world.clock().now() + 5s));
        net.world.run(net.stop(server));
        net.world.run_for(1s);
        net.start(server);
        check_recovery(net, 10s);
    });
}

TEST_CASE("simulation: clients of a server that dies have another one within 10 s") {
    for (const auto death : {sim::Death::process, sim::Death::reset}) {
        sim::for_each_seed(3, [&](std::uint64_t seed) {
            SimNetwork net(seed, small(2, 3));
            start(net);
            SimServer& dead = server_of(net, *net.clients[0]);
            dead.node.kill(death);
            net.world.run(net.stop(dead));
            check_recovery(net, 10s);
        });
    }
}

TEST_CASE("simulation: a server that dies in silence is left within its 15 s and 10 more") {
    sim::for_each_seed(3, [&](std::uint64_t seed) {
        SimNetwork net(seed, small(2, 3));
        start(net);
        SimServer& dead = server_of(net, *net.clients[0]);
        dead.node.kill(sim::Death::silent);
        net.world.run(net.stop(dead));
        const auto left = [&] {
            return std::none_of(net.clients.begin(), net.clients.end(), [&](const auto& host) {
                return has_session(*host, dead);
            });
        };
        CHECK(net.run_until(left, kNoticeMax));
        check_recovery(net, 10s);
    });
}

TEST_CASE("simulation: a link that is cut in silence is noticed on both sides within 15 s") {
    using sim::Direction;
    for (const auto direction : {Direction::both, Direction::forward, Direction::backward}) {
        sim::for_each_seed(3, [&](std::uint64_t seed) {
            SimNetwork net(seed, small(1, 2));
            Traffic traffic(net);
            start(net);
            SimServer& server = *net.servers[0];
            SimClient& near = *net.clients[0];
            SimClient& far = *net.clients[1];
            // A stream that is open all the while.
            const auto listener = far.client->listen(1000).value();
            auto stream = net.world.run(near.client->dial({far.key(), 1000})).value();
            auto accepted = net.world.run(listener->accept()).value();
            net.world.run_for(net.between(0s, 20s));

            net.world.cut(near.node, server.node, direction);
            const auto noticed = [&] {
                return near.client->servers().empty() &&
                       server.server->status().client_sessions == 1;
            };
            CHECK(net.run_until(noticed, kNoticeMax));
            Bytes byte(1);
            const auto at_near = net.world.run(stream->read_some(byte));
            CHECK(at_near.has_error());
            // For the other end it is a stream that ends.
            const auto before = net.world.elapsed();
            const auto at_far = net.world.run(accepted->read_some(byte));
            CHECK((at_far.has_error() || *at_far == 0));
            CHECK(net.world.elapsed() - before < 1s);
            net.world.heal();
            CHECK(net.run_until([&] { return net.settled(); }, 1min));
            stream.reset();
            accepted.reset();
            listener->close();
            traffic.end();
            net.end();
            net.check();
        });
    }
}

TEST_CASE("simulation: clients leave a draining server at once, and open streams finish") {
    sim::for_each_seed(3, [&](std::uint64_t seed) {
        SimNetwork net(seed, small(2, 6));
        Traffic traffic(net);
        start(net);
        SimServer& leaving = server_of(net, *net.clients[0]);
        std::size_t under_way = 0;
        std::size_t well = 0;
        const auto talk = [&](SimClient& host, std::size_t to) -> Task<> {
            ++under_way;
            well += co_await traffic.exchange(host, to, Traffic::kPort, 200'000) ? 1 : 0;
            --under_way;
        };
        sim::LinkOptions slow;
        slow.bytes_per_second = 60'000;
        net.world.set_links(slow);
        for (const auto& host : net.clients) {
            const std::size_t to = (host->index + 1) % net.clients.size();
            host->work->spawn("talk", [&talk, &host = *host, to] { return talk(host, to); });
        }
        net.world.run_for(2s);
        CHECK(leaving.server->status().active_streams > 0);

        bool drained = false;
        net::Scope scope(net.world.loop());
        scope.spawn("drain", [&]() -> Task<> {
            co_await leaving.server->drain(net.world.clock().now() + 1min);
            drained = true;
        });
        const auto left = [&] {
            return std::none_of(net.clients.begin(), net.clients.end(), [&](const auto& host) {
                return has_session(*host, leaving) || host->client->servers().empty();
            });
        };
        // On links as slow as these.
        CHECK(net.run_until(left, 5s));
        CHECK_FALSE(drained);
        CHECK(net.run_until([&] { return drained; }, 1min));
        CHECK(net.run_until([&] { return under_way == 0; }, 1min));
        CHECK(well == net.clients.size());
        net.world.run(net.stop(leaving));
        CHECK(net.run_until([&] { return net.settled(); }, 10s));
        net.world.settle();
        traffic.end();
        net.end();
        net.check();
    });
}

TEST_CASE("simulation: a reader that stops holds up its own stream alone") {
    SimNetwork net(1, small(1, 4));
    Traffic traffic(net);
    start(net);
    SimClient& near = *net.clients[0];
    SimClient& far = *net.clients[1];
    const auto listener = far.client->listen(1000).value();
    auto stream = net.world.run(near.client->dial({far.key(), 1000})).value();
    auto accepted = net.world.run(listener->accept()).value();
    std::uint64_t written = 0;
    bool ended = false;
    net::Scope scope(net.world.loop());
    scope.spawn("write", [&]() -> Task<> {
        const Bytes chunk(10'000);
        while (co_await stream->write(chunk))
            written += chunk.size();
        ended = true;
    });
    net.world.run_for(30s);
    const std::uint64_t stuck_at = written;
    CHECK(stuck_at <= Traffic::kUnderWayMax);
    // Through the same sessions, both ways.
    for (int i = 0; i < 20; ++i) {
        CHECK(net.world.run(traffic.exchange(near, 1, Traffic::kPort, 40'000)));
        CHECK(net.world.run(traffic.exchange(far, 0, Traffic::kPort, 40'000)));
    }
    CHECK(written == stuck_at);
    accepted->close();
    // It hears of the end as soon as it asks.
    CHECK(net.run_until([&] { return ended && scope.size() == 0; }, 5s));
    stream.reset();
    accepted.reset();
    listener->close();
    traffic.end();
    net.end();
    net.check();
}

}  // namespace
}  // namespace skywire::dmsg
