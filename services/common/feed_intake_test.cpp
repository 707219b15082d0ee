#include "services/common/feed_intake.hpp"

#include "cxo/raw_peer.hpp"
#include "cxo/test_nodes.hpp"
#include "services/common/test_announcing.hpp"

#include <map>
#include <new>
#include <optional>
#include <set>

#include <boost/asio/post.hpp>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;
using cxo::Carrier;
using cxo::test::bytes_of;
using cxo::test::keys_of;

/// A visor with a feed of its own that connects to an intake.
struct Visor {
    Visor(net::TestLoop& loop_in, std::string_view name, const FeedIntake& intake)
        : loop(loop_in),
          party(loop, name, Carrier::noise),
          feed(loop.context, *party.node, cxo::test::quick(party.keys)) {
        cxo::Node::Dialling dialling;
        dialling.route = cxo::noise_route(loop.context, intake.addresses().at(0));
        const SteadyTime deadline = loop.context.clock.now() + 30s;
        loop.run(party.node->connect(std::move(dialling), announcing, deadline)).value();
    }
    ~Visor() { cxo::test::close(loop, feed); }
    Visor(const Visor&) = delete;
    Visor& operator=(const Visor&) = delete;

    void say(std::string_view words) { REQUIRE(feed.put("words", bytes_of(words))); }

    net::TestLoop& loop;
    /// Told of the end by the party.
    Announcing announcing;
    cxo::test::Party party;
    cxo::Feed feed;
};

FeedIntake::Options options_of() {
    FeedIntake::Options options(keys_of("service"));
    options.spacing = 1ms;
    options.bytes_max = 1'000'000;
    options.weighing = 1h;
    options.patience = 0s;
    return options;
}

/// Series, of which one may not be had at first, as where there is no memory.
class ThrowingMetrics final : public Metrics {
 public:
    explicit ThrowingMetrics(Metrics& inner) : inner_(inner) {}

    Counter& counter(std::string_view name, std::string_view help, Labels labels) override {
        for (const auto& [label, value] : labels) {
            if (value != throws_at || value.empty()) continue;
            throws_at.clear();
            throw std::bad_alloc();
        }
        return inner_.counter(name, help, std::move(labels));
    }
    Gauge& gauge(std::string_view name, std::string_view help, Labels labels) override {
        return inner_.gauge(name, help, std::move(labels));
    }
    Histogram& histogram(
        std::string_view name,
        std::string_view help,
        Labels labels,
        std::span<const double> upper_bounds
    ) override {
        return inner_.histogram(name, help, std::move(labels), upper_bounds);
    }

    /// The value of a label.
    std::string throws_at;

 private:
    Metrics& inner_;
};

/// Writes down what each visor says.
struct Rig {
    explicit Rig(
        FeedIntake::Options options = options_of(),
        Carrier carrier = Carrier::noise,
        ManualClock* manual = nullptr
    )
        : clock(manual),
          loop(manual),
          metrics(loop.metrics),
          context(
              loop.context.loop,
              loop.context.clock,
              loop.random,
              loop.network,
              loop.workers,
              metrics,
              loop.faults,
              log::Logger()
          ) {
        intake = std::make_unique<FeedIntake>(
            context,
            /*presence=*/nullptr,
            std::move(options),
            [this](crypto::PublicKey publisher, cxo::Tree tree) {
                return take(publisher, std::move(tree));
            },
            [this](const crypto::PublicKey& publisher) { forgotten.insert(publisher); }
        );
        intake->serve(
            loop.network.listen(loop.context.loop, net::Address::tcp("127.0.0.1", 0)).value(),
            carrier
        );
        intake->start();
    }
    ~Rig() { CHECK(loop.run(intake->stop(loop.context.clock.now() + 10s)).empty()); }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    Task<FeedIntake::Taken> take(crypto::PublicKey publisher, cxo::Tree tree) {
        crowded = crowded || turns != taken;
        ++taken;
        ++takes[publisher];
        asio::post(loop.ioc, [this] { ++turns; });
        if (clock != nullptr) clock->advance(cost);
        if (throws > 0) {
            --throws;
            throw std::bad_alloc();
        }
        if (refusals > 0) {
            --refusals;
            co_return FeedIntake::Taken::again;
        }
        if (full) co_return FeedIntake::Taken::full;
        const auto words = tree.get("words");
        heard[publisher] = words ? std::string(as_text(*words)) : "";
        co_return words ? FeedIntake::Taken::done : FeedIntake::Taken::nothing;
    }
    void wait_heard(const Visor& visor, std::string_view words) {
        until([&] { return heard[visor.party.keys.public_key] == words; });
    }
    template <class Done>
    void until(Done done, Duration step = 5ms) {
        if (clock == nullptr) {
            loop.run_until(done);
            return;
        }
        for (int i = 0; i < 10'000 && !done(); ++i) {
            clock->advance(step);
            loop.settle();
            // Loopback takes its time, which is no virtual one.
            loop.ioc.run_for(1ms);
            loop.ioc.restart();
        }
        REQUIRE(done());
    }
    void wait_counted(std::string reason) {
        const Counter& counter =
            loop.metrics.counter("cxo_link_events_total", "", {{"reason", std::move(reason)}});
        loop.run_until([&] { return counter.value() > 0; });
    }

