#include "cxo/subscription_manager.hpp"

#include "cxo/test_nodes.hpp"
#include "net/scope.hpp"

#include <algorithm>
#include <map>
#include <memory>

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::content_of;
using test::Diary;
using test::fill;
using test::Party;
using test::quick;
using namespace std::chrono_literals;

/// The machine's clock, and throws as often as it is told to.
class ThrowingClock final : public Clock {
 public:
    SteadyTime now() const override {
        if (throws > 0) {
            --throws;
            throw std::runtime_error("no time");
        }
        return clock_.now();
    }
    WallTime wall() const override { return clock_.wall(); }
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override {
        return clock_.set_alarm(at, std::move(on_time));
    }

    mutable int throws = 0;

 private:
    SystemClock clock_;
};

/// One publisher, whose feed has two names.
struct Rig {
    Rig() {
        publisher.serve();
        feed.emplace(loop.context, *publisher.node, quick(publisher.keys));
        REQUIRE(fill(*feed, 30));
        SubscriptionManagerOptions options;
        options.route = [this](const crypto::PublicKey&, std::uint16_t) {
            return publisher.route();
        };
        options.linger = 100ms;
        const net::Context& own = loop.context;
        const net::Context context(
            own.loop,
            clock,
            own.random,
            own.network,
            own.workers,
            own.metrics,
            own.faults,
            own.logger
        );
        manager.emplace(context, *reader.node, std::move(options));
        manager->define({"all", publisher.keys.public_key, 53, ""});
        manager->define({"part", publisher.keys.public_key, 53, "dir2"});
        manager->define_missing("lost", "no configuration tells its publisher");
    }
    ~Rig() {
        test::close(loop, *manager);
        if (feed) test::close(loop, *feed);
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    SteadyTime soon() { return loop.context.clock.now() + 30s; }
    bool running() { return manager->rows().front().running; }

    net::TestLoop loop;
    /// The manager's.
    ThrowingClock clock;
    Party publisher{loop, "publisher", Carrier::plain};
    Party reader{loop, "reader", Carrier::plain};
    std::optional<Feed> feed;
    std::optional<SubscriptionManager> manager;
};

TEST_CASE("subscription manager: a feed is opened at its first use and closed behind the last") {
    Rig rig;
    CHECK_FALSE(rig.running());
    auto all = rig.manager->open("all");
    REQUIRE(all);
    CHECK(rig.running());
    CHECK_FALSE(all->read().has_value());
    REQUIRE(rig.loop.run(all->wait_live(rig.soon())));
    const auto reading = all->read();
    REQUIRE(reading.has_value());
    CHECK(reading->live);
    CHECK(reading->route == rig.publisher.route().name);
    CHECK(content_of(reading->tree) == content_of(rig.feed->tree()));
    CHECK(all->state().value().leaves == 30);

    // The other name shares the connection.
    auto part = rig.manager->open("part");
    REQUIRE(part);
    Diary diary;
    const Subscription subscription = part->subscribe(diary.writer());
    CHECK(diary.content == content_of(rig.feed->tree(), "dir2"));
    CHECK(rig.publisher.node->status().accepted == 1);
    {
        const auto row = rig.manager->rows().front();
        CHECK(row.name == "all");
        CHECK(row.publisher == rig.publisher.keys.public_key);
        CHECK(row.port == 53);
        CHECK(row.prefix.empty());
        CHECK(row.route == rig.publisher.route().name);
        CHECK(row.references == 1);
        CHECK_FALSE(row.pinned);
        CHECK(row.connected);
        CHECK(row.live);
        CHECK(row.paths == 30);
        CHECK(row.bytes == rig.feed->state().bytes);
        CHECK(row.seq == rig.feed->state().seq);
        CHECK(row.error.empty());
    }
    all->reset();
    REQUIRE(rig.feed->put("dir2/leaf2", bytes_of("new")));
    rig.loop.run_until([&] { return diary.updates == 2; });
    CHECK(rig.running());

    part->reset();
    rig.loop.run_until([&] { return !rig.running(); });
    rig.loop.run_until([&] { return rig.publisher.node->status().accepted == 0; });
    // What was read stays, and gets older.
    const auto row = rig.manager->rows().back();
    CHECK(row.name == "part");
    CHECK(row.paths == diary.content.size());
    CHECK(row.sample.size() == 5 - (row.paths < 5 ? 5 - row.paths : 0));
    CHECK_FALSE(row.live);
    CHECK(row.age.has_value());
}

TEST_CASE("subscription manager: behind its last reader a feed stays open for ten seconds") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    Party publisher(loop, "publisher", Carrier::plain);
    Party reader(loop, "reader", Carrier::plain);
    publisher.serve();
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    REQUIRE(fill(feed, 30));
    SubscriptionManagerOptions options;
    options.route = [&](const crypto::PublicKey&, std::uint16_t) { return publisher.route(); };
    SubscriptionManager manager(loop.context, *reader.node, std::move(options));
    manager.define({"all", publisher.keys.public_key, 53, ""});
    const auto pass = [&](Duration time) {
        for (Duration passed{}; passed < time; passed += 100ms) {
            clock.advance(100ms);
            loop.settle();
            // Loopback takes its time, which is no virtual one.
            loop.ioc.run_for(1ms);
            loop.ioc.restart();
        }
    };
    const auto running = [&] { return manager.rows().front().running; };
    const auto wait_live = [&](const SubscriptionManager::Handle& handle) {
        for (int i = 0; i < 300; ++i) {
            const auto reading = handle.read();
            if (reading && reading->live) return true;
            pass(100ms);
        }
        return false;
    };
    auto handle = manager.open("all").value();
    REQUIRE(wait_live(handle));
    handle.reset();
    pass(9900ms);
    CHECK(running());
    // In time: nothing has to be fetched.
    handle = manager.open("all").value();
    CHECK(handle.read()->live);
    pass(1min);
    CHECK(running());
    handle.reset();
    pass(5s);
    // Whoever reads once and lets go at once does not cut that short.
    std::optional<Result<SubscriptionManager::Reading>> once;
    once = loop.run(manager.read_once("all", clock.now() + 10s));
    REQUIRE(*once);
    pass(4900ms);
    CHECK(running());
    CHECK(test::count(loop, "cxo_connections_total", "dialled", "direction") == 1);
    pass(200ms);
    CHECK_FALSE(running());
    // By itself it stays for nobody.
    once.reset();
    handle = manager.open("all").value();
    REQUIRE(wait_live(handle));
    CHECK(test::count(loop, "cxo_connections_total", "dialled", "direction") == 2);
    handle.reset();
    pass(11s);
    CHECK_FALSE(running());
    test::close(loop, manager);
    test::close(loop, feed);
}

