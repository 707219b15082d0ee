#include "services/common/turns.hpp"

#include "base/test.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

#include <optional>
#include <string>
#include <utility>

#include <boost/asio/post.hpp>

namespace skywire::services {
namespace {

struct Rig {
    /// Takes turns without a pause, each as long as a call of a store.
    Task<> write(char name, int times) {
        for (int i = 0; i < times; ++i) {
            const auto turn = co_await turns.take();
            if (!turn) co_return;
            order += name;
            co_await asio::post(loop.context.loop, asio::use_awaitable);
        }
    }
    /// Asks behind whoever has been spawned before.
    void spawn(net::Scope& scope, char name, int times = 1) {
        scope.spawn(std::string(1, name), [this, name, times] { return write(name, times); });
        loop.settle();
    }
    void hold() {
        auto turn = loop.run(turns.take());
        held.emplace(std::move(turn.value()));
    }

    net::TestLoop loop;
    Turns turns{loop.context.loop};
    std::optional<Turns::Turn> held;
    std::string order;
    net::Scope staying{loop.context.loop};
    net::Scope leaving{loop.context.loop};
};

}  // namespace

TEST_CASE("turns: who takes one turn after another lets those by who wait") {
    Rig rig;
    rig.hold();
    rig.spawn(rig.staying, 'a', 4);
    rig.spawn(rig.staying, 'b');
    rig.spawn(rig.staying, 'c', 2);
    rig.held.reset();
    rig.loop.run(rig.staying.wait_empty());
    CHECK(rig.order == "abcacaa");
    // And then it is free.
    rig.hold();
}

TEST_CASE("turns: who goes before its turn keeps nobody waiting") {
    Rig rig;
    rig.hold();
    rig.spawn(rig.leaving, 'a');
    rig.spawn(rig.staying, 'b');
    rig.spawn(rig.leaving, 'c');
    rig.spawn(rig.staying, 'd');
    rig.leaving.cancel();
    rig.loop.run(rig.leaving.wait_empty());
    CHECK(rig.order.empty());
    rig.held.reset();
    rig.loop.run(rig.staying.wait_empty());
    CHECK(rig.order == "bd");
}

TEST_CASE("turns: who is ended when it has just been woken passes its turn on") {
    Rig rig;
    rig.hold();
    rig.spawn(rig.leaving, 'a');
    rig.spawn(rig.staying, 'b');
    SECTION("woken first") {
        rig.held.reset();
        rig.leaving.cancel();
    }
    SECTION("ended first") {
        rig.leaving.cancel();
        rig.held.reset();
    }
    rig.loop.run(rig.leaving.wait_empty());
    rig.loop.run(rig.staying.wait_empty());
    REQUIRE_FALSE(rig.order.empty());
    CHECK(rig.order.back() == 'b');
    rig.hold();
}

}  // namespace skywire::services