    ManualClock* clock;
    net::TestLoop loop;
    ThrowingMetrics metrics;
    net::Context context;
    std::map<crypto::PublicKey, std::string> heard;
    std::map<crypto::PublicKey, int> takes;
    std::set<crypto::PublicKey> forgotten;
    int taken = 0;
    /// Of the loop, for who had to wait for a take.
    int turns = 0;
    /// A take that waited for none.
    bool crowded = false;
    /// How long a take needs.
    Duration cost{0};
    /// The next ones that end with an exception.
    int throws = 0;
    /// The next ones that cannot be taken.
    int refusals = 0;
    /// There is no room for any.
    bool full = false;
    std::unique_ptr<FeedIntake> intake;
};

}  // namespace

TEST_CASE("feed intake: what visors publish is taken, and each change of it") {
    Rig rig;
    Visor one(rig.loop, "one", *rig.intake);
    Visor two(rig.loop, "two", *rig.intake);
    one.say("hello");
    two.say("good day");
    rig.wait_heard(one, "hello");
    rig.wait_heard(two, "good day");
    CHECK(rig.intake->publishers() == 2);
    one.say("news");
    rig.wait_heard(one, "news");
    CHECK(rig.heard[two.party.keys.public_key] == "good day");
    CHECK(rig.intake->check().status == framework::Check::Status::pass);
}

TEST_CASE("feed intake: one that was never started is stopped like the others") {
    net::TestLoop loop;
    FeedIntake intake(
        loop.context,
        /*presence=*/nullptr,
        FeedIntake::Options(keys_of("service")),
        [](const crypto::PublicKey&, const cxo::Tree&) -> Task<FeedIntake::Taken> {
            co_return FeedIntake::Taken::done;
        }
    );
    CHECK(loop.run(intake.stop(loop.context.clock.now() + 10s)).empty());
}

TEST_CASE("feed intake: what has not changed is taken again, where that is wanted") {
    FeedIntake::Options options = options_of();
    options.renew = 10ms;
    Rig rig(std::move(options));
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    const int taken = rig.taken;
    rig.loop.run_until([&] { return rig.taken > taken + 3; });
    CHECK(rig.heard.size() == 1);
}

TEST_CASE("feed intake: of those that came apart each is taken again in its own time") {
    ManualClock clock;
    FeedIntake::Options options = options_of();
    options.renew = 90s;
    Rig rig(std::move(options), Carrier::noise, &clock);
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    const SteadyTime later = clock.now() + 45s;
    rig.until([&] { return clock.now() >= later; }, 1s);
    Visor two(rig.loop, "two", *rig.intake);
    two.say("good day");
    rig.wait_heard(two, "good day");
    const int& of_one = rig.takes[one.party.keys.public_key];
    const int& of_two = rig.takes[two.party.keys.public_key];
    for (int i = 2; i <= 3; ++i) {
        rig.until([&] { return of_one == i; }, 1s);
        CHECK(of_two == i - 1);
        rig.until([&] { return of_two == i; }, 1s);
        CHECK(of_one == i);
    }
}

