#include "cxo/test_nodes.hpp"

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::content_of;
using test::count;
using test::Diary;
using test::fill;
using test::NoisePair;
using test::Party;
using test::PlainPair;
using test::quick;
using test::wait_live;
using namespace std::chrono_literals;

/// A publisher that is not a Feed: says what the test says.
class Source final : public FeedSource {
 public:
    Source(Node& node, const crypto::KeyPair& keys, std::int64_t start)
        : node_(node),
          feed_(keys.public_key),
          publisher_(keys, node.index(), PublisherPace(), start) {
        node_.publish(*this);
    }
    ~Source() override { node_.withdraw(*this); }
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    const crypto::PublicKey& feed() const noexcept override { return feed_; }
    Result<> admit(const Peer&) override { return {}; }
    AnnouncementPtr last() const override { return publisher_.last(); }

    /// Publishes at a time of its own choice.
    void put(std::string_view path, std::string_view value, std::int64_t wall) {
        now_ += 1h;
        REQUIRE(publisher_.put(path, bytes_of(value), now_));
        now_ += 1h;
        const auto version = publisher_.on_time(now_, wall);
        REQUIRE(version);
        node_.announce(feed_, version);
    }

 private:
    Node& node_;
    crypto::PublicKey feed_;
    Publisher publisher_;
    SteadyTime now_{};
};

TEST_CASE_METHOD(
    NoisePair, "remote feed: a publisher that restarts is followed, with what changed in one update"
) {
    auto feed = std::make_unique<Feed>(loop.context, *publisher.node, quick(publisher.keys));
    REQUIRE(fill(*feed, 50));
    Diary diary;
    const Subscription subscription = copy->subscribe("", diary.writer());
    wait_live(loop, *copy);

    test::close(loop, *feed);
    feed.reset();
    publisher.close();
    loop.run_until([&] { return !copy->state().connected; });
    // The copy stays, and gets older.
    CHECK(copy->tree().count() == 50);
    CHECK_FALSE(copy->state().live);
    CHECK(copy->state().age.has_value());

    publisher.node = std::make_unique<Node>(loop.context, NodeOptions(publisher.keys));
    publisher.serve();
    feed = std::make_unique<Feed>(loop.context, *publisher.node, quick(publisher.keys));
    REQUIRE(fill(*feed, 40));
    REQUIRE(feed->put("dir1/new", bytes_of("n")));
    wait_live(loop, *copy);
    CHECK(diary.updates == 2);
    CHECK(diary.content == content_of(feed->tree()));
    CHECK(diary.wrongs.empty());
    CHECK(copy->state().connections == 2);
    test::close(loop, *feed);
}

TEST_CASE_METHOD(PlainPair, "remote feed: a publisher that begins its chain anew is followed") {
    // The first Root's time of a chain is at least its nonce.
    auto source = std::make_unique<Source>(*publisher.node, publisher.keys, 1);
    source->put("a", "1", 1000);
    source->put("a", "2", 2000);
    source->put("b", "1", 3000);
    Diary diary;
    const Subscription subscription = copy->subscribe("", diary.writer());
    wait_live(loop, *copy);
    CHECK(diary.content == test::Content{{"a", "2"}, {"b", "1"}});

    source.reset();
    publisher.restart();
    source = std::make_unique<Source>(*publisher.node, publisher.keys, 1);
    source->put("a", "3", 4000);
    loop.run_until([&] { return diary.updates == 2; });
    CHECK(diary.content == test::Content{{"a", "3"}});
    CHECK(copy->state().restarts == 1);
    CHECK(loop.metrics.counter("cxo_publisher_restarts_total", "").value() == 1);
    CHECK(copy->state().seq == 0);
    source->put("a", "4", 5000);
    loop.run_until([&] { return diary.updates == 3; });
    CHECK(diary.content == test::Content{{"a", "4"}});
    CHECK(diary.wrongs.empty());

    // What is older than what we have is nobody's news.
    source.reset();
    publisher.restart();
    source = std::make_unique<Source>(*publisher.node, publisher.keys, 1);
    source->put("a", "0", 100);
    loop.run_until([&] { return count(loop, "cxo_roots_received_total", "old", "verdict") > 0; });
    CHECK_FALSE(copy->state().live);
    CHECK(diary.content == test::Content{{"a", "4"}});
}

