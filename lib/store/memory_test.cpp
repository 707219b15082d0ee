#include "store/memory.hpp"

#include "base/test.hpp"
#include "store/store_suite.hpp"
#include "store/table.hpp"

namespace skywire::store {
namespace {

using namespace std::chrono_literals;

TEST_CASE("memory store: behaves as every store does") {
    net::TestLoop loop;
    const auto store = make_memory_store(loop.context);
    CHECK(store->kind() == "memory");
    check_store_behaviour(loop, *store);
}

TEST_CASE("memory store: a key is gone the moment its lifetime ends") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    const auto store = make_memory_store(loop.context);
    must_apply(loop, *store, SetValue{"short", "1", 10s});
    must_apply(loop, *store, SetValue{"long", "2", 100s});
    must_apply(loop, *store, SetValue{"forever", "3"});
    clock.advance(10s - 1ns);
    CHECK(loop.run(store->get("short")).value() == "1");
    clock.advance(1ns);
    CHECK(loop.run(store->get("short")).value() == std::nullopt);
    CHECK(loop.run(store->get("long")).value() == "2");

    // For an expectation it does not exist either, and it can be set anew.
    Batch batch = one_value("short", "again", 5s);
    batch.expected = {{"short", std::nullopt}};
    CHECK(loop.run(store->apply(batch)).value());

    // A later expiry replaces an earlier one, an earlier one a later one, none both.
    must_apply(loop, *store, SetValue{"long", "2", 1s});
    must_apply(loop, *store, SetValue{"short", "again", 1000s});
    clock.advance(1s);
    CHECK(loop.run(store->get("long")).value() == std::nullopt);
    clock.advance(500s);
    CHECK(loop.run(store->get("short")).value() == "again");
    must_apply(loop, *store, SetValue{"short", "kept"});
    clock.advance(100'000h);
    CHECK(loop.run(store->get("short")).value() == "kept");
    CHECK(loop.run(store->get("forever")).value() == "3");
}

TEST_CASE("memory store: a counter keeps its lifetime and begins anew after it") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    const auto store = make_memory_store(loop.context);
    must_apply(loop, *store, SetValue{"n", "5", 10s});
    CHECK(loop.run(store->increment("n")).value() == 6);
    clock.advance(10s);
    CHECK(loop.run(store->increment("n")).value() == 1);
    clock.advance(1000s);
    CHECK(loop.run(store->increment("n")).value() == 2);
}

TEST_CASE("memory store: expired keys make room and what is full says so") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    const auto store = make_memory_store(loop.context, {.entries_max = 10});
    for (int i = 0; i < 8; ++i) {
        must_apply(loop, *store, SetValue{std::to_string(i), "v", i < 4 ? 10s : 0s});
    }
    must_apply(loop, *store, AddToSet{"set", "a"});
    must_apply(loop, *store, AddToSet{"set", "b"});
    const auto full = make_error_code(errc::limit_reached);
    CHECK(loop.run(store->apply(one_value("new", "v"))).error() == full);
    CHECK(loop.run(store->increment("counter")).error() == full);
    Batch batch;
    batch.changes = {SetValue{"0", "changed"}, AddToSet{"set", "c"}};
    CHECK(loop.run(store->apply(batch)).error() == full);
    CHECK(loop.run(store->get("0")).value() == "v");

    // What is there can be changed, and what goes makes room.
    must_apply(loop, *store, SetValue{"7", "changed"});
    must_apply(loop, *store, AddToSet{"set", "a"});
    must_apply(loop, *store, Erase{"7"});
    CHECK(loop.run(store->increment("counter")).value() == 1);
    CHECK(loop.run(store->apply(one_value("new", "v"))).error() == full);
    clock.advance(10s);
    batch.changes.clear();
    for (int i = 0; i < 4; ++i)
        batch.changes.push_back(SetValue{"new" + std::to_string(i), "v"});
    CHECK(loop.run(store->apply(batch)).value());
    CHECK(loop.run(store->apply(one_value("new", "v"))).error() == full);
    must_apply(loop, *store, RemoveFromSet{"set", "a"});
    CHECK(loop.run(store->apply(one_value("new", "v"))).value());
}

TEST_CASE("memory store: a fault and close fail its calls") {
    net::TestLoop loop;
    TestFaults faults;
    net::Context context(
        loop.context.loop,
        loop.context.clock,
        loop.context.random,
        loop.context.network,
        loop.context.workers,
        loop.context.metrics,
        faults,
        log::Logger()
    );
    const auto store = make_memory_store(context);
    must_apply(loop, *store, SetValue{"k", "v"});
    faults.failing_point = "store";
    CHECK(loop.run(store->get("k")).error() == make_error_code(errc::injected));
    CHECK(faults.seen_subject == "memory");
    CHECK(loop.run(store->ping()).error() == make_error_code(errc::injected));
    faults.failing_point.clear();
    CHECK(loop.run(store->get("k")).value() == "v");
    CHECK(loop.run(store->close(SteadyTime::max())).has_value());
    const auto closed = make_error_code(errc::closed);
    CHECK(loop.run(store->get("k")).error() == closed);
    CHECK(loop.run(store->get_many({"k"})).error() == closed);
    CHECK(loop.run(store->apply(one_value("k", "v"))).error() == closed);
    CHECK(loop.run(store->members("k")).error() == closed);
    CHECK(loop.run(store->sample("k", 1)).error() == closed);
    CHECK(loop.run(store->count("k")).error() == closed);
    CHECK(loop.run(store->increment("k")).error() == closed);
    CHECK(loop.run(store->close(SteadyTime::max())).has_value());
}

/// The obvious table: a map, and every call looks at all of it.
struct Model {
    struct Value {
        std::string value;
        SteadyTime expires;
    };
    std::map<std::string, Value> values;

    std::optional<std::string> get(const std::string& key, SteadyTime now) {
        std::erase_if(values, [&](const auto& item) { return item.second.expires <= now; });
        const auto found = values.find(key);
        if (found == values.end()) return std::nullopt;
        return found->second.value;
    }
};

TEST_CASE("table: random changes and times agree with the obvious model") {
    SeededRandom random(7);
    Table table(1000, 1);
    Model model;
    SteadyTime now{};
    for (int step = 0; step < 50'000; ++step) {
        now += std::chrono::milliseconds(random.below(200));
        const std::string key = std::to_string(random.below(50));
        Batch batch;
        switch (random.below(4)) {
            case 0: {
                const auto ttl = std::chrono::seconds(random.below(20));
                const std::string value = std::to_string(step);
                batch.changes.push_back(SetValue{key, value, ttl});
                REQUIRE(table.apply(batch, now).value());
                model.values[key] = {value, ttl == 0s ? SteadyTime::max() : now + ttl};
                break;
            }
            case 1:
                batch.changes.push_back(Erase{key});
                REQUIRE(table.apply(batch, now).value());
                model.values.erase(key);
                break;
            default: {
                const std::string* value = table.get(key, now).value();
                const auto expected = model.get(key, now);
                REQUIRE((value != nullptr) == expected.has_value());
                if (value != nullptr) REQUIRE(*value == *expected);
                REQUIRE(table.size() >= model.values.size());
                break;
            }
        }
    }
    // Reading alone frees what has expired.
    now += 100s;
    for (int i = 0; i < 100; ++i)
        static_cast<void>(table.get("absent", now));
    static_cast<void>(model.get("absent", now));
    CHECK(table.size() == model.values.size());
}

}  // namespace
}  // namespace skywire::store
