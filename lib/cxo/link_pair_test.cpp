// A publisher and a copy, each behind a link of its own, under a seeded random: whatever is slow,
// cut or lost between them, the copy ends equal.

#include "base/random.hpp"
#include "cxo/link_rig.hpp"

#include <algorithm>
#include <deque>
#include <set>

namespace skywire::cxo::test {
namespace {

/// One direction: a writer that may be slow, and bytes on their way.
struct Wire {
    /// The writer has taken a batch until then; max: it has none.
    SteadyTime busy_until = SteadyTime::max();
    std::deque<std::pair<SteadyTime, Bytes>> under_way;
    /// Nothing comes out any more.
    bool dead = false;
};

class World {
 public:
    explicit World(std::uint64_t seed) : random(seed) {
        const auto feed = publisher.feed();
        server.published[feed] = nullptr;
        client.replicas[feed] = std::make_unique<Replica>(feed, client.index);
        connect();
    }

    Replica& replica() { return *client.replicas.begin()->second; }
    bool equal() {
        return publisher.last() && replica().tree().hash() == publisher.last()->tree.hash();
    }

    void connect() {
        for (Wire& wire : wires)
            wire = Wire();
        server.connect();
        client.connect();
        client.link->subscribe(publisher.feed(), now);
        ++connections;
    }

    /// Goes on until it is so, or that much time is over.
    template <class Condition>
    bool run(Duration time, const Condition& condition) {
        const SteadyTime until = now + time;
        while (!condition()) {
            const SteadyTime next = next_time();
            if (next > until) {
                set_time(until);
                return condition();
            }
            set_time(std::max(now, next));
            step();
        }
        return true;
    }

    void step() {
        if (AnnouncementPtr version = publisher.on_time(now, (now - SteadyTime()) / 1ns + 1)) {
            versions.insert(version->tree.hash());
            server.publish(std::move(version));
        }
        bool good = drive(server) && drive(client);
        good = good && write(server, wires[0]) && write(client, wires[1]);
        good = good && deliver(wires[0], client) && deliver(wires[1], server);
        if (!good) connect();
        server.seen();
        client.seen();
        REQUIRE(server.link->memory() < memory_max);
        if (auto changed = replica().changed()) {
            REQUIRE(versions.contains(changed->now.hash()));
            REQUIRE(changed->root.seq >= last_seq);
            last_seq = changed->root.seq;
        }
    }

    SteadyTime now{};
    Duration latency = 5ms;
    /// The most that a batch takes to be written.
    Duration slow{};
    /// The largest piece that is read at once.
    std::size_t piece = SIZE_MAX;
    std::size_t memory_max = std::size_t{1} << 20;
    SeededRandom random;
    Rig server{Link::Role::acceptor, "server"};
    Rig client{Link::Role::dialer, "client"};
    Publisher publisher{keys_of("feed"), server.index, {}, 1};
    std::array<Wire, 2> wires;
    std::set<Hash> versions;
    std::uint64_t last_seq = 0;
    int connections = 0;

 private:
    void set_time(SteadyTime time) {
        now = time;
        server.now = time;
        client.now = time;
    }

    SteadyTime next_time() {
        SteadyTime next =
            std::min({publisher.next_time(), server.link->next_time(), client.link->next_time()});
        for (const Wire& wire : wires) {
            next = std::min(next, wire.busy_until);
            if (!wire.under_way.empty()) next = std::min(next, wire.under_way.front().first);
        }
        const bool can_write =
            (server.link->has_output() && wires[0].busy_until == SteadyTime::max()) ||
            (client.link->has_output() && wires[1].busy_until == SteadyTime::max());
        return can_write ? now : next;
    }

    bool drive(Rig& rig) { return !rig.link->on_time(now).has_error(); }

    bool write(Rig& rig, Wire& wire) {
        if (wire.busy_until <= now) {
            wire.busy_until = SteadyTime::max();
            rig.link->wrote(now);
        }
        if (wire.busy_until != SteadyTime::max() || !rig.link->has_output()) return true;
        Bytes bytes;
        for (const ByteSpan part : rig.link->gather(now))
            bytes.insert(bytes.end(), part.begin(), part.end());
        REQUIRE_FALSE(bytes.empty());
        const auto most = static_cast<std::uint64_t>(slow / 1us);
        wire.busy_until = now + random.below(most + 1) * 1us;
        if (!wire.dead) wire.under_way.emplace_back(wire.busy_until + latency, std::move(bytes));
        return true;
    }

