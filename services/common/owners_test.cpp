#include "services/common/owners.hpp"

#include "dmsg/client/client_rig.hpp"
#include "dmsg/control.hpp"
#include "net/scope.hpp"
#include "services/common/test_store.hpp"
#include "store/memory.hpp"

#include <map>
#include <set>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;
using crypto::PublicKey;

PublicKey key_of(int number) {
    return crypto::deterministic_key_pair("owner " + std::to_string(number)).public_key;
}

/// Answers for owners as the test says; takes all of its 10 s for the silent ones.
struct Answers {
    std::set<PublicKey> living;
    bool connected = true;
    std::map<PublicKey, std::vector<SteadyTime>> asked;
    std::size_t at_once = 0;
    std::size_t at_once_max = 0;
};

class TestProber final : public Prober {
 public:
    TestProber(Clock& clock, Answers& answers) : clock_(clock), answers_(answers) {}

    Task<Life> probe(PublicKey owner) override {
        answers_.asked[owner].push_back(clock_.now());
        answers_.at_once_max = std::max(answers_.at_once_max, ++answers_.at_once);
        const bool living = answers_.living.contains(owner);
        if (!living) co_await net::sleep_for(clock_, 10s);
        --answers_.at_once;
        if (!answers_.connected) co_return Life::unknown;
        co_return living ? Life::alive : Life::silent;
    }

 private:
    Clock& clock_;
    Answers& answers_;
};

/// Owners over a prober of the test, on a still clock.
class Rig {
 public:
    Rig(TestWorld& world, Owners::Options options) : world_(world), scope_(world.context.loop) {
        Owners::Events events;
        events.alive = [this](const PublicKey& key) -> Task<> {
            ++alive[key];
            co_return;
        };
        events.gone = [this](const PublicKey& key) -> Task<> {
            gone.emplace(key, world_.clock.now());
            if (drops) owners->set_records(key, 0);
            co_return;
        };
        owners = std::make_unique<Owners>(
            world.context,
            std::make_unique<TestProber>(world.clock, answers),
            scope_,
            std::move(events),
            std::move(options)
        );
        world.loop.run(owners->open()).value();
    }
    ~Rig() {
        const SteadyTime now = world_.clock.now();
        CHECK(world_.loop.run(scope_.close(world_.clock, now, now + 1s)).empty());
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    void start() {
        owners->start();
        world_.loop.settle();
    }

    Answers answers;
    std::map<PublicKey, int> alive;
    std::multimap<PublicKey, SteadyTime> gone;
    bool drops = true;
    std::unique_ptr<Owners> owners;

 private:
    TestWorld& world_;
    net::Scope scope_;
};

Owners::Options held_for(Duration timeout, store::Store* store = nullptr) {
    Owners::Options options;
    options.held_timeout = timeout;
    options.store = store;
    options.prefix = "test";
    return options;
}

}  // namespace

TEST_CASE("owners: signs every five minutes keep an owner for 30 days, and nobody asks it") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.owners->set_records(key_of(1), 1);
    rig.start();
    for (int i = 0; i < 30 * 24 * 12; ++i) {
        world.pass(5min - 1s, 5min);
        rig.owners->seen(key_of(1));
    }
    CHECK(rig.gone.empty());
    CHECK(rig.answers.asked.empty());
    CHECK(rig.alive[key_of(1)] >= 30 * 24 * 12 - 1);
}

TEST_CASE("owners: an answered probe is a sign, every five minutes") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.answers.living.insert(key_of(1));
    rig.owners->set_records(key_of(1), 1);
    rig.start();
    world.pass(48h, 1min);
    CHECK(rig.gone.empty());
    CHECK(rig.answers.asked[key_of(1)].size() == 48 * 12);
    CHECK(rig.owners->last_seen(key_of(1)) >= world.clock.wall() - 5min);
}

TEST_CASE("owners: a killed owner is gone within nine minutes, after three probes a minute apart") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.owners->set_records(key_of(1), 3);
    rig.start();
    world.pass(1min);
    rig.owners->seen(key_of(1));
    const SteadyTime killed = world.clock.now();
    world.pass(9min);
    REQUIRE(rig.gone.count(key_of(1)) == 1);
    const auto& asked = rig.answers.asked[key_of(1)];
    REQUIRE(asked.size() == 3);
    CHECK(asked[0] >= killed + 5min);
    CHECK(asked[1] >= asked[0] + 60s);
    CHECK(asked[2] >= asked[1] + 60s);
    world.pass(1h);
    CHECK(rig.gone.count(key_of(1)) == 1);
    CHECK(rig.owners->last_seen(key_of(1)) == WallTime());
}

