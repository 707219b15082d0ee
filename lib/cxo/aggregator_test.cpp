#include "cxo/raw_peer.hpp"

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

TEST_CASE("aggregator: of Roots without end a few are looked at, and in the end the last") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    Party service(loop, "service", Carrier::noise);
    service.serve();
    std::string told;
    Aggregator aggregator(
        loop.context,
        *service.node,
        {},
        [&](const crypto::PublicKey&, const FeedUpdate& update) {
            for (const Difference& change : update.changes)
                if (change.value) told = as_text(*change.value);
        }
    );
    const net::Context& context = loop.context;
    const crypto::KeyPair keys = keys_of("visor");
    auto dialled = context.network.dial(context.loop, *service.address);
    auto carried = loop.run(carry(
        context,
        Carrier::noise,
        noise::Role::initiator,
        keys,
        loop.run(std::move(dialled)).value(),
        clock.now() + 30s
    ));
    test::RawPeer peer(loop, std::move(carried.value().stream));
    peer.send(Syn{kProtocolVersion, keys.public_key});
    peer.send(Ok{}, peer.receive_a<Sub>().seq);

    ObjectIndex index;
    std::uint64_t seq = 0;
    const auto send_root = [&](const Tree& tree) {
        Root root;
        root.tree = tree.hash();
        root.feed = keys.public_key;
        root.nonce = 1;
        root.seq = seq++;
        root.time = static_cast<std::int64_t>(seq);
        root.previous = root.seq == 0 ? kNil : Hash{std::byte{1}};
        peer.send(sign(root, keys));
    };
    const auto send_objects = [&](const Tree& tree) {
        for (std::vector<ObjectPtr> left{tree.root()}; !left.empty();) {
            const ObjectPtr object = std::move(left.back());
            left.pop_back();
            peer.send(ObjectBytes{object->bytes()});
            left.insert(left.end(), object->children().begin(), object->children().end());
        }
    };
    const Tree one = Tree(index).apply({{"a", bytes_of("one")}}).value().tree;
    const Tree two = Tree(index).apply({{"a", bytes_of("two")}}).value().tree;
    send_objects(one);
    for (int i = 0; i < 299; ++i)
        send_root(one);
    send_objects(two);
    send_root(two);
    const auto roots = [&](std::string_view verdict) {
        return test::count(loop, "cxo_roots_received_total", verdict, "verdict");
    };
    loop.run_until([&] { return roots("taken") + roots("held") == 300; });
    CHECK(roots("taken") == 101);
    CHECK(told == "one");
    CHECK(aggregator.live(keys.public_key));
    clock.advance(5s);
    loop.run_until([&] { return told == "two"; });
    CHECK(roots("taken") == 102);
    peer.close();
    test::close(loop, aggregator);
}

}  // namespace
}  // namespace skywire::cxo
