// One publisher and fifty copies of its feed in virtual time, while links and machines break. What
// breaks, and when, comes from the seed.

#include "cxo/sim/sim_faults.hpp"
#include "cxo/sim/sim_feeds.hpp"

#include <array>
#include <map>
#include <string>

namespace skywire::cxo {
namespace {

using test::Faults;
using test::SimFeeds;
using test::SimOptions;
using namespace std::chrono_literals;

constexpr Duration kChaos = 45s;
/// Once nothing is broken any more: 5 s until a dead connection has answered our sign of life, and
/// 5 s until the copy is live again.
constexpr Duration kSettleMax = 10s;

SimOptions options_of(std::uint64_t seed) {
    SimOptions options;
    // Few are broken the more often, and cost less.
    if (seed > 2 && seed % 200 != 0) options.subscribers = 2 + seed / 7 % 6;
    if (seed / 11 % 6 != 0) options.change_pause_max = 2s;
    options.carrier = seed % 2 == 0 ? Carrier::noise : Carrier::plain;
    // A town, a continent, a country without good lines.
    options.links.one_way_delay_min = Duration(seed % 3 * 10ms + 1ms);
    options.links.one_way_delay_mean = Duration(seed % 3 * 20ms + 2ms);
    options.links.bytes_per_second = 1'000'000 >> (seed % 3);
    return options;
}

void settle(SimFeeds& feeds, Duration limit = kSettleMax) {
    if (feeds.run_until_seen([&] { return feeds.settled(); }, limit)) return;
    const std::string why = feeds.why_unsettled();
    feeds.world.note(why);
    FAIL("not settled:\n" << why << feeds.world.waiting());
}

/// Whether it was hard enough.
std::string told(const SimFeeds& feeds, Duration settled_in) {
    std::uint64_t connections = 0;
    std::uint64_t resubscribes = 0;
    for (const auto& host : feeds.subscribers) {
        const auto state = host->copy->state();
        connections += state.connections;
        resubscribes += state.resubscribes;
    }
    return fmt::format(
        "settled in {} ms, {} subscribers, {} versions of the last publisher, {} connections, {} "
        "resubscribes, {} kB of objects, {} kB of buffers at most, {} kB at a subscriber",
        settled_in / 1ms,
        feeds.subscribers.size(),
        feeds.publisher->feed->state().versions,
        connections,
        resubscribes,
        feeds.objects_most / 1000,
        feeds.buffers_most / 1000,
        feeds.copy_most / 1000
    );
}

using Counts = std::map<std::string, std::uint64_t>;

/// What of the faults the code under test has met.
void add_met(Counts& met, SimFeeds& feeds) {
    const auto of_reason = [&](std::string_view name, std::string reason, std::string label) {
        return feeds.counted(name, {{std::move(label), std::move(reason)}});
    };
    met["half-dead connections ended"] += of_reason("cxo_ended_total", "timed_out", "reason");
    met["resets"] += of_reason("cxo_ended_total", "connection_lost", "reason");
    met["earlier connections evicted"] += feeds.counted("cxo_evicted_total");
    met["Roots coalesced"] += of_reason("cxo_link_events_total", "root_coalesced", "reason");
    met["Roots that wait"] += of_reason("cxo_roots_received_total", "waits", "verdict");
    met["clocks gone back"] += of_reason("cxo_roots_received_total", "gone_back", "verdict");
    met["dials in vain"] += of_reason("cxo_reconnects_total", "not_attached", "reason");
    met["objects gone"] += feeds.counted("cxo_objects_missing_total");
}

void live_through_faults(std::uint64_t seed, Counts& met) {
    SimFeeds feeds(seed, options_of(seed));
    feeds.start_all();
    settle(feeds);
    feeds.change_all_the_time();
    {
        Faults faults(feeds);
        faults.run_for(kChaos);
        REQUIRE(feeds.run_until([&] { return faults.under_way() == 0; }, kChaos + 2min));
        for (const auto& [fault, count] : faults.happened)
            met[fault] += count;
    }
    feeds.world.heal();
    feeds.world.note("all is healed");
    feeds.stop_changing();
    feeds.world.run_for(1s);
    const Duration healed = feeds.world.elapsed();
    settle(feeds);
    const Duration settled_in = feeds.world.elapsed() - healed;
    add_met(met, feeds);
    // Heartbeats and time take what was kept for those who were behind.
    feeds.world.run_for(4min);
    feeds.check_objects();
    settle(feeds);
    sim::report(seed, told(feeds, settled_in));
    feeds.end();
    feeds.check();
}

TEST_CASE("simulation: whatever breaks, every copy ends equal, and tells all in order") {
    constexpr std::size_t kRuns = 12;
    Counts met;
    std::size_t runs = 0;
    sim::for_each_seed(kRuns, [&](std::uint64_t seed) {
        live_through_faults(seed, met);
        ++runs;
    });
    // One seed alone need not have all of it.
    if (runs < kRuns) return;
    for (const char* what :
         {"cut",
          "half-open",
          "bad link",
          "slow reader",
          "reset",
          "subscriber killed",
          "publisher killed",
          "state lost",
          "frozen",
          "half-dead connections ended",
          "resets",
          "earlier connections evicted",
          "Roots coalesced",
          "Roots that wait",
          "dials in vain",
          "objects gone"}) {
        INFO(what);
        CHECK(met[what] > 0);
    }
    // Few publishers come back with an earlier clock to who has a copy of before.
    constexpr std::size_t kMany = 100;
    if (runs >= kMany) CHECK(met["clocks gone back"] > 0);
}

TEST_CASE("simulation: the same seed is the same run") {
    const auto digest_of = [](std::uint64_t seed) {
        SimOptions options = options_of(seed);
        options.subscribers = 6;
        SimFeeds feeds(seed, options);
        feeds.start_all();
        feeds.change_all_the_time();
        Faults faults(feeds);
        faults.run_for(20s);
        REQUIRE(feeds.run_until([&] { return faults.under_way() == 0; }, 3min));
        const auto digest = std::pair(feeds.world.trace().digest(), feeds.world.trace().count());
        feeds.end();
        return digest;
    };
    CHECK(digest_of(7) == digest_of(7));
}

TEST_CASE("simulation: copies are live within 5 s of either side's return") {
    sim::for_each_seed(6, [](std::uint64_t seed) {
        constexpr std::array kDeaths{sim::Death::process, sim::Death::reset, sim::Death::silent};
        const sim::Death death = kDeaths[seed % kDeaths.size()];
        SimOptions options;
        options.subscribers = 5;
        SimFeeds feeds(seed, options);
        feeds.start_all();
        settle(feeds);
        feeds.change_all_the_time();
        feeds.world.run_for(5s);
        feeds.stop_changing();
        // Long enough for all to have noticed.
        feeds.publisher->machine.kill(death);
        feeds.world.run(feeds.stop(*feeds.publisher));
        feeds.world.run_for(feeds.between(20s, 60s));
        feeds.publisher->machine.start();
        feeds.start(*feeds.publisher, {"d0/e0/p0", "elsewhere"});
        settle(feeds, 5s);

        auto& host = *feeds.subscribers.front();
        host.machine.kill(death);
        feeds.world.run(feeds.stop(host));
        feeds.world.run_for(feeds.between(1s, 60s));
        host.machine.start();
        feeds.start(host);
        settle(feeds, 5s);
        feeds.end();
        feeds.check();
    });
}

TEST_CASE("simulation: a change is seen within half a round trip and 5 ms") {
    SimOptions options;
    options.subscribers = 3;
    options.links.one_way_delay_min = options.links.one_way_delay_mean = 50ms;
    options.links.fragment_probability = 0;
    SimFeeds feeds(1, options);
    feeds.start_all();
    settle(feeds);
    feeds.world.run_for(5s);
    for (int i = 0; i < 5; ++i) {
        REQUIRE(feeds.publisher->feed->put("a/b/c", feeds.next_value()));
        const auto before = feeds.world.clock().now();
        // The first has the list of names changed, too; none needs a request.
        REQUIRE(feeds.run_until([&] { return feeds.settled(); }, 1s));
        CHECK(feeds.world.clock().now() - before <= 55ms);
        feeds.world.run_for(3s);
    }
    feeds.end();
    feeds.check();
}

TEST_CASE("simulation: who reads nothing costs nobody anything") {
    SimOptions options;
    options.subscribers = 10;
    options.change_pause_max = 100ms;
    SimFeeds feeds(3, options);
    feeds.start_all();
    settle(feeds);
    // Frozen for less than what ends their connections.
    for (std::size_t i = 0; i < 5; ++i)
        feeds.subscribers[i]->machine.freeze();
    feeds.change_all_the_time();
    feeds.world.run_for(10s);
    const auto early = feeds.publisher->node->status();
    feeds.world.run_for(30s);
    const auto late = feeds.publisher->node->status();
    CHECK(late.buffered_bytes <= early.buffered_bytes + 500'000);
    CHECK(late.object_bytes <= 2 * early.object_bytes + 1'000'000);
    const std::uint64_t seq = feeds.publisher->feed->state().seq;
    for (std::size_t i = 5; i < 10; ++i) {
        CHECK(feeds.subscribers[i]->copy->state().seq + 3 >= seq);
        CHECK(feeds.subscribers[i]->copy->state().connections == 1);
    }
    for (std::size_t i = 0; i < 5; ++i)
        feeds.subscribers[i]->machine.thaw();
    feeds.stop_changing();
    settle(feeds);
    feeds.end();
    feeds.check();
}

}  // namespace
}  // namespace skywire::cxo
