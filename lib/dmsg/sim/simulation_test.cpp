// A dmsg network in virtual time: discovery, servers and clients that exchange bytes, while links
// and machines break. What breaks, and when, comes from the seed.

#include "dmsg/sim/sim_faults.hpp"
#include "dmsg/sim/sim_network.hpp"
#include "dmsg/sim/sim_traffic.hpp"

namespace skywire::dmsg {
namespace {

using test::Faults;
using test::SimClient;
using test::SimNetwork;
using test::SimOptions;
using test::Traffic;
using namespace std::chrono_literals;

/// Once nothing is broken any more: a client that found no server waits at most a minute before it
/// tries again, with its jitter.
constexpr Duration kSettleMax = 2min;
constexpr Duration kChaos = 90s;

SimOptions options_of(std::uint64_t seed) {
    SimOptions options;
    options.mesh = seed % 2 == 0;
    // A town, a continent, a country without good lines.
    options.links.one_way_delay_min = Duration(seed % 3 * 10ms + 1ms);
    options.links.one_way_delay_mean = Duration(seed % 3 * 20ms + 2ms);
    options.links.bytes_per_second = 400'000 >> (seed % 3);
    options.client_options = [seed](std::size_t index, ClientOptions& client) {
        client.sessions_min = index % 5 == 0 ? 0 : 1;
        // Some of each multiplexer.
        if ((index + seed) % 3 == 0) client.protocol = "smux";
    };
    return options;
}

void settle(SimNetwork& net) {
    if (net.run_until([&] { return net.settled(); }, kSettleMax)) return;
    FAIL("not settled:\n" << net.why_unsettled());
}

/// Every client reaches every other one.
void talk_to_everybody(SimNetwork& net, Traffic& traffic) {
    std::size_t left = 0;
    const auto talk = [&](SimClient& host) -> Task<> {
        for (const auto& other : net.clients) {
            if (other.get() == &host) continue;
            const bool well = co_await traffic.exchange(host, other->index, Traffic::kPort, 100);
            if (!well) {
                net.wrong(fmt::format(
                    "{} and {} do not talk: {}", host.name, other->name, traffic.last_refusal()
                ));
            }
        }
        --left;
    };
    for (const auto& host : net.clients) {
        ++left;
        host->work->spawn("talk", [&talk, &host = *host] { return talk(host); });
    }
    if (!net.run_until([&] { return left == 0; }, 5min)) FAIL(traffic.describe_open());
}

/// Without faults and without work: no stream is left anywhere.
void check_no_streams(SimNetwork& net, Traffic& traffic) {
    const auto none = [&] {
        const auto is_idle = [](const auto& host) {
            return host->server->status().active_streams == 0;
        };
        const auto has_none = [](const auto& host) {
            return host->node.metrics().gauge("dmsg_client_streams", "").value() == 0;
        };
        return traffic.open() == 0 &&
               std::all_of(net.servers.begin(), net.servers.end(), is_idle) &&
               std::all_of(net.clients.begin(), net.clients.end(), has_none);
    };
    if (net.run_until(none, 2min)) return;
    for (const auto& host : net.servers)
        UNSCOPED_INFO(host->name << ": " << host->server->status().active_streams << " streams");
    for (const auto& host : net.clients) {
        const double streams = host->node.metrics().gauge("dmsg_client_streams", "").value();
        if (streams != 0) UNSCOPED_INFO(host->name << ": " << streams << " streams");
    }
    FAIL("streams are left:\n" << traffic.describe_open());
}

/// Whether it was hard enough.
std::string told(const Traffic::Counts& counts) {
    return fmt::format(
        "{} dials, {} of them in vain, {} exchanges complete, {} cut short, {} kB",
        counts.dials,
        counts.refused,
        counts.complete,
        counts.cut_short,
        counts.bytes / 1000
    );
}

/// A network that breaks in all the ways there are, and what must hold meanwhile and afterwards.
void live_through_faults(std::uint64_t seed) {
    SimNetwork net(seed, options_of(seed));
    // The discovery takes 5 s from the future, of servers.
    net.skew_calendars(2s);
    Traffic traffic(net);
    net.start_all();
    settle(net);
    traffic.busy = true;
    {
        Faults faults(net);
        faults.run_for(kChaos);
        REQUIRE(net.run_until([&] { return faults.under_way() == 0; }, kChaos + 5min));
    }
    net.world.heal();
    net.world.note("all is healed");
    settle(net);
    traffic.busy = false;
    talk_to_everybody(net, traffic);
    check_no_streams(net, traffic);
    sim::report(seed, told(traffic.counts()));
    CHECK(traffic.counts().complete > 500);
    traffic.end();
    net.end();
    net.check();
}

TEST_CASE("simulation: a network that breaks, and is whole again afterwards") {
    sim::for_each_seed(3, live_through_faults);
}

TEST_CASE("simulation: the same seed is the same run") {
    const auto digest_of = [](std::uint64_t seed) {
        SimNetwork net(seed, options_of(seed));
        Traffic traffic(net);
        net.start_all();
        settle(net);
        traffic.busy = true;
        Faults faults(net);
        faults.run_for(20s);
        net.world.run_for(20s);
        REQUIRE(net.run_until([&] { return faults.under_way() == 0; }, 5min));
        return std::pair(net.world.trace().digest(), net.world.trace().count());
    };
    CHECK(digest_of(7) == digest_of(7));
}

}  // namespace
}  // namespace skywire::dmsg
