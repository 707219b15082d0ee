#include "cxo/test_nodes.hpp"

#include <memory>
#include <stdexcept>

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::content_of;
using test::Diary;
using test::keys_of;
using namespace std::chrono_literals;

/// A feed on a still clock, with nobody connected.
struct Rig {
    explicit Rig(FeedOptions options = FeedOptions(keys_of("publisher")))
        : loop(&clock),
          node(loop.context, NodeOptions(keys_of("publisher"))),
          feed(loop.context, node, std::move(options)) {
        loop.settle();
    }
    ~Rig() {
        test::close(loop, feed);
        test::close(loop, node);
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    void advance(Duration by) {
        clock.advance(by);
        loop.settle();
    }

    ManualClock clock;
    net::TestLoop loop;
    Node node;
    Feed feed;
};

TEST_CASE("feed: subscribers in the process get a snapshot, then changes, and no heartbeats") {
    Rig rig;
    Diary early;
    const Subscription one = rig.feed.subscribe("a", early.writer());
    REQUIRE(rig.feed.put("a/1", bytes_of("x")));
    REQUIRE(rig.feed.put("b/1", bytes_of("y")));
    CHECK(early.updates == 0);
    rig.loop.settle();
    CHECK(early.updates == 1);
    CHECK(early.content == test::Content{{"a/1", "x"}});

    Diary late;
    Subscription two = rig.feed.subscribe("", late.writer());
    CHECK(late.content == content_of(rig.feed.tree()));
    rig.advance(1s);
    REQUIRE(rig.feed.remove("a/1"));
    REQUIRE(rig.feed.put("a/2", bytes_of("z")));
    rig.loop.settle();
    CHECK(early.updates == 2);
    CHECK(early.content == test::Content{{"a/2", "z"}});
    CHECK(late.content == content_of(rig.feed.tree()));

    const auto versions = rig.feed.state().versions;
    rig.advance(46s);
    CHECK(rig.feed.state().versions == versions + 1);
    CHECK(early.updates == 2);
    two.reset();
    REQUIRE(rig.feed.put("b/1", bytes_of("changed")));
    rig.loop.settle();
    CHECK(early.updates == 2);
    CHECK(late.updates == 2);
    CHECK(early.wrongs.empty());
    CHECK(late.wrongs.empty());
}

TEST_CASE("feed: what changes nothing publishes nothing") {
    Rig rig;
    REQUIRE(rig.feed.put("a", bytes_of("x")));
    rig.loop.settle();
    const auto versions = rig.feed.state().versions;
    CHECK(versions == 1);
    REQUIRE(rig.feed.put("a", bytes_of("x")));
    REQUIRE(rig.feed.remove("b"));
    REQUIRE(rig.feed.remove_below("c"));
    rig.advance(10s);
    CHECK(rig.feed.state().versions == versions);
    CHECK_FALSE(rig.feed.state().dirty);
}

TEST_CASE("feed: quick changes are gathered, the first is not") {
    Rig rig;
    REQUIRE(rig.feed.put("a", bytes_of("0")));
    rig.loop.settle();
    rig.advance(1s);
    for (int i = 1; i <= 100; ++i) {
        REQUIRE(rig.feed.put("a", bytes_of(std::to_string(i))));
        rig.loop.settle();
        rig.advance(10ms);
    }
    rig.advance(1s);
    const auto state = rig.feed.state();
    CHECK(state.versions <= 8);
    CHECK(state.versions >= 5);
    CHECK_FALSE(state.dirty);
    CHECK_FALSE(state.stuck);
}

TEST_CASE("feed: a batch is all or nothing, and a refusal is told") {
    FeedOptions options(keys_of("publisher"));
    options.bytes_max = 100;
    Rig rig(std::move(options));
    REQUIRE(rig.feed.put("a", Bytes(60)));
    std::vector<Change> bad;
    bad.push_back({"ok", bytes_of("x")});
    bad.push_back({"not//ok", bytes_of("x")});
    const auto malformed = rig.feed.batch(std::move(bad));
    CHECK(malformed.error() == errc::malformed);
    CHECK_FALSE(rig.feed.get("ok"));
    CHECK_FALSE(rig.feed.state().error.empty());

    CHECK(rig.feed.put("b", Bytes(60)).error() == errc::limit_reached);
    CHECK(test::count(rig.loop, "cxo_changes_refused_total", "limit") == 1);
    // In place of what is there it fits.
    REQUIRE(rig.feed.put("a", Bytes(99)));
    CHECK(rig.feed.state().error.empty());
    CHECK(rig.feed.state().bytes == 99);
    CHECK(rig.feed.state().leaves == 1);
}

TEST_CASE("feed: a subscriber may subscribe and unsubscribe from inside an update") {
    Rig rig;
    Diary nested;
    Subscription inner;
    Subscription outer;
    int updates = 0;
    outer = rig.feed.subscribe("", [&](const FeedUpdate&) {
        if (++updates == 1) inner = rig.feed.subscribe("", nested.writer());
        if (updates == 2) outer.reset();
    });
    REQUIRE(rig.feed.put("a", bytes_of("1")));
    rig.loop.settle();
    CHECK(nested.updates == 1);
    for (int i = 2; i < 5; ++i) {
        rig.advance(1s);
        REQUIRE(rig.feed.put("a", bytes_of(std::to_string(i))));
        rig.loop.settle();
    }
    CHECK(updates == 2);
    CHECK(nested.content == test::Content{{"a", "4"}});
    CHECK(nested.wrongs.empty());
}

TEST_CASE("feed: a subscriber that throws keeps nothing from the others") {
    Rig rig;
    int updates = 0;
    const Subscription throws = rig.feed.subscribe("", [&](const FeedUpdate&) {
        if (++updates == 2) throw std::runtime_error("a subscriber's");
    });
    Diary diary;
    const Subscription other = rig.feed.subscribe("", diary.writer());
    for (const char* path : {"a", "b", "c"}) {
        REQUIRE(rig.feed.put(path, bytes_of("x")));
        rig.loop.settle();
        rig.advance(1s);
    }
    CHECK(rig.loop.metrics.counter("cxo_exceptions_total", "").value() == 1);
    CHECK(updates == 3);
    CHECK(diary.updates == 3);
    CHECK(diary.content == content_of(rig.feed.tree()));
    CHECK(diary.wrongs.empty());
}

TEST_CASE("feed: whoever closes it as well waits for its end, too") {
    net::TestLoop loop;
    Node node(loop.context, NodeOptions(keys_of("publisher")));
    auto feed = std::make_unique<Feed>(loop.context, node, FeedOptions(keys_of("publisher")));
    loop.settle();
    const SteadyTime deadline = loop.context.clock.now() + 5s;
    bool closed = false;
    asio::co_spawn(loop.ioc, feed->close(deadline), [&](const std::exception_ptr&, const auto&) {
        closed = true;
    });
    test::close(loop, *feed);
    REQUIRE(closed);
    feed.reset();
    test::close(loop, node);
}

}  // namespace
}  // namespace skywire::cxo