TEST_CASE("owners: a sign between the probes begins the count anew") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.owners->set_records(key_of(1), 1);
    rig.start();
    world.pass(6min + 30s);
    CHECK(rig.answers.asked[key_of(1)].size() == 2);
    rig.owners->seen(key_of(1));
    world.pass(5min + 30s);
    CHECK(rig.gone.empty());
    CHECK(rig.answers.asked[key_of(1)].size() == 3);
    // One while the last probe runs, too.
    world.pass(1min + 36s);
    CHECK(rig.answers.asked[key_of(1)].size() == 5);
    rig.owners->seen(key_of(1));
    world.pass(20s);
    CHECK(rig.gone.empty());
    world.pass(10min);
    CHECK(rig.gone.size() == 1);
}

TEST_CASE("owners: without a session there is no verdict before the held timeout") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.answers.connected = false;
    rig.owners->set_records(key_of(1), 1);
    rig.start();
    world.pass(23h + 59min, 1min);
    CHECK(rig.gone.empty());
    CHECK(rig.answers.asked[key_of(1)].size() > 100);
    world.pass(2min);
    CHECK(rig.gone.size() == 1);
    CHECK(world.counted("owners_gone_total", "reason", "timeout") == 1);
}

TEST_CASE("owners: probes that could not tell do not count, and do not undo those that could") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.owners->set_records(key_of(1), 1);
    rig.start();
    world.pass(6min + 30s);
    rig.answers.connected = false;
    world.pass(1h);
    CHECK(rig.gone.empty());
    rig.answers.connected = true;
    world.pass(2min);
    CHECK(rig.gone.size() == 1);
}

TEST_CASE("owners: a held timeout of zero is never") {
    TestWorld world;
    Rig rig(world, held_for(Duration(0)));
    rig.answers.connected = false;
    rig.owners->set_records(key_of(1), 1);
    rig.start();
    world.pass(40 * 24h, 5min);
    CHECK(rig.gone.empty());
}

TEST_CASE("owners: twenty are asked at a time, and all of them in the end") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.start();
    for (int i = 0; i < 100; ++i)
        rig.owners->set_records(key_of(i), 1);
    world.pass(15min);
    CHECK(rig.answers.at_once_max == 20);
    CHECK(rig.gone.size() == 100);
    CHECK(rig.answers.asked.size() == 100);
}

TEST_CASE("owners: records that could not be dropped are told again") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.drops = false;
    rig.owners->set_records(key_of(1), 1);
    rig.start();
    world.pass(9min);
    CHECK(rig.gone.size() == 1);
    world.pass(9min);
    CHECK(rig.gone.size() == 2);
    rig.drops = true;
    world.pass(9min);
    CHECK(rig.gone.size() == 3);
    world.pass(1h);
    CHECK(rig.gone.size() == 3);
}

TEST_CASE("owners: a key without records is nobody's concern") {
    TestWorld world;
    Rig rig(world, held_for(24h));
    rig.start();
    rig.owners->seen(key_of(1));
    rig.owners->set_records(key_of(2), 1);
    rig.owners->set_records(key_of(2), 0);
    world.pass(1h);
    CHECK(rig.answers.asked.empty());
    CHECK(rig.alive.empty());
    CHECK(rig.owners->last_seen(key_of(1)) == WallTime());
}

TEST_CASE("owners: over a restart the time that the service was down does not count") {
    TestWorld world;
    const auto store = store::make_memory_store(world.context);
    WallTime sign;
    {
        Rig rig(world, held_for(24h, store.get()));
        rig.answers.connected = false;
        rig.owners->set_records(key_of(1), 1);
        rig.owners->set_records(key_of(2), 1);
        rig.owners->set_records(key_of(3), 1);
        rig.start();
        world.pass(1h);
        rig.owners->seen(key_of(1));
        sign = world.clock.wall();
        rig.owners->set_records(key_of(3), 0);
        world.pass(10h, 1min);
    }
    world.clock.advance(72h);
    {
        Rig rig(world, held_for(24h, store.get()));
        rig.answers.connected = false;
        rig.owners->set_records(key_of(1), 1);
        rig.start();
        const Duration off = rig.owners->last_seen(key_of(1)) - (sign + 72h);
        CHECK(off >= -1s);
        CHECK(off <= 1min);
        world.pass(13h + 55min, 1min);
        CHECK(rig.gone.empty());
        world.pass(7min, 1min);
        CHECK(rig.gone.size() == 1);
    }
    // Neither the one that was dropped nor the one that was not named again is remembered.
    CHECK(world.loop.run(store->members("test:owners")).value().empty());
    CHECK(world.loop.run(store->close(SteadyTime::max())));
}

