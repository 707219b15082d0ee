#pragma once

#include "cxo/sim/sim_feeds.hpp"
#include "sim/chaos.hpp"

#include <array>

namespace skywire::cxo::test {

/// For simulations: breaks links and machines at random, each for a while only. A publisher that
/// comes back has lost its state.
class Faults {
 public:
    static constexpr Duration kCutMax = 40s;
    static constexpr Duration kDownMax = 20s;
    static constexpr Duration kFrozenMax = 30s;

    explicit Faults(SimFeeds& feeds) : feeds_(feeds), chaos_(feeds) {
        chaos_.add(3, [this] { return cut(); });
        chaos_.add(3, [this] { return bad_link(); });
        chaos_.add(1, [this] { return reset(); });
        chaos_.add(2, [this] { return kill_subscriber(); });
        chaos_.add(2, [this] { return freeze(some_subscriber()); });
        chaos_.add(1, [this] { return slow_reader(); });
        chaos_.add(1, [this] { return kill_publisher(); });
        chaos_.add(1, [this] { return freeze(*feeds_.publisher); });
    }

    /// Begins; `under_way` is 0 again once the last one has been repaired.
    void run_for(Duration duration) { chaos_.run_for(duration, 50ms, 1500ms); }
    std::size_t under_way() const noexcept { return chaos_.under_way(); }

    /// How often each of them has come.
    std::map<std::string, std::uint64_t> happened;

 private:
    SimSubscriber& some_subscriber() {
        return *feeds_.subscribers[feeds_.below(feeds_.subscribers.size())];
    }
    std::pair<sim::Node*, sim::Node*> some_link() {
        return {&some_subscriber().machine, &feeds_.publisher->machine};
    }

    Task<> cut() {
        constexpr std::array kDirections{
            sim::Direction::both, sim::Direction::forward, sim::Direction::backward
        };
        const auto [subscriber, publisher] = some_link();
        const sim::Direction direction = kDirections[feeds_.below(kDirections.size())];
        ++happened[direction == sim::Direction::both ? "cut" : "half-open"];
        feeds_.world.cut(*subscriber, *publisher, direction);
        co_await feeds_.sleep(feeds_.between(500ms, kCutMax));
        feeds_.world.heal(*subscriber, *publisher);
    }
    Task<> bad_link() {
        ++happened["bad link"];
        sim::LinkOptions options = sim::LinkOptions::rough();
        if (feeds_.chance(0.5)) options.packet_loss_probability = 0.2;
        return chaos_.have_link(some_link(), options, feeds_.options.links, 40s);
    }
    Task<> slow_reader() {
        ++happened["slow reader"];
        sim::LinkOptions options = feeds_.options.links;
        options.bytes_per_second = 2'000;
        options.stream_bytes_max = 4'096;
        return chaos_.have_link(some_link(), options, feeds_.options.links, 40s);
    }

    Task<> reset() {
        ++happened["reset"];
        const auto [subscriber, publisher] = some_link();
        feeds_.world.reset(*subscriber, *publisher);
        co_return;
    }

    Task<> kill_subscriber() {
        SimSubscriber& host = some_subscriber();
        if (std::exchange(host.busy, true)) co_return;
        ++happened["subscriber killed"];
        host.machine.kill(chaos_.some_death());
        co_await feeds_.stop(host);
        co_await feeds_.sleep(feeds_.between(100ms, kDownMax));
        host.machine.start();
        feeds_.start(host);
        host.busy = false;
    }

    Task<> kill_publisher() {
        SimPublisher& host = *feeds_.publisher;
        if (std::exchange(host.busy, true)) co_return;
        ++happened["publisher killed"];
        const Content before = content_of(host.feed->tree());
        std::set<std::string> kept;
        for (const auto& [path, value] : before)
            if (feeds_.chance(0.7)) kept.insert(path);
        if (kept.size() < before.size()) ++happened["state lost"];
        host.machine.kill(chaos_.some_death());
        co_await feeds_.stop(host);
        co_await feeds_.sleep(feeds_.between(100ms, kDownMax));
        host.machine.start();
        // Whoever proves who it is may come back with any clock.
        if (feeds_.options.carrier == Carrier::noise)
            host.machine.set_wall_skew(feeds_.between(-1h, 1h));
        feeds_.start(host, kept);
        host.busy = false;
    }

    template <class Host>
    Task<> freeze(Host& host) {
        if (std::exchange(host.busy, true)) co_return;
        ++happened["frozen"];
        co_await chaos_.freeze(&host.machine, feeds_.between(1s, kFrozenMax));
        host.busy = false;
    }

    SimFeeds& feeds_;
    sim::Chaos chaos_;
};

}  // namespace skywire::cxo::test