TEST_CASE("feed intake: between two takes the loop has a turn, and as much time as the first took"
) {
    ManualClock clock;
    FeedIntake::Options options = options_of();
    options.spacing = 1min;
    Rig rig(std::move(options), Carrier::noise, &clock);
    std::vector<std::unique_ptr<Visor>> visors;
    for (const char* name : {"one", "two", "three"}) {
        visors.push_back(std::make_unique<Visor>(rig.loop, name, *rig.intake));
        visors.back()->say("hello");
        rig.wait_heard(*visors.back(), "hello");
    }
    const Histogram& synced = rig.loop.metrics.histogram("cxo_sync_seconds", "");
    const std::uint64_t before = synced.snapshot().count;
    for (const auto& visor : visors)
        visor->say("news");
    rig.until([&] { return synced.snapshot().count == before + 3; });
    REQUIRE(rig.taken == 3);
    SECTION("a turn") {
        clock.advance(1min);
        rig.loop.settle();
        CHECK(rig.taken == 6);
        CHECK_FALSE(rig.crowded);
    }
    SECTION("time") {
        rig.cost = 20ms;
        clock.advance(1min);
        for (int taken = 4; taken <= 6; ++taken) {
            rig.loop.settle();
            CHECK(rig.taken == taken);
            clock.advance(20ms);
        }
    }
}

TEST_CASE("feed intake: of a visor that is gone nothing is taken until it is back") {
    Rig rig;
    Visor two(rig.loop, "two", *rig.intake);
    two.say("hello");
    rig.wait_heard(two, "hello");
    const std::size_t without_one = net::Scope::process_size();
    auto one = std::make_unique<Visor>(rig.loop, "one", *rig.intake);
    const crypto::PublicKey key = one->party.keys.public_key;
    one->say("hello");
    rig.wait_heard(*one, "hello");
    rig.refusals = 1'000'000;
    one->say("news");
    rig.loop.run_until([&] { return rig.refusals < 1'000'000; });
    one.reset();
    // A connection that has ended is let go of once its coroutines are over.
    rig.loop.run_until([&] { return net::Scope::process_size() <= without_one; });
    rig.refusals = 0;
    const int taken = rig.takes[key];
    two.say("good day");
    rig.wait_heard(two, "good day");
    CHECK(rig.takes[key] == taken);
    CHECK(rig.heard[key] == "hello");
    CHECK(rig.intake->publishers() == 2);
    one = std::make_unique<Visor>(rig.loop, "one", *rig.intake);
    one->say("news");
    rig.wait_heard(*one, "news");
}

TEST_CASE("feed intake: an exception is one publisher's, and the others go on") {
    Rig rig;
    rig.throws = 1;
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.loop.run_until([&] { return rig.taken == 1; });
    Visor two(rig.loop, "two", *rig.intake);
    two.say("good day");
    rig.wait_heard(two, "good day");
    CHECK(rig.loop.metrics.counter("cxo_exceptions_total", "").value() == 1);
    CHECK(rig.intake->check().status == framework::Check::Status::pass);
    one.say("news");
    rig.wait_heard(one, "news");
}

TEST_CASE("feed intake: one publisher's changes are not taken one behind the other") {
    FeedIntake::Options options = options_of();
    options.spacing = 1h;
    Rig rig(std::move(options));
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    const Histogram& synced = rig.loop.metrics.histogram("cxo_sync_seconds", "");
    const std::uint64_t before = synced.snapshot().count;
    one.say("news");
    rig.loop.run_until([&] { return synced.snapshot().count > before; });
    // Nobody else waits for it.
    Visor two(rig.loop, "two", *rig.intake);
    two.say("good day");
    rig.wait_heard(two, "good day");
    CHECK(rig.heard[one.party.keys.public_key] == "hello");
    CHECK(rig.taken == 2);
}

TEST_CASE("feed intake: a feed of paths as no visor has them is not taken") {
    Rig rig;
    Visor one(rig.loop, "one", *rig.intake);
    REQUIRE(one.feed.put("a/b/c/d/e/words", bytes_of("deep")));
    const Counter& failed =
        rig.loop.metrics.counter("cxo_fills_failed_total", "", {{"reason", "limit"}});
    rig.loop.run_until([&] { return failed.value() > 0; });
    CHECK(rig.taken == 0);
    REQUIRE(one.feed.remove("a/b/c/d/e/words"));
    one.say("hello");
    rig.wait_heard(one, "hello");
}

TEST_CASE("feed intake: what cannot be taken now is taken later, though it has not changed") {
    Rig rig;
    rig.refusals = 3;
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    CHECK(rig.taken == 4);
}