TEST_CASE("subscription manager: the table tells why a feed is not there, and how old its copy is"
) {
    Rig rig;
    auto handle = rig.manager->open("all");
    REQUIRE(rig.loop.run(handle->wait_live(rig.soon())));
    const auto seq = rig.feed->state().seq;
    test::close(rig.loop, *rig.feed);
    rig.feed.reset();
    rig.publisher.close();
    rig.loop.run_until([&] { return !rig.manager->rows().front().error.empty(); });
    const auto row = rig.manager->rows().front();
    CHECK(row.running);
    CHECK_FALSE(row.connected);
    CHECK_FALSE(row.live);
    CHECK(row.paths == 30);
    CHECK(row.seq == seq);
    REQUIRE(row.age.has_value());
    rig.loop.run_until([&] { return rig.manager->rows().front().age > row.age; });
    // The copy is read all the same.
    const auto reading = handle->read();
    REQUIRE(reading.has_value());
    CHECK_FALSE(reading->live);
    CHECK(reading->tree.count() == 30);
}

TEST_CASE("subscription manager: a feed in use is taken up again before it is closed") {
    Rig rig;
    const auto first = rig.manager->read("all");
    REQUIRE(first);
    CHECK_FALSE(first->has_value());
    auto handle = rig.manager->open("all");
    REQUIRE(handle);
    REQUIRE(rig.loop.run(handle->wait_live(rig.soon())));
    handle->reset();
    const auto again = rig.manager->read("all");
    REQUIRE(again);
    REQUIRE(again->has_value());
    CHECK((*again)->live);
    CHECK(rig.publisher.node->status().accepted == 1);
    rig.loop.run_until([&] { return !rig.running(); });
    CHECK(
        rig.loop.metrics.counter("cxo_connections_total", "", {{"direction", "dialled"}}).value() ==
        1
    );
}

TEST_CASE("subscription manager: pinned feeds stay, one-off reads do not") {
    Rig rig;
    REQUIRE(rig.manager->pin("part"));
    auto handle = rig.manager->open("part");
    REQUIRE(rig.loop.run(handle->wait_live(rig.soon())));
    handle->reset();
    CHECK(rig.loop.run(rig.manager->read_once("all", rig.soon())).has_value());
    CHECK(rig.running());
    CHECK(rig.manager->rows().back().pinned);
    REQUIRE(rig.manager->pin("part", false));
    rig.loop.run_until([&] { return !rig.running(); });

    const auto once = rig.loop.run(rig.manager->read_once("all", rig.soon()));
    REQUIRE(once);
    CHECK(content_of(once->tree) == content_of(rig.feed->tree()));
    rig.loop.run_until([&] { return !rig.running(); });
}