    bool deliver(Wire& wire, Rig& rig) {
        while (!wire.under_way.empty() && wire.under_way.front().first <= now) {
            const Bytes bytes = std::move(wire.under_way.front().second);
            wire.under_way.pop_front();
            std::size_t size = bytes.size();
            for (std::size_t at = 0; at < bytes.size(); at += size) {
                size = std::min(bytes.size() - at, piece);
                if (piece < SIZE_MAX) size = random.below(size) + 1;
                if (!rig.link->on_bytes(ByteSpan(bytes).subspan(at, size), now)) return false;
            }
        }
        return true;
    }
};

std::vector<Change> flat(std::size_t count) {
    std::vector<Change> changes;
    changes.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        changes.push_back({fmt::format("n{:06}", i), bytes_of(fmt::format("{:049}", i))});
    return changes;
}

}  // namespace

TEST_CASE("cxo pair: 10,000 leaves at a round trip of 25 ms, then a change in half of one") {
    World world(1);
    world.latency = 12500us;
    REQUIRE(world.publisher.batch(flat(10'000), world.now));
    const auto filling = [&] { return world.replica().filling(); };
    REQUIRE(world.run(10s, filling));
    const SteadyTime begun = world.now;
    REQUIRE(world.run(1s, [&] { return world.equal(); }));
    REQUIRE(world.replica().counts().rounds == 6);
    // Six rounds, and what the window takes to open.
    REQUIRE(world.now - begun <= 13 * 25ms);

    world.run(5s, [] { return false; });
    REQUIRE(world.publisher.put("n005000", bytes_of("changed"), world.now));
    const SteadyTime changed = world.now;
    REQUIRE(world.run(1s, [&] { return world.versions.size() == 2 && world.equal(); }));
    REQUIRE(world.now - changed == 12500us);
    REQUIRE(world.replica().counts().rounds == 0);
    REQUIRE(world.connections == 1);
}

TEST_CASE("cxo pair: a first Root that is lost comes again") {
    World world(2);
    REQUIRE(world.publisher.put("a", bytes_of("1"), world.now));
    world.client.lose_root = true;
    REQUIRE(world.run(2s, [&] { return world.equal(); }));
    REQUIRE(world.server.counts["root_again"] == 1);
}

TEST_CASE("cxo pair: a quiet feed stays alive for hours on its heartbeats") {
    World world(3);
    REQUIRE(world.publisher.put("a", bytes_of("1"), world.now));
    world.run(3h, [] { return false; });
    REQUIRE(world.connections == 1);
    REQUIRE(world.replica().root()->seq >= 3 * 3600 / 45 - 1);
    REQUIRE(world.server.counts["no_answer"] == 0);
}

TEST_CASE("cxo pair: a half-open connection ends by itself, in either direction") {
    for (const std::size_t dead : {std::size_t{0}, std::size_t{1}}) {
        World world(4);
        REQUIRE(world.publisher.put("a", bytes_of("1"), world.now));
        REQUIRE(world.run(2s, [&] { return world.equal(); }));
        world.wires[dead].dead = true;
        REQUIRE(world.run(2min, [&] { return world.connections == 2; }));
        REQUIRE(world.publisher.put("a", bytes_of("2"), world.now));
        REQUIRE(world.run(2s, [&] { return world.versions.size() == 2 && world.equal(); }));
    }
}

TEST_CASE("cxo pair: one that reads nothing holds two versions, not all") {
    World world(5);
    REQUIRE(world.publisher.batch(flat(1000), world.now));
    REQUIRE(world.run(5s, [&] { return world.equal(); }));
    // Its carrier takes one batch and no more.
    world.run(1s, [] { return false; });
    world.slow = 24h;
    std::size_t early = 0;
    for (std::size_t i = 0; i < 500; ++i) {
        REQUIRE(world.publisher.put(
            fmt::format("n{:06}", i), bytes_of(fmt::format("{:049}", i + 1)), world.now
        ));
        for (Rig* const rig : {&world.server, &world.client})
            REQUIRE(rig->feed(Frame{0, 0, Ping{}}));
        world.run(200ms, [] { return false; });
        if (i == 100) early = world.server.index.size();
    }
    REQUIRE(world.connections == 1);
    // What changed since the stall is held twice at most.
    REQUIRE(world.server.index.size() < 2 * early);
    REQUIRE(world.server.index.size() < 3 * 1070);
    REQUIRE(world.server.link->memory() < 24 * 1024);
}

TEST_CASE("cxo pair: whatever is slow, cut or lost, the copy ends equal") {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        INFO("seed " << seed);
        World world(seed);
        SeededRandom& random = world.random;
        world.latency = random.below(100) * 1ms;
        world.slow = random.below(3) == 0 ? 0s : random.below(300) * 1ms;
        world.piece = random.below(2) == 0 ? SIZE_MAX : random.below(300) + 1;
        world.client.lose_root = random.below(2) == 0;
        for (int i = 0; i < 60; ++i) {
            std::vector<Change> changes;
            for (auto n = random.below(20) + 1; n > 0; --n) {
                const std::string path = fmt::format("d{}/x{}", random.below(3), random.below(80));
                const std::string value(
                    random.below(random.below(50) == 0 ? 100'000 : 50) + 1, 'v'
                );
                if (random.below(4) == 0)
                    changes.push_back({path, std::nullopt});
                else
                    changes.push_back({path, bytes_of(value + std::to_string(i))});
            }
            const auto put = world.publisher.batch(std::move(changes), world.now);
            REQUIRE(put);
            const auto dice = random.below(40);
            if (dice == 0) world.connect();
            if (dice == 1) world.wires[random.below(2)].dead = true;
            world.run(random.below(1000) * 1ms, [] { return false; });
        }
        REQUIRE(world.run(5min, [&] {
            return world.publisher.next_time() > world.now + 10s && world.equal();
        }));
        REQUIRE(leaves_of(world.replica().tree()) == leaves_of(world.publisher.tree()));
        REQUIRE(world.client.counts["wrong_object"] == 0);
    }
}

}  // namespace skywire::cxo::test
