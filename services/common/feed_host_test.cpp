#include "services/common/feed_host.hpp"

#include "base/test.hpp"
#include "cxo/leaf.hpp"
#include "cxo/remote_feed.hpp"
#include "net/test_loop.hpp"
#include "services/common/change_notes.hpp"
#include "services/common/test_store.hpp"

#include <map>
#include <memory>
#include <new>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;
using Check = framework::Check;

const crypto::KeyPair kKeys = crypto::deterministic_key_pair("service");

Bytes bytes_of(std::string_view text) {
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

/// Says what the test has put there.
class Scripted final : public FeedContent {
 public:
    Task<Result<std::vector<cxo::Change>>> changes() override {
        ++asked;
        if (throws > 0) {
            --throws;
            throw std::bad_alloc();
        }
        if (failing) co_return fail(errc::unavailable, "the store is away");
        co_return std::exchange(next, {});
    }
    Duration period() const override { return 10ms; }
    Duration pause() const override { return rest; }

    std::vector<cxo::Change> next;
    Duration rest = 1ms;
    bool failing = false;
    /// The next ones that end with an exception.
    int throws = 0;
    int asked = 0;
};

/// A host on plain TCP.
struct Served {
    Served(net::TestLoop& loop_in, const net::Address& at) : Served(loop_in, loop_in.context, at) {}
    Served(net::TestLoop& loop_in, const net::Context& context, const net::Address& at)
        : loop(loop_in), clock(context.clock) {
        FeedHost::Options options(kKeys);
        options.feed = "sd-services";
        options.config.tcp = at;
        host =
            std::make_unique<FeedHost>(context, /*presence=*/nullptr, content, std::move(options));
        host->start();
    }
    ~Served() { CHECK(loop.run(host->stop(clock.now() + 10s)).empty()); }
    Served(const Served&) = delete;
    Served& operator=(const Served&) = delete;

    void put(const std::string& path, std::string_view value) {
        content.next.push_back({path, bytes_of(value)});
        host->changed();
    }

    net::TestLoop& loop;
    Clock& clock;
    Scripted content;
    std::unique_ptr<FeedHost> host;
};

/// Who follows it.
struct Follower {
    Follower(net::TestLoop& loop_in, const net::Address& at)
        : loop(loop_in),
          node(loop.context, cxo::NodeOptions(crypto::deterministic_key_pair("reader"))),
          feed(
              loop.context,
              node,
              cxo::RemoteFeedOptions(kKeys.public_key, cxo::plain_route(loop.context, at))
          ) {
        feed.start();
    }
    ~Follower() {
        const SteadyTime deadline = loop.context.clock.now() + 10s;
        CHECK(loop.run(feed.close(deadline)).empty());
        CHECK(loop.run(node.close(deadline)).empty());
    }
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;

    void wait_for(const std::string& path, std::string_view value) {
        loop.run_until([&] {
            const auto leaf = feed.tree().get(path);
            return leaf ? as_text(*leaf) == value : value.empty();
        });
    }

    net::TestLoop& loop;
    cxo::Node node;
    cxo::RemoteFeed feed;
};

net::Address any_port() {
    return net::Address::tcp("127.0.0.1", 0);
}

}  // namespace

TEST_CASE("feed host: a subscriber gets the snapshot and what changes, and follows a restart") {
    net::TestLoop loop;
    auto served = std::make_unique<Served>(loop, any_port());
    served->put("a/b", "1");
    const net::Address at = served->host->addresses().at(0);
    Follower follower(loop, at);
    follower.wait_for("a/b", "1");
    served->put("a/b", "2");
    served->put("a/c", "3");
    follower.wait_for("a/c", "3");
    follower.wait_for("a/b", "2");
    CHECK(served->host->check().status == Check::Status::pass);

    served.reset();
    served = std::make_unique<Served>(loop, at);
    served->put("a/b", "4");
    follower.wait_for("a/b", "4");
    follower.wait_for("a/c", "");
}

TEST_CASE("feed host: an empty feed is told of, and a content without changes publishes nothing") {
    net::TestLoop loop;
    Served served(loop, any_port());
    Follower follower(loop, served.host->addresses().at(0));
    loop.run(follower.feed.connect_and_wait_for_root(loop.context.clock.now() + 30s)).value();
    CHECK(follower.feed.tree().empty());
    const int asked = served.content.asked;
    loop.run_until([&] { return served.content.asked > asked + 3; });
    CHECK(served.host->feed().state().seq == 0);
}

TEST_CASE("feed host: what goes wrong is said by health, and goes on") {
    net::TestLoop loop;
    Served served(loop, any_port());
    served.content.failing = true;
    loop.run_until([&] { return served.host->check().status == Check::Status::fail; });
    CHECK(served.host->check().detail == "content: the store is away");
    served.content.failing = false;
    loop.run_until([&] { return served.host->check().status == Check::Status::pass; });
}

TEST_CASE("feed host: an exception is a failure like others, and the feed goes on") {
    net::TestLoop loop;
    Served served(loop, any_port());
    served.put("a", "1");
    Follower follower(loop, served.host->addresses().at(0));
    follower.wait_for("a", "1");
    served.content.throws = 3;
    loop.run_until([&] { return served.host->check().status == Check::Status::fail; });
    CHECK(served.host->check().detail == "content: an exception");
    served.put("a", "2");
    follower.wait_for("a", "2");
    CHECK(served.host->check().status == Check::Status::pass);
    CHECK(loop.metrics.counter("cxo_exceptions_total", "").value() == 3);
}

