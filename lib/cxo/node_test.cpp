#include "cxo/test_nodes.hpp"

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::content_of;
using test::count;
using test::Diary;
using test::fill;
using test::keys_of;
using test::Party;
using test::PlainPair;
using test::quick;
using test::wait_live;
using namespace std::chrono_literals;

TEST_CASE("node: a subscriber gets a snapshot and then every change, on each carrier") {
    for (const Carrier carrier : {Carrier::plain, Carrier::noise}) {
        INFO(carrier_name(carrier));
        net::TestLoop loop;
        Party publisher(loop, "publisher", carrier);
        Party subscriber(loop, "subscriber", carrier);
        publisher.serve();
        Feed feed(loop.context, *publisher.node, quick(publisher.keys));
        REQUIRE(fill(feed, 300));

        RemoteFeed copy(
            loop.context, *subscriber.node, {publisher.keys.public_key, publisher.route()}
        );
        Diary all;
        Diary part;
        const Subscription one = copy.subscribe("", all.writer());
        const Subscription two = copy.subscribe("dir3", part.writer());
        CHECK(all.updates == 0);
        wait_live(loop, copy);
        CHECK(all.updates == 1);
        CHECK(all.content == content_of(feed.tree()));
        CHECK(part.content == content_of(feed.tree(), "dir3"));

        REQUIRE(feed.put("dir3/leaf3", bytes_of("new")));
        REQUIRE(feed.remove("dir0/leaf0"));
        loop.run_until([&] { return all.updates == 2; });
        CHECK(all.content == content_of(feed.tree()));
        CHECK(part.content.at("dir3/leaf3") == "new");
        REQUIRE(feed.put("dir4/more", bytes_of("x")));
        loop.run_until([&] { return all.updates == 3; });
        CHECK(part.updates == 2);
        CHECK(all.wrongs.empty());
        CHECK(part.wrongs.empty());

        const auto state = copy.state();
        CHECK(state.live);
        CHECK(state.leaves == 300);
        CHECK(feed.state().subscribers == 1);
        test::close(loop, copy);
        loop.run_until([&] { return feed.state().subscribers == 0; });
        test::close(loop, feed);
    }
}

TEST_CASE_METHOD(PlainPair, "node: what goes to and fro is counted") {
    const auto total = [&](std::string_view name) {
        return loop.metrics.counter(name, "").value();
    };
    const auto gauge = [&](std::string_view name) { return loop.metrics.gauge(name, "").value(); };
    {
        Feed feed(loop.context, *publisher.node, quick(publisher.keys));
        CHECK(gauge("cxo_feeds") == 1);
        REQUIRE(fill(feed, 20));
        CHECK(total("cxo_changes_total") == 20);
        wait_live(loop, *copy);
        CHECK(gauge("cxo_subscribers") == 1);
        CHECK(count(loop, "cxo_connections_total", "accepted", "direction") == 1);
        CHECK(count(loop, "cxo_connections_total", "dialled", "direction") == 1);
        // The registry is not asked for: everybody has it.
        const std::uint64_t asked = total("cxo_objects_requested_total");
        CHECK(asked == publisher.node->index().size());
        CHECK(total("cxo_objects_served_total") == asked);
        CHECK(total("cxo_objects_received_total") == asked);
        CHECK(total("cxo_objects_unknown_total") == 0);
        CHECK(total("cxo_objects_missing_total") == 0);
        CHECK(total("cxo_objects_unasked_total") == 0);
        const Histogram& rounds = loop.metrics.histogram("cxo_sync_rounds", "");
        CHECK(rounds.snapshot().count == 1);
        CHECK(rounds.snapshot().sum > 0);

        // What is new comes by itself.
        const double rounds_before = rounds.snapshot().sum;
        REQUIRE(feed.put("dir3/leaf3", bytes_of("new")));
        loop.run_until([&] { return copy->state().seq == 1; });
        CHECK(total("cxo_objects_requested_total") == asked);
        CHECK(total("cxo_objects_unasked_total") > 0);
        CHECK(rounds.snapshot().count == 2);
        CHECK(rounds.snapshot().sum == rounds_before);
        CHECK(loop.metrics.histogram("cxo_sync_seconds", "").snapshot().count == 2);
        CHECK(count(loop, "cxo_roots_received_total", "taken", "verdict") == 2);
        CHECK(total("cxo_versions_total") == feed.state().versions);
        // The first one goes by the subscription.
        CHECK(total("cxo_roots_sent_total") == 1);
        for (const char* direction : {"in", "out"})
            CHECK(count(loop, "cxo_bytes_total", direction, "direction") > 20 * 49);
        test::close(loop, feed);
    }
    CHECK(gauge("cxo_feeds") == 0);
    CHECK(gauge("cxo_subscribers") == 0);
    publisher.close();
    loop.run_until([&] { return count(loop, "cxo_reconnects_total", "not_attached") > 0; });
    CHECK(count(loop, "cxo_reconnects_total", "lost") == 1);
}