TEST_CASE("owners: nor does it after a second restart, before there was a new sign") {
    TestWorld world;
    const auto store = store::make_memory_store(world.context);
    {
        Rig rig(world, held_for(24h, store.get()));
        rig.answers.connected = false;
        rig.owners->set_records(key_of(1), 1);
        rig.start();
        world.pass(1h, 1min);
    }
    for (int restart = 0; restart < 3; ++restart) {
        world.clock.advance(30h);
        Rig rig(world, held_for(24h, store.get()));
        rig.answers.connected = false;
        rig.owners->set_records(key_of(1), 1);
        rig.start();
        world.pass(2min, 1min);
        CHECK(rig.gone.empty());
    }
    CHECK(world.loop.run(store->close(SteadyTime::max())));
}

TEST_CASE("owners: of two services on one Redis each knows the other's signs") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    TestStore first_store(world, TestStore::redis(server));
    TestStore second_store(world, TestStore::redis(server));
    Rig first(world, held_for(24h, &first_store.raw()));
    Rig second(world, held_for(24h, &second_store.raw()));
    first.owners->set_records(key_of(1), 1);
    second.owners->set_records(key_of(1), 1);
    first.start();
    second.start();
    const std::string name = "test:owners:" + key_of(1).to_text();
    for (int i = 0; i < 20; ++i) {
        first_store.wait_idle();
        second_store.wait_idle();
        world.clock.advance(1min);
        first.owners->seen(key_of(1));
        const std::string now = std::to_string(
            std::chrono::duration_cast<std::chrono::seconds>(world.clock.wall().time_since_epoch())
                .count()
        );
        while (world.loop.run(first_store.raw().get(name)).value() != now)
            world.loop.settle();
        world.loop.settle();
    }
    CHECK(second.answers.asked.empty());
    CHECK(second.gone.empty());
}

TEST_CASE(
    "owners: a probe over dmsg tells the living from the silent, and knows when it cannot tell"
) {
    dmsg::test::Rig rig;
    rig.start_server("server");
    rig.wait_registered("server");
    dmsg::Client& service = rig.add_client("service");
    dmsg::Client& visor = rig.add_client("visor");
    auto& node = rig.world.node("service");
    const auto prober = make_dmsg_prober(node.context(), service);
    const auto probe = [&](const std::string& name) {
        return rig.world.run(prober->probe(dmsg::test::key_of(name)));
    };
    net::Scope scope(rig.world.node("visor").context().loop);
    const std::shared_ptr<net::Listener> control = visor.listen(dmsg::kControlPort).value();
    scope.spawn("control", [&] {
        return dmsg::serve_control(rig.world.node("visor").context(), control);
    });
    CHECK(probe("visor") == Life::alive);
    CHECK(probe("visor") == Life::alive);
    CHECK(probe("stranger") == Life::unknown);

    // Killed: its entry stays, its session ends or falls silent.
    rig.world.node("visor").freeze();
    CHECK(probe("visor") == Life::silent);
    rig.memory.down = true;
    CHECK(probe("visor") == Life::unknown);
    rig.memory.down = false;
    rig.world.node("visor").thaw();
    REQUIRE(rig.world.run_until([&] { return probe("visor") == Life::alive; }, 5min));

    // No session of ours: nothing can be said of anybody.
    rig.world.isolate(node);
    REQUIRE(rig.world.run_until([&] { return service.servers().empty(); }, 30min));
    CHECK(probe("visor") == Life::unknown);
    rig.world.heal();
    control->close();
    const SteadyTime now = rig.world.clock().now();
    CHECK(rig.world.run(scope.close(rig.world.clock(), now, now + 5s)).empty());
}

}  // namespace skywire::services