TEST_CASE("subscription manager: an exception behind a release is counted, and the feed closed") {
    Rig rig;
    auto handle = rig.manager->open("all");
    REQUIRE(handle);
    REQUIRE(rig.loop.run(handle->wait_live(rig.soon())));
    handle->reset();
    // The feed's own coroutines wait for bytes: the next to ask is what closes it, and then the
    // pause behind the exception.
    const int throws = GENERATE(1, 3);
    rig.clock.throws = throws;
    Counter& exceptions = rig.loop.metrics.counter("cxo_exceptions_total", "");
    rig.loop.run_until([&] { return exceptions.value() == static_cast<std::uint64_t>(throws); });
    rig.loop.run_until([&] { return !rig.running(); });
    rig.loop.run_until([&] { return rig.publisher.node->status().accepted == 0; });

    auto again = rig.manager->open("all");
    REQUIRE(again);
    REQUIRE(rig.loop.run(again->wait_live(rig.soon())));
    const auto reading = again->read();
    REQUIRE(reading.has_value());
    CHECK(content_of(reading->tree) == content_of(rig.feed->tree()));
    again->reset();
    rig.loop.run_until([&] { return !rig.running(); });
    CHECK(exceptions.value() == static_cast<std::uint64_t>(throws));
}

TEST_CASE("subscription manager: closed in the middle of closing what nobody reads any more") {
    struct Publisher {
        explicit Publisher(net::TestLoop& loop_in, std::string_view name)
            : loop(loop_in), party(loop, name, Carrier::plain) {
            party.serve();
            feed.emplace(loop.context, *party.node, quick(party.keys));
            REQUIRE(fill(*feed, 3));
        }
        ~Publisher() { test::close(loop, *feed); }
        Publisher(const Publisher&) = delete;
        Publisher& operator=(const Publisher&) = delete;

        net::TestLoop& loop;
        Party party;
        std::optional<Feed> feed;
    };
    net::TestLoop loop;
    Party reader(loop, "reader", Carrier::plain);
    std::vector<std::unique_ptr<Publisher>> publishers;
    std::map<crypto::PublicKey, Route> routes;
    for (const std::string_view name : {"a", "b", "c", "d"}) {
        publishers.push_back(std::make_unique<Publisher>(loop, name));
        const Party& party = publishers.back()->party;
        routes.emplace(party.keys.public_key, party.route());
    }
    SubscriptionManagerOptions options;
    options.linger = {};
    options.route = [&](const crypto::PublicKey& key, std::uint16_t) { return routes.at(key); };
    SubscriptionManager manager(loop.context, *reader.node, std::move(options));
    std::vector<SubscriptionManager::Handle> handles;
    for (const auto& [key, route] : routes) {
        manager.define({key.to_text(), key, 53, ""});
        handles.push_back(manager.open(key.to_text()).value());
    }
    for (const auto& handle : handles)
        REQUIRE(loop.run(handle.wait_live(loop.context.clock.now() + 30s)));
    const auto running = [&] {
        const auto rows = manager.rows();
        return std::count_if(rows.begin(), rows.end(), [](const auto& row) { return row.running; });
    };
    // One after the other they are closed by themselves, and so far it gets.
    const auto left = GENERATE(4, 3, 1);
    handles.clear();
    loop.run_until([&] { return running() <= left; });
    test::close(loop, manager);
    CHECK(running() == 0);
    CHECK(test::count(loop, "cxo_connections_total", "dialled", "direction") == 4);
}

TEST_CASE("subscription manager: whoever is interrupted while closing it closes it all the same") {
    Rig rig;
    auto handle = rig.manager->open("all");
    REQUIRE(handle);
    REQUIRE(rig.loop.run(handle->wait_live(rig.soon())));
    std::optional<std::vector<std::string>> late;
    net::Scope owner(rig.loop.context.loop);
    owner.spawn("owner", [&]() -> Task<> { late = co_await rig.manager->close(rig.soon()); });
    owner.cancel();
    rig.loop.run_until([&] { return owner.size() == 0; });
    CHECK(late == std::vector<std::string>());
    CHECK_FALSE(rig.running());
}

TEST_CASE("subscription manager: names that are not there say so") {
    Rig rig;
    CHECK(rig.manager->open("nobody").error() == errc::not_found);
    CHECK(rig.manager->open("lost").error() == errc::unavailable);
    CHECK(
        rig.manager->read("lost").error().message() ==
        "feed lost: no configuration tells its publisher"
    );
    const auto rows = rig.manager->rows();
    REQUIRE(rows.size() == 3);
    CHECK(rows[1].name == "lost");
    CHECK(rows[1].error == "no configuration tells its publisher");
    test::close(rig.loop, *rig.manager);
    CHECK(rig.manager->open("all").error() == errc::closed);
    CHECK(rig.loop.run(rig.manager->read_once("all", rig.soon())).error() == errc::closed);
}

TEST_CASE("subscription manager: a handle may outlive it") {
    SubscriptionManager::Handle handle;
    {
        Rig rig;
        handle = rig.manager->open("all").value();
        test::close(rig.loop, *rig.manager);
        CHECK_FALSE(handle.read().has_value());
        CHECK_FALSE(handle.state().has_value());
        rig.manager.reset();
        CHECK_FALSE(handle.read().has_value());
        CHECK(rig.loop.run(handle.wait_live(rig.soon())).error() == errc::closed);
        handle.reset();
        rig.manager.emplace(rig.loop.context, *rig.reader.node, SubscriptionManagerOptions());
    }
}

}  // namespace
}  // namespace skywire::cxo