TEST_CASE("node: a peer that comes again ends its earlier connection") {
    for (const Carrier carrier : {Carrier::plain, Carrier::noise}) {
        INFO(carrier_name(carrier));
        net::TestLoop loop;
        Party publisher(loop, "publisher", carrier);
        Party earlier(loop, "subscriber", carrier);
        Party later(loop, "subscriber", carrier);
        Party other(loop, "other", carrier);
        publisher.serve();
        Feed feed(loop.context, *publisher.node, quick(publisher.keys));
        REQUIRE(fill(feed, 10));
        const auto copy_at = [&](Party& party) {
            return std::make_unique<RemoteFeed>(
                loop.context,
                *party.node,
                RemoteFeedOptions(publisher.keys.public_key, publisher.route())
            );
        };
        auto first = copy_at(earlier);
        auto unrelated = copy_at(other);
        wait_live(loop, *first);
        wait_live(loop, *unrelated);
        CHECK(publisher.node->status().accepted == 2);

        auto second = copy_at(later);
        wait_live(loop, *second);
        CHECK(loop.metrics.counter("cxo_evicted_total", "").value() >= 1);
        CHECK(publisher.node->status().accepted == 2);
        CHECK(unrelated->state().connections == 1);
        test::close(loop, *first);
        test::close(loop, *second);
        test::close(loop, *unrelated);
        test::close(loop, feed);
    }
}

TEST_CASE("node: connections above a limit are hung up on and counted") {
    net::TestLoop loop;
    NodeOptions options(keys_of("publisher"));
    SECTION("all") {
        options.connections_max = 1;
    }
    SECTION("without a handshake") {
        options.handshakes_max = 1;
    }
    SECTION("without one, of one address") {
        options.handshakes_per_address_max = 1;
    }
    SECTION("of one peer") {
        options.connections_per_peer_max = 1;
    }
    Party publisher(loop, options, Carrier::plain);
    publisher.serve();
    const auto dial = [&] {
        return loop.run(loop.context.network.dial(loop.context.loop, *publisher.address)).value();
    };
    // Of those without a handshake the older one gives way.
    const bool gives_way = options.handshakes_max == 1 || options.handshakes_per_address_max == 1;
    const auto first = dial();
    loop.run_until([&] { return publisher.node->status().handshakes == 1; });
    const auto second = dial();
    Bytes byte(1);
    const auto read = loop.run((gives_way ? first : second)->read_some(byte));
    CHECK((!read || *read == 0));
    const char* reason = "connections_per_peer_max";
    if (options.connections_max == 1) reason = "connections_max";
    if (options.handshakes_max == 1) reason = "handshakes_max";
    if (options.handshakes_per_address_max == 1) reason = "handshakes_per_address_max";
    CHECK(count(loop, "cxo_refused_total", reason) == 1);
    CHECK(publisher.node->status().handshakes == 1);
    (gives_way ? second : first)->close();
    loop.run_until([&] { return publisher.node->status().handshakes == 0; });
    CHECK(count(loop, "cxo_refused_total", "closed") == 1);
}

TEST_CASE("node: only allowed keys subscribe, and what is allowed may change") {
    net::TestLoop loop;
    Party publisher(loop, "publisher", Carrier::noise);
    Party friendly(loop, "friend", Carrier::noise);
    Party stranger(loop, "stranger", Carrier::noise);
    publisher.serve();
    FeedOptions options = quick(publisher.keys);
    options.allowed = {friendly.keys.public_key};
    Feed feed(loop.context, *publisher.node, std::move(options));
    REQUIRE(fill(feed, 10));
    const RemoteFeedOptions following(publisher.keys.public_key, publisher.route());
    RemoteFeed near(loop.context, *friendly.node, following);
    RemoteFeed far(loop.context, *stranger.node, following);
    far.start();
    wait_live(loop, near);
    loop.run_until([&] { return !far.state().error.empty(); });
    CHECK(far.state().error.starts_with("refused: "));
    CHECK(far.tree().empty());
    CHECK(feed.state().denied == std::vector{stranger.keys.public_key});
    CHECK(count(loop, "cxo_subscriptions_refused_total", "not_allowed") >= 1);

    feed.set_allowed(std::set{stranger.keys.public_key});
    CHECK(feed.state().subscribers == 0);
    CHECK(loop.metrics.counter("cxo_subscriptions_dropped_total", "").value() == 1);
    wait_live(loop, far);
    REQUIRE(feed.put("dir0/secret", bytes_of("s")));
    loop.run_until([&] { return far.tree().get("dir0/secret").has_value(); });
    CHECK_FALSE(near.tree().get("dir0/secret"));
    test::close(loop, near);
    test::close(loop, far);
    test::close(loop, feed);
}

TEST_CASE_METHOD(PlainPair, "node: without a proven key only open feeds are served") {
    FeedOptions options = quick(publisher.keys);
    options.allowed = {subscriber.keys.public_key};
    Feed feed(loop.context, *publisher.node, std::move(options));
    REQUIRE(fill(feed, 10));
    copy->start();
    loop.run_until([&] { return !feed.state().denied.empty(); });
    CHECK(feed.state().denied.front().is_null());
    feed.set_allowed(std::nullopt);
    wait_live(loop, *copy);
    test::close(loop, feed);
}

TEST_CASE_METHOD(
    PlainPair, "node: a feed that nobody has is refused, and followed once it is there"
) {
    copy->start();
    loop.run_until([&] { return !copy->state().error.empty(); });
    CHECK(copy->state().error == "refused: \"do not share the feed\"");
    CHECK(count(loop, "cxo_subscriptions_refused_total", "unknown_feed") >= 1);
    loop.run_until([&] { return count(loop, "cxo_reconnects_total", "refused") >= 1; });
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    feed.publish_even_if_empty();
    wait_live(loop, *copy);
    CHECK(copy->tree().empty());
    CHECK(copy->root().has_value());
    test::close(loop, feed);
}

}  // namespace
}  // namespace skywire::cxo
