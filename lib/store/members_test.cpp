#include "store/members.hpp"

#include "base/test.hpp"
#include "net/test_loop.hpp"
#include "store/memory.hpp"
#include "store/pieces.hpp"

#include <algorithm>
#include <map>

#include <boost/asio/co_spawn.hpp>

namespace skywire::store {
namespace {

std::string key_of(std::string_view member) {
    return "value:" + std::string(member);
}

/// A memory store with `count` names in "names", every third of which has no value.
struct Listed {
    explicit Listed(int count) : loop(&clock), store(make_memory_store(loop.context)) {
        Batch batch;
        for (int i = 0; i < count; ++i) {
            const std::string name = std::to_string(i);
            batch.changes.emplace_back(AddToSet{"names", name});
            if (i % 3 != 0) batch.changes.emplace_back(SetValue{key_of(name), "is " + name});
        }
        loop.run(store->apply(std::move(batch))).value();
    }
    ~Listed() { (void)loop.run(store->close(SteadyTime::max())); }

    ManualClock clock;
    net::TestLoop loop;
    std::unique_ptr<Store> store;
};

}  // namespace

TEST_CASE("members: of a list of any length each is read once") {
    for (const int count : {0, 1, 255, 256, 257, 1000}) {
        Listed listed(count);
        std::map<std::string, std::optional<std::string>> taken;
        const auto take = [&](std::string member, std::optional<std::string> value) {
            const bool first = taken.emplace(std::move(member), std::move(value)).second;
            CHECK(first);
        };
        CHECK(listed.loop.run(read_members(*listed.store, "names", key_of, take)));
        CHECK(taken.size() == static_cast<std::size_t>(count));
        for (const auto& [member, value] : taken) {
            REQUIRE(value.has_value() == (std::stoi(member) % 3 != 0));
            if (value) CHECK(*value == "is " + member);
        }
    }
}

TEST_CASE("members: a sweep leaves those with a value") {
    Listed listed(1000);
    CHECK(listed.loop.run(sweep_members(*listed.store, "names", key_of)).value() == 666);
    CHECK(listed.loop.run(listed.store->count("names")).value() == 666);
    CHECK(listed.loop.run(sweep_members(*listed.store, "none", key_of)).value() == 0);
}

TEST_CASE("members: who gets a value during a sweep stays") {
    Listed listed(300);
    std::string late;
    // Between the two pieces a name without a value gets one.
    const auto key_and_write = [&](std::string_view member) {
        if (late.empty() && std::stoi(std::string(member)) % 3 == 0) {
            late = member;
            asio::co_spawn(
                listed.loop.ioc,
                listed.store->apply({{}, {SetValue{key_of(late), "late"}}}),
                [](std::exception_ptr, const auto&) {}
            );
        }
        return key_of(member);
    };
    CHECK(listed.loop.run(sweep_members(*listed.store, "names", key_and_write)));
    const auto names = listed.loop.run(listed.store->members("names")).value();
    CHECK(std::count(names.begin(), names.end(), late) == 1);
    CHECK(names.size() == 201);
}

TEST_CASE("members: an error of the store is theirs") {
    Listed listed(3);
    CHECK(listed.loop.run(listed.store->close(SteadyTime::max())));
    const auto take = [](const std::string&, const std::optional<std::string>&) {};
    CHECK_FALSE(listed.loop.run(read_members(*listed.store, "names", key_of, take)));
    CHECK_FALSE(listed.loop.run(sweep_members(*listed.store, "names", key_of)));
}

}  // namespace skywire::store
