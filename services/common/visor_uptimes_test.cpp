#include "services/common/visor_uptimes.hpp"

#include "base/test.hpp"
#include "services/common/test_store.hpp"
#include "services/common/uptime_answers.hpp"

namespace skywire::services {
namespace {

using namespace std::chrono_literals;

const crypto::PublicKey kVisor = crypto::deterministic_key_pair("visor").public_key;
const crypto::PublicKey kOther = crypto::deterministic_key_pair("other visor").public_key;

/// A minute past midnight.
constexpr WallTime kMorning = Date(std::chrono::year(2026) / 11 / 20) + 1min;

struct World : TestWorld {
    World() { clock.step_wall(kMorning - clock.wall()); }

    void seen(VisorUptimes& uptimes, const crypto::PublicKey& key, std::string version = {}) {
        loop.run(uptimes.seen(key, std::move(version))).value();
    }
    VisorUptimes::Visors read(VisorUptimes& uptimes) {
        clock.advance(VisorUptimes::kAgeMax);
        return loop.run(uptimes.visors()).value();
    }
};

std::optional<UptimeQuestion> asked(std::string_view body, std::string& refusal) {
    UptimeRefusal why;
    auto question = question_of_body(body, why);
    refusal = why.text;
    return question;
}

}  // namespace

TEST_CASE("visor uptimes: heartbeats make a day, and outlast a restart") {
    World world;
    TestStore store(world, TestStore::memory());
    {
        VisorUptimes uptimes(world.context, store.raw(), "test");
        CHECK(world.read(uptimes)->empty());
        world.seen(uptimes, kVisor, "v1.3.29");
        world.clock.advance(30min);
        // What was missed is filled in.
        world.seen(uptimes, kVisor);
    }
    VisorUptimes uptimes(world.context, store.raw(), "test");
    world.clock.advance(10min);
    world.seen(uptimes, kVisor);
    world.seen(uptimes, kOther);
    const auto visors = world.read(uptimes);
    REQUIRE(visors->size() == 2);
    const VisorUptime& visor = visors->at(visors->at(0).key == kVisor ? 0 : 1);
    CHECK(visor.version == "v1.3.29");
    REQUIRE(visor.days.size() == 1);
    CHECK(date_text(visor.days.begin()->first) == "2026-11-20");
    const Timeline& day = visor.days.begin()->second;
    CHECK(day.to_text().substr(0, 10) == "....... . ");
    CHECK(day.count() == 8);
    CHECK(day.percentage() == "2.78");
}

TEST_CASE("visor uptimes: the last heartbeat of a slot counts, too") {
    World world;
    TestStore store(world, TestStore::memory());
    VisorUptimes uptimes(world.context, store.raw(), "test");
    world.seen(uptimes, kVisor);
    world.clock.advance(3min);
    world.seen(uptimes, kVisor);
    world.clock.advance(4min + 30s);
    // Of the first one it is more than six minutes.
    CHECK(uptimes.heard_of(world.read(uptimes)->at(0)));
    world.clock.advance(1min);
    CHECK_FALSE(uptimes.heard_of(world.read(uptimes)->at(0)));
}

TEST_CASE("visor uptimes: days past showing are forgotten") {
    World world;
    TestStore store(world, TestStore::memory());
    VisorUptimes uptimes(world.context, store.raw(), "test");
    world.seen(uptimes, kVisor);
    world.clock.advance(6 * 24h);
    CHECK(world.read(uptimes)->size() == 1);
    world.clock.advance(2 * 24h);
    world.loop.run(uptimes.sweep()).value();
    CHECK(world.read(uptimes)->empty());
    const std::string online = "test:uptime:online:2026-11-20";
    CHECK(world.loop.run(store.raw().members(online)).value().empty());
}

TEST_CASE("visor uptimes: a store that does not answer costs nothing but the heartbeat") {
    World world;
    TestStore store(world, TestStore::memory());
    VisorUptimes uptimes(world.context, store.raw(), "test");
    world.faults.set("store", "memory");
    CHECK_FALSE(world.loop.run(uptimes.seen(kVisor, "v1")));
    CHECK_FALSE(world.loop.run(uptimes.visors()));
    world.faults.clear("store", "memory");
    world.seen(uptimes, kVisor, "v1");
    CHECK(world.read(uptimes)->at(0).version == "v1");
}

TEST_CASE("uptime questions: what a body may hold") {
    std::string refusal;
    const auto whole = asked(
        R"({"pks":["AA;bb"," cc "],"ids":null,"v":"v3","type":"stcpr","edges":true})", refusal
    );
    REQUIRE(whole);
    CHECK(whole->keys == NameSet{"aa", "bb", "cc"});
    CHECK(whole->ids.empty());
    CHECK(whole->version == 3);
    CHECK(whole->type == "stcpr");
    CHECK(whole->edges);
    CHECK(asked("{}", refusal)->version == 1);
    for (const std::string_view bad : {"", "[]", "{", R"({"pks":7})", R"({"ids":[1]})"}) {
        CHECK_FALSE(asked(bad, refusal));
        CHECK(refusal == "invalid JSON body");
    }
    CHECK_FALSE(asked(R"({"v":"v9"})", refusal));
    CHECK(refusal == "unknown version: v9");
}

}  // namespace skywire::services
