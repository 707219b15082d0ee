#include "cxo/test_nodes.hpp"
#include "dmsg/client/client_rig.hpp"

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::content_of;
using test::Diary;
using test::quick;
using namespace std::chrono_literals;

constexpr std::uint16_t kPort = 54;

TEST_CASE("node: over dmsg the caller's key is proven, and a restart of either side is survived") {
    dmsg::test::Rig rig;
    rig.start_server("server");
    rig.wait_registered("server");
    dmsg::Client& far = rig.add_client("publisher");
    dmsg::Client& near = rig.add_client("subscriber");
    const auto keys = dmsg::test::keys_of("publisher");
    const auto& far_context = rig.world.node("publisher").context();
    const auto& near_context = rig.world.node("subscriber").context();

    auto node = std::make_unique<Node>(far_context, NodeOptions(keys));
    node->serve(far.listen(kPort).value(), Carrier::dmsg);
    FeedOptions options = quick(keys);
    options.allowed = std::set{dmsg::test::key_of("subscriber")};
    auto feed = std::make_unique<Feed>(far_context, *node, options);
    REQUIRE(test::fill(*feed, 100));

    Node reader(near_context, NodeOptions(dmsg::test::keys_of("subscriber")));
    const Route route{
        Carrier::dmsg,
        [&near, to = dmsg::Address{keys.public_key, kPort}] { return near.dial(to); },
        "dmsg://publisher:54",
    };
    RemoteFeed copy(near_context, reader, {keys.public_key, route});
    Diary diary;
    const Subscription subscription = copy.subscribe("", diary.writer());
    REQUIRE(rig.world.run(copy.connect_and_wait_for_root(rig.world.clock().now() + 10s)));
    CHECK(diary.content == content_of(feed->tree()));
    REQUIRE(feed->put("dir1/leaf1", bytes_of("new")));
    REQUIRE(rig.world.run_until([&] { return diary.updates == 2; }, 1s));

    const auto end = [&](auto& what) {
        const auto late = rig.world.run(what.close(rig.world.clock().now() + 10s));
        CHECK(late.empty());
    };
    end(*feed);
    feed.reset();
    end(*node);
    node.reset();
    REQUIRE(rig.world.run_until([&] { return !copy.state().live; }, 5s));
    rig.world.run_for(30s);
    node = std::make_unique<Node>(far_context, NodeOptions(keys));
    node->serve(far.listen(kPort).value(), Carrier::dmsg);
    feed = std::make_unique<Feed>(far_context, *node, options);
    REQUIRE(test::fill(*feed, 99));
    CHECK(rig.world.run_until([&] { return copy.state().live; }, 5s));
    CHECK(diary.content == content_of(feed->tree()));
    CHECK(diary.wrongs.empty());

    end(copy);
    end(reader);
    end(*feed);
    end(*node);
}

}  // namespace
}  // namespace skywire::cxo