TEST_CASE_METHOD(
    NoisePair,
    "remote feed: a publisher whose clock went back is followed where it proves who it is"
) {
    auto source = std::make_unique<Source>(*publisher.node, publisher.keys, 5000);
    source->put("a", "1", 5000);
    source->put("b", "1", 6000);
    Diary diary;
    const Subscription subscription = copy->subscribe("", diary.writer());
    wait_live(loop, *copy);
    source.reset();
    publisher.restart();
    source = std::make_unique<Source>(*publisher.node, publisher.keys, 100);
    source->put("a", "2", 100);
    loop.run_until([&] { return diary.updates == 2; });
    CHECK(diary.content == test::Content{{"a", "2"}});
    CHECK(copy->state().restarts == 1);
    source->put("a", "3", 200);
    loop.run_until([&] { return diary.updates == 3; });
    CHECK(diary.content == test::Content{{"a", "3"}});
    CHECK(diary.wrongs.empty());
    CHECK(copy->state().live);
    CHECK(count(loop, "cxo_roots_received_total", "gone_back", "verdict") == 1);
}

TEST_CASE("remote feed: only who has proven the feed's key is its publisher") {
    net::TestLoop loop;
    Party publisher(loop, "publisher", Carrier::noise);
    Party impostor(loop, "impostor", Carrier::noise);
    Party subscriber(loop, "subscriber", Carrier::noise);
    impostor.serve();
    // Even where it passes on what the publisher has signed.
    Feed passed_on(loop.context, *impostor.node, quick(publisher.keys));
    REQUIRE(fill(passed_on, 3));
    RemoteFeedOptions options(publisher.keys.public_key, impostor.route());
    RemoteFeed strict(loop.context, *subscriber.node, options);
    strict.start();
    loop.run_until([&] { return !strict.state().error.empty(); });
    CHECK(strict.state().error.find("is not the publisher of") != std::string::npos);
    CHECK(strict.tree().empty());
    CHECK(count(loop, "cxo_refused_total", "forbidden") >= 1);
    test::close(loop, strict);

    options.publisher_only = false;
    RemoteFeed lenient(loop.context, *subscriber.node, options);
    wait_live(loop, lenient);
    CHECK(lenient.tree().count() == 3);
    test::close(loop, lenient);
    test::close(loop, passed_on);
}

TEST_CASE_METHOD(
    PlainPair,
    "remote feed: waiting for a Root ends at its deadline, and the feed is still followed"
) {
    publisher.close();
    const auto waited = loop.run(copy->connect_and_wait_for_root(loop.context.clock.now() + 50ms));
    CHECK(waited.error() == errc::timed_out);
    CHECK(waited.error().message().find("tcp://127.0.0.1") != std::string::npos);

    publisher.node = std::make_unique<Node>(loop.context, NodeOptions(publisher.keys));
    publisher.serve();
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    REQUIRE(fill(feed, 5));
    loop.run_until([&] { return copy->state().live; });
    CHECK(copy->tree().count() == 5);
    test::close(loop, *copy);
    const auto closed = loop.run(copy->connect_and_wait_for_root(loop.context.clock.now() + 30s));
    CHECK(closed.error() == errc::closed);
    test::close(loop, feed);
}

TEST_CASE("remote feed: a connection without a whole Root is asked again, then made anew") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    Party publisher(loop, "publisher", Carrier::plain);
    Party subscriber(loop, "subscriber", Carrier::plain);
    publisher.serve();
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    RemoteFeed copy(loop.context, *subscriber.node, {publisher.keys.public_key, publisher.route()});
    copy.start();
    const auto pass = [&](Duration most, auto done) {
        for (Duration passed{}; passed < most && !done(); passed += 1s) {
            clock.advance(1s);
            loop.settle();
            // Loopback takes its time, which is no virtual one.
            loop.ioc.run_for(1ms);
            loop.ioc.restart();
        }
        return done();
    };
    loop.run_until([&] { return feed.state().subscribers == 1; });
    CHECK(pass(70s, [&] { return copy.state().resubscribes == 1; }));
    CHECK(count(loop, "cxo_resubscribes_total", "no_root") == 1);
    CHECK(copy.state().connections == 1);
    CHECK(pass(30s, [&] { return copy.state().connections == 2; }));
    CHECK(count(loop, "cxo_ended_total", "no_root") == 1);
    feed.publish_even_if_empty();
    CHECK(pass(10s, [&] { return copy.state().live; }));
    // Heartbeats say that all is well.
    CHECK_FALSE(pass(300s, [&] { return copy.state().resubscribes > 1; }));
    CHECK(copy.state().connections == 2);
    test::close(loop, copy);
    test::close(loop, feed);
}

}  // namespace
}  // namespace skywire::cxo