TEST_CASE("feed intake: what there is no room for is tried again, and not all the time") {
    ManualClock clock;
    FeedIntake::Options options = options_of();
    options.respite = 90s;
    Rig rig(std::move(options), Carrier::noise, &clock);
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    const int before = rig.taken;
    rig.full = true;
    one.say("news");
    rig.until([&] { return rig.taken == before + 1; });
    const SteadyTime first = clock.now();
    rig.until([&] { return rig.taken == before + 2; }, 1s);
    CHECK(clock.now() - first >= 89s);
    rig.full = false;
    std::string& heard = rig.heard[one.party.keys.public_key];
    rig.until([&] { return heard == "news"; }, 1s);
    CHECK(rig.taken == before + 3);
}

TEST_CASE("feed intake: while all feeds together are too large nobody new is followed") {
    FeedIntake::Options options = options_of();
    // Of its three objects a feed of a word has 100 bytes, and they cost more.
    options.bytes_max = 1000;
    Rig rig(std::move(options));
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    Visor two(rig.loop, "two", *rig.intake);
    rig.wait_counted("publishers_bytes_max");
    CHECK(rig.intake->publishers() == 1);
    // Who is known goes on.
    one.say("news");
    rig.wait_heard(one, "news");
}

TEST_CASE("feed intake: of feeds that have grown too large together the newest are let go") {
    FeedIntake::Options options = options_of();
    options.bytes_max = 200'000;
    options.weighing = 1ms;
    Rig rig(std::move(options));
    Visor one(rig.loop, "one", *rig.intake);
    const std::string most(95'000, 'x');
    one.say(most);
    rig.wait_heard(one, most);
    // They come small, and each has no more than one may have.
    std::vector<std::unique_ptr<Visor>> growing;
    std::set<crypto::PublicKey> keys;
    for (int i = 0; i < 8; ++i) {
        growing.push_back(
            std::make_unique<Visor>(rig.loop, fmt::format("growing{}", i), *rig.intake)
        );
        keys.insert(growing.back()->party.keys.public_key);
        growing.back()->say("hello");
        rig.wait_heard(*growing.back(), "hello");
    }
    CHECK(rig.intake->publishers() == 9);
    for (const auto& visor : growing)
        visor->say(std::string(90'000, 'x') + visor->party.keys.public_key.to_text());
    // There is room for one beside the first.
    rig.loop.run_until([&] { return rig.forgotten.size() >= 6; });
    for (const crypto::PublicKey& key : rig.forgotten)
        CHECK(keys.contains(key));
    one.say("news");
    rig.wait_heard(one, "news");
}

TEST_CASE("feed intake: an exception while feeds are weighed leaves them their bound") {
    FeedIntake::Options options = options_of();
    options.bytes_max = 200'000;
    options.weighing = 1ms;
    Rig rig(std::move(options));
    rig.metrics.throws_at = "largest_publisher";
    std::vector<std::unique_ptr<Visor>> growing;
    for (int i = 0; i < 4; ++i) {
        growing.push_back(
            std::make_unique<Visor>(rig.loop, fmt::format("growing{}", i), *rig.intake)
        );
        growing.back()->say("hello");
        rig.wait_heard(*growing.back(), "hello");
    }
    for (const auto& visor : growing)
        visor->say(std::string(90'000, 'x') + visor->party.keys.public_key.to_text());
    const auto is_well = [&] {
        return rig.intake->check().status == framework::Check::Status::pass;
    };
    rig.loop.run_until([&] { return rig.forgotten.size() >= 2 || !is_well(); });
    CHECK(is_well());
    CHECK(rig.metrics.throws_at.empty());
    CHECK(rig.loop.metrics.counter("cxo_exceptions_total", "").value() == 1);
}

TEST_CASE("feed intake: a feed above its size is not taken, and what it said before stays") {
    FeedIntake::Options options = options_of();
    options.feed_bytes_max = 10'000;
    Rig rig(std::move(options));
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    // As many small leaves.
    std::vector<cxo::Change> changes;
    changes.reserve(100);
    for (int i = 0; i < 100; ++i)
        changes.push_back({fmt::format("leaf{}", i), bytes_of(std::string(200, 'x'))});
    const auto batched = one.feed.batch(std::move(changes));
    REQUIRE(batched);
    const Counter& failed =
        rig.loop.metrics.counter("cxo_fills_failed_total", "", {{"reason", "limit"}});
    rig.loop.run_until([&] { return failed.value() > 0; });
    CHECK(rig.heard[one.party.keys.public_key] == "hello");
    // One object that is larger ends the connection before any of it is kept.
    Visor two(rig.loop, "two", *rig.intake);
    two.say(std::string(300'000, 'x'));
    const Counter& ended = rig.loop.metrics.counter("cxo_ended_total", "", {{"reason", "limit"}});
    rig.loop.run_until([&] { return ended.value() > 0; });
    CHECK_FALSE(rig.heard.contains(two.party.keys.public_key));
}

TEST_CASE("feed intake: who says nothing of use gives way to others, and nobody else does") {
    FeedIntake::Options options = options_of();
    options.feeds_max = 2;
    Rig rig(std::move(options));
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    Visor idle(rig.loop, "idle", *rig.intake);
    rig.loop.run_until([&] { return rig.intake->publishers() == 2; });
    REQUIRE(idle.feed.put("something", bytes_of("else")));
    rig.loop.run_until([&] { return rig.heard.contains(idle.party.keys.public_key); });

    Visor two(rig.loop, "two", *rig.intake);
    rig.wait_counted("idle_publisher");
    two.say("good day");
    rig.wait_heard(two, "good day");
    CHECK(rig.forgotten == std::set{idle.party.keys.public_key});
    // All places are taken by who has said something.
    Visor three(rig.loop, "three", *rig.intake);
    rig.wait_counted("feeds_max");
    const Counter& refused =
        rig.loop.metrics.counter("cxo_refused_total", "", {{"reason", "forbidden"}});
    rig.loop.run_until([&] { return refused.value() == 1; });
    CHECK(rig.intake->publishers() == 2);
    one.say("news");
    rig.wait_heard(one, "news");
}

TEST_CASE("feed intake: who has just come has the time to say something") {
    FeedIntake::Options options = options_of();
    options.feeds_max = 1;
    options.patience = 1h;
    Rig rig(std::move(options));
    Visor one(rig.loop, "one", *rig.intake);
    rig.loop.run_until([&] { return rig.intake->publishers() == 1; });
    Visor two(rig.loop, "two", *rig.intake);
    rig.wait_counted("feeds_max");
    CHECK(rig.forgotten.empty());
    one.say("hello");
    rig.wait_heard(one, "hello");
}

TEST_CASE("feed intake: a key that nobody has proven has no feed here") {
    Rig rig(options_of(), Carrier::plain);
    Announcing announcing;
    cxo::test::Party party(rig.loop, "one", Carrier::plain);
    cxo::Node::Dialling dialling;
    dialling.route = cxo::plain_route(rig.loop.context, rig.intake->addresses().at(0));
    const SteadyTime deadline = rig.loop.context.clock.now() + 30s;
    rig.loop.run(party.node->connect(std::move(dialling), announcing, deadline)).value();
    const Counter& refused =
        rig.loop.metrics.counter("cxo_refused_total", "", {{"reason", "forbidden"}});
    rig.loop.run_until([&] { return refused.value() == 1; });
    CHECK(rig.intake->publishers() == 0);
}

TEST_CASE("feed intake: who claims another's key is refused, and the other goes on") {
    Rig rig;
    Visor one(rig.loop, "one", *rig.intake);
    one.say("hello");
    rig.wait_heard(one, "hello");
    const net::Context& context = rig.loop.context;
    auto dialled = context.network.dial(context.loop, rig.intake->addresses().at(0));
    auto carried = rig.loop.run(cxo::carry(
        context,
        Carrier::noise,
        noise::Role::initiator,
        keys_of("forger"),
        rig.loop.run(std::move(dialled)).value(),
        context.clock.now() + 30s
    ));
    cxo::test::RawPeer forger(rig.loop, std::move(carried.value().stream));
    forger.send(cxo::Syn{cxo::kProtocolVersion, one.party.keys.public_key});
    CHECK(forger.ended());
    const Counter& refused =
        rig.loop.metrics.counter("cxo_refused_total", "", {{"reason", "forbidden"}});
    CHECK(refused.value() == 1);
    CHECK(rig.intake->publishers() == 1);
    CHECK(rig.forgotten.empty());
    one.say("news");
    rig.wait_heard(one, "news");
}

}  // namespace skywire::services
