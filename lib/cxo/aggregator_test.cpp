#include "cxo/raw_peer.hpp"

#include <stdexcept>

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::Diary;
using test::keys_of;
using test::Party;
using test::quick;
using namespace std::chrono_literals;

/// Dials a service and publishes to it; follows nothing. As visors do, by another implementation.
struct Visor {
    Visor(net::TestLoop& loop_in, std::string_view name, const Party& service)
        : loop(loop_in),
          party(loop, name, Carrier::noise),
          feed(loop.context, *party.node, quick(party.keys)),
          // What it asks of the service is refused: that keeps the connection no shorter.
          announcing(loop.context, *party.node, announcement(service)) {
        REQUIRE(feed.put("tp-list", bytes_of(name)));
    }
    ~Visor() {
        test::close(loop, announcing);
        test::close(loop, feed);
    }
    Visor(const Visor&) = delete;
    Visor& operator=(const Visor&) = delete;

    static RemoteFeedOptions announcement(const Party& service) {
        return {service.keys.public_key, service.route()};
    }

    net::TestLoop& loop;
    Party party;
    Feed feed;
    RemoteFeed announcing;
};

TEST_CASE("aggregator: the feeds of all who dial are followed, and forgotten when they stay away") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    Party service(loop, "service", Carrier::noise);
    service.serve();
    Feed own(loop.context, *service.node, quick(service.keys));
    own.publish_even_if_empty();
    std::map<crypto::PublicKey, Diary> diaries;
    std::vector<crypto::PublicKey> forgotten;
    AggregatorOptions options;
    options.wanted = [](const crypto::PublicKey& key) {
        return key != keys_of("unwanted").public_key;
    };
    Aggregator aggregator(
        loop.context,
        *service.node,
        std::move(options),
        [&](const crypto::PublicKey& key, const FeedUpdate& update) { diaries[key].write(update); },
        [&](const crypto::PublicKey& key) {
            forgotten.push_back(key);
            diaries.erase(key);
        }
    );
    const auto pass = [&](Duration limit, auto done, Duration step = 50ms) {
        for (Duration passed{}; passed < limit && !done(); passed += step) {
            clock.advance(step);
            // Loopback takes its time, which is no virtual one.
            loop.settle();
            loop.ioc.run_for(1ms);
            loop.ioc.restart();
        }
        return done();
    };
    auto one = std::make_unique<Visor>(loop, "one", service);
    Visor two(loop, "two", service);
    Visor unwanted(loop, "unwanted", service);
    const auto first = one->party.keys.public_key;
    for (Visor* visor : {one.get(), &two, &unwanted})
        visor->announcing.start();
    REQUIRE(pass(30s, [&] { return diaries.size() == 2; }));
    CHECK(diaries[first].content == test::Content{{"tp-list", "one"}});
    CHECK(aggregator.size() == 2);
    const Tree* const tree = aggregator.tree(first);
    REQUIRE(tree != nullptr);
    CHECK(tree->get("tp-list").has_value());

    REQUIRE(one->feed.put("tp-list", bytes_of("changed")));
    REQUIRE(pass(10s, [&] { return diaries[first].content["tp-list"] == "changed"; }));
    CHECK(diaries[first].wrongs.empty());
    CHECK(aggregator.rows().size() == 2);

    // Back in time: nothing is lost.
    one.reset();
    REQUIRE(pass(10s, [&] {
        return !aggregator.rows().front().connected || !aggregator.rows().back().connected;
    }));
    one = std::make_unique<Visor>(loop, "one", service);
    one->announcing.start();
    REQUIRE(pass(10s, [&] { return diaries[first].content["tp-list"] == "one"; }));
    CHECK(forgotten.empty());
    // And not.
    one.reset();
    REQUIRE(pass(10min, [&] { return !forgotten.empty(); }, 1s));
    CHECK(forgotten == std::vector{first});
    CHECK(aggregator.tree(first) == nullptr);
    CHECK(aggregator.size() == 1);
    test::close(loop, aggregator);
    test::close(loop, own);
}

/// Follows one visor, which says by hand what it publishes, and more often than is looked at.
struct Hasty {
    Hasty() : loop(&clock), service(loop, "service", Carrier::noise) {
        service.serve();
        aggregator.emplace(
            loop.context,
            *service.node,
            AggregatorOptions(),
            [this](const crypto::PublicKey&, const FeedUpdate& update) {
                for (const Difference& change : update.changes)
                    if (change.value) told = as_text(*change.value);
                if (told == throws_at) throw std::runtime_error("a consumer's");
            },
            [this](const crypto::PublicKey&) { ++forgotten; }
        );
        const net::Context& context = loop.context;
        auto dialled = context.network.dial(context.loop, *service.address);
        auto carried = loop.run(carry(
            context,
            Carrier::noise,
            noise::Role::initiator,
            keys,
            loop.run(std::move(dialled)).value(),
            clock.now() + 30s
        ));
        peer.emplace(loop, std::move(carried.value().stream));
        peer->send(Syn{kProtocolVersion, keys.public_key});
        peer->send(Ok{}, peer->receive_a<Sub>().seq);
    }
    ~Hasty() {
        peer->close();
        test::close(loop, *aggregator);
    }
    Hasty(const Hasty&) = delete;
    Hasty& operator=(const Hasty&) = delete;