TEST_CASE("feed host: it rests behind news, and tells at once what comes after a quiet time") {
    TestWorld world;
    Served served(world.loop, world.context, any_port());
    served.content.rest = 10s;
    const auto put = [&](const std::string& path) {
        served.put(path, "1");
        world.loop.settle();
    };
    const auto has = [&](const char* path) { return served.host->feed().get(path).has_value(); };
    put("a");
    CHECK(has("a"));
    put("b");
    CHECK_FALSE(has("b"));
    world.pass(10s, 1s);
    CHECK(has("b"));
    // However long the last rest has been, and whenever the next thing comes.
    world.pass(10s, 1s);
    for (const char* path : {"c", "d", "e"}) {
        world.pass(11s + 7ms, 3ms);
        put(path);
        CHECK(has(path));
    }
}

TEST_CASE("feed host: where it cannot listen it says so, and tries again") {
    TestWorld world;
    auto first = std::make_unique<Served>(world.loop, world.context, any_port());
    Served second(world.loop, world.context, first->host->addresses().at(0));
    CHECK(second.host->check().status == Check::Status::fail);
    CHECK(second.host->check().name == "feed");
    first.reset();
    world.pass(6s, 1s);
    CHECK(second.host->check().status == Check::Status::pass);
}

TEST_CASE("feed host: one that was never started is stopped like the others") {
    net::TestLoop loop;
    Scripted content;
    FeedHost::Options options(kKeys);
    options.feed = "sd-services";
    FeedHost host(loop.context, /*presence=*/nullptr, content, std::move(options));
    CHECK(loop.run(host.stop(loop.context.clock.now() + 10s)).empty());
}

TEST_CASE("feed host: a change that cannot be does not keep the others out") {
    net::TestLoop loop;
    Served served(loop, any_port());
    served.content.next.push_back({"a//b", bytes_of("1")});
    served.content.next.push_back({"empty", Bytes()});
    served.put("good", "2");
    loop.run_until([&] { return served.host->feed().get("good").has_value(); });
    CHECK(
        loop.metrics.counter("feed_changes_refused_total", "", {{"feed", "sd-services"}}).value() ==
        2
    );
}

TEST_CASE("feed host: what cannot follow its earlier value takes that away, and health knows") {
    net::TestLoop loop;
    Served served(loop, any_port());
    served.put("a", "1");
    loop.run_until([&] { return served.host->feed().get("a").has_value(); });
    served.content.next.push_back({"a", Bytes(cxo::kObjectMax + 1)});
    served.put("c", "3");
    loop.run_until([&] { return served.host->feed().get("c").has_value(); });
    CHECK_FALSE(served.host->feed().get("a").has_value());
    CHECK(served.host->check().status == Check::Status::warn);
    // Said until it is mended, whatever else is published.
    served.put("c", "4");
    loop.run_until([&] { return as_text(*served.host->feed().get("c")) == "4"; });
    CHECK(served.host->check().status == Check::Status::warn);
    CHECK(served.host->check().detail == "1 leaves cannot be published: \"a\"");
    served.put("a", "5");
    loop.run_until([&] { return served.host->feed().get("a").has_value(); });
    CHECK(served.host->check().status == Check::Status::pass);
}

TEST_CASE("feed host: large payloads are packed by the workers, to the same bytes") {
    net::TestLoop loop;
    std::string large;
    for (int i = 0; i < 50'000; ++i)
        large += std::to_string(i);
    const Bytes frame = loop.run(pack_leaf(loop.context, large, LeafForm::frame)).value();
    CHECK(frame == cxo::write_frame(large).value());
    CHECK(cxo::read_frame(frame).value() == large);
    const Bytes gzip = loop.run(pack_leaf(loop.context, large, LeafForm::gzip)).value();
    CHECK(cxo::read_gzip(gzip).value() == large);
}

TEST_CASE("change notes: replicas hear of one another, and know when they have missed something") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    TestStore store(world, TestStore::redis(server));
    ChangeNotes first(world.context, store.raw(), "test");
    ChangeNotes second(world.context, store.raw(), "test");
    using Keys = std::vector<std::string>;
    const auto hear = [&](ChangeNotes& notes) { return world.loop.run(notes.hear()).value(); };
    const auto tell = [&](ChangeNotes& notes, Keys keys) {
        world.loop.run(notes.tell(std::move(keys))).value();
    };
    // Whoever begins looks at everything.
    CHECK_FALSE(hear(first));
    CHECK_FALSE(hear(second));
    CHECK(hear(first) == Keys{});
    tell(first, {"a", "b"});
    tell(second, {"c"});
    CHECK(hear(first) == Keys{"c"});
    CHECK(hear(second) == Keys{"a", "b"});
    CHECK(hear(second) == Keys{});
    // A number whose note comes late, and one whose note never comes.
    const auto number = world.loop.run(store.raw().increment("test:feed:changes")).value();
    tell(first, {"d"});
    CHECK(hear(second) == Keys{"d"});
    store::Batch batch;
    batch.changes.emplace_back(
        store::SetValue{"test:feed:change:" + std::to_string(number), "late\n"}
    );
    const bool batch_applied = world.loop.run(store.raw().apply(std::move(batch))).value();
    CHECK(batch_applied);
    CHECK(hear(second) == Keys{"late"});
    world.loop.run(store.raw().increment("test:feed:changes")).value();
    CHECK(hear(second) == Keys{});
    world.clock.advance(3s);
    CHECK_FALSE(hear(second));
    CHECK(hear(second) == Keys{});
    // A database that has been emptied.
    store::Batch erase;
    erase.changes.emplace_back(store::Erase{"test:feed:changes"});
    const bool erase_applied = world.loop.run(store.raw().apply(std::move(erase))).value();
    CHECK(erase_applied);
    CHECK_FALSE(hear(second));
}

}  // namespace skywire::services