    Tree tree_of(std::string_view value) {
        return Tree(index).apply({{"a", bytes_of(value)}}).value().tree;
    }
    void send_root(const Tree& tree) {
        Root root;
        root.tree = tree.hash();
        root.feed = keys.public_key;
        root.nonce = 1;
        root.seq = seq++;
        root.time = static_cast<std::int64_t>(seq);
        root.previous = root.seq == 0 ? kNil : Hash{std::byte{1}};
        peer->send(sign(root, keys));
    }
    void send_objects(const Tree& tree) {
        for (std::vector<ObjectPtr> left{tree.root()}; !left.empty();) {
            const ObjectPtr object = std::move(left.back());
            left.pop_back();
            peer->send(ObjectBytes{object->bytes()});
            left.insert(left.end(), object->children().begin(), object->children().end());
        }
    }
    /// "one" again and again, and last "two", which waits until time is kept.
    void send_all() {
        const Tree one = tree_of("one");
        const Tree two = tree_of("two");
        send_objects(one);
        for (int i = 0; i < 299; ++i)
            send_root(one);
        send_objects(two);
        send_root(two);
        loop.run_until([&] { return roots("taken") + roots("held") == 300; });
    }
    std::uint64_t roots(std::string_view verdict) {
        return test::count(loop, "cxo_roots_received_total", verdict, "verdict");
    }

    ManualClock clock;
    net::TestLoop loop;
    Party service;
    std::string told;
    std::string throws_at = "nothing";
    int forgotten = 0;
    std::optional<Aggregator> aggregator;
    crypto::KeyPair keys = keys_of("visor");
    std::optional<test::RawPeer> peer;
    ObjectIndex index;
    std::uint64_t seq = 0;
};

TEST_CASE("aggregator: of Roots without end a few are looked at, and in the end the last") {
    Hasty hasty;
    hasty.send_all();
    CHECK(hasty.roots("taken") == 101);
    CHECK(hasty.told == "one");
    CHECK(hasty.aggregator->live(hasty.keys.public_key));
    hasty.clock.advance(5s);
    hasty.loop.run_until([&] { return hasty.told == "two"; });
    CHECK(hasty.roots("taken") == 102);
}

TEST_CASE("aggregator: who throws over what time has brought ends that connection, not the time") {
    Hasty hasty;
    hasty.throws_at = "two";
    hasty.send_all();
    hasty.clock.advance(5s);
    hasty.loop.run_until([&] { return hasty.told == "two"; });
    CHECK(hasty.loop.metrics.counter("cxo_exceptions_total", "").value() == 1);
    CHECK(hasty.peer->ended());
    hasty.loop.settle();
    for (Duration passed{}; passed < 10min; passed += 10s) {
        hasty.clock.advance(10s);
        hasty.loop.settle();
    }
    CHECK(hasty.forgotten == 1);
    CHECK(hasty.aggregator->size() == 0);
}

TEST_CASE("aggregator: what is thrown where a publisher is looked at holds no place") {
    net::TestLoop loop;
    Party service(loop, "service", Carrier::noise);
    service.serve();
    Feed own(loop.context, *service.node, quick(service.keys));
    own.publish_even_if_empty();
    int asked = 0;
    std::size_t updates = 0;
    AggregatorOptions options;
    options.wanted = [&](const crypto::PublicKey&) {
        if (++asked == 1) throw std::runtime_error("a consumer's");
        return true;
    };
    Aggregator aggregator(
        loop.context,
        *service.node,
        std::move(options),
        [&](const crypto::PublicKey&, const FeedUpdate&) { ++updates; }
    );
    Visor visor(loop, "visor", service);
    visor.announcing.start();
    loop.run_until([&] { return loop.metrics.counter("cxo_exceptions_total", "").value() == 1; });
    CHECK(service.node->status().accepted == 0);
    // It comes again.
    loop.run_until([&] { return updates == 1; });
    CHECK(service.node->status().accepted == 1);
    CHECK(loop.metrics.gauge("cxo_connections", "", {{"direction", "accepted"}}).value() == 1);
    test::close(loop, aggregator);
    test::close(loop, own);
}

/// The time stands still, and is not told where `throws` says so.
class FailingClock final : public Clock {
 public:
    SteadyTime now() const override {
        if (std::exchange(throws, false)) throw std::runtime_error("no time");
        return clock_.now();
    }
    WallTime wall() const override { return clock_.wall(); }
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override {
        return clock_.set_alarm(at, std::move(on_time));
    }

    mutable bool throws = false;

 private:
    ManualClock clock_;
};

TEST_CASE("aggregator: a publisher that could not be taken up is none") {
    net::TestLoop loop;
    Party service(loop, "service", Carrier::noise);
    service.serve();
    Feed own(loop.context, *service.node, quick(service.keys));
    own.publish_even_if_empty();
    FailingClock clock;
    std::size_t updates = 0;
    Aggregator aggregator(
        test::with_clock(loop.context, clock),
        *service.node,
        {},
        [&](const crypto::PublicKey&, const FeedUpdate&) { ++updates; }
    );
    loop.settle();
    clock.throws = true;
    Visor visor(loop, "visor", service);
    visor.announcing.start();
    loop.run_until([&] { return loop.metrics.counter("cxo_exceptions_total", "").value() == 1; });
    CHECK(aggregator.size() == 0);
    loop.run_until([&] { return updates == 1; });
    CHECK(aggregator.rows().size() == 1);
    test::close(loop, aggregator);
    test::close(loop, own);
}

}  // namespace
}  // namespace skywire::cxo
