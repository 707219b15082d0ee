// Clients and servers on bad links, with partitions and deaths: nothing hangs, what arrives is
// right, and once all is healed everybody finds everybody again.

#include "dmsg/client.hpp"
#include "dmsg/client/client_rig.hpp"

#include <array>
#include <deque>

namespace skywire::dmsg {
namespace {

using test::key_of;
using test::Rig;
using test::Running;
using namespace std::chrono_literals;

constexpr std::array<const char*, 2> kServers{"s1", "s2"};
constexpr std::array<const char*, 4> kClients{"alice", "bob", "carol", "dave"};

/// Echoes all streams of a listener until that is closed.
class Echo {
 public:
    Echo(sim::World& world, Client& client)
        : world_(world), scope_(world.loop()), listener_(client.listen(80).value()) {
        scope_.spawn("accept", [this] { return accept(); });
    }
    ~Echo() {
        listener_->close();
        const auto now = world_.clock().now();
        CHECK(world_.run(scope_.close(world_.clock(), now, now + 10s)).empty());
    }
    Echo(const Echo&) = delete;
    Echo& operator=(const Echo&) = delete;

 private:
    Task<> accept() {
        while (true) {
            auto stream = co_await listener_->accept();
            if (!stream) co_return;
            const auto held = std::make_shared<std::unique_ptr<net::Stream>>(std::move(*stream));
            scope_.spawn("echo", [held] { return echo(std::move(*held)); });
        }
    }
    static Task<> echo(std::unique_ptr<net::Stream> stream) {
        Bytes buffer(5000);
        while (true) {
            const auto count = co_await stream->read_some(buffer);
            if (!count || *count == 0) co_return;
            const auto written = co_await stream->write(std::span(buffer).first(*count));
            if (!written) co_return;
        }
    }

    sim::World& world_;
    net::Scope scope_;
    std::unique_ptr<net::Listener> listener_;
};

/// Dials, sends and compares; false where something failed, an exception where bytes are wrong.
Task<bool> use(Client& from, std::string to, unsigned seed) {
    auto stream = co_await from.dial({key_of(to), 80});
    if (!stream) co_return false;
    const Bytes sent = test::pattern(20'000, seed);
    const auto written = co_await (*stream)->write(sent);
    if (!written) co_return false;
    const auto received = co_await test::read_exactly(**stream, sent.size());
    if (!received) co_return false;
    if (!std::equal(received->begin(), received->end(), sent.begin()))
        throw std::runtime_error("bytes changed on the way");
    co_return received->size() == sent.size();
}

void settle_down(Rig& rig, std::deque<Running<bool>>& uses) {
    rig.world.heal();
    const auto all_ended = [&] {
        return std::all_of(uses.begin(), uses.end(), [](const auto& use) { return use.ended(); });
    };
    // A dial has its limit; a transfer ends with its session, or with its last byte.
    REQUIRE(rig.world.run_until(all_ended, 5min));
    for (auto& use : uses)
        CHECK(use.result().has_value());
}

TEST_CASE("client in a bad network: nothing hangs, nothing is wrong, all is well afterwards") {
    sim::for_each_seed(6, [](std::uint64_t seed) {
        Rig rig(seed);
        for (const auto* name : kServers)
            rig.start_server(name);
        for (const auto* name : kClients) {
            rig.start_client(name, [](ClientOptions& options) {
                options.sessions_min = options.keys.public_key == key_of("alice") ? 0 : 1;
            });
        }
        std::deque<Echo> echoes;
        for (const auto* name : kClients)
            echoes.emplace_back(rig.world, rig.client(name));

        rig.world.set_links(sim::LinkOptions::rough());
        rig.world.partition({});
        SeededRandom chance(seed);
        std::deque<Running<bool>> uses;
        for (unsigned round = 0; round < 40; ++round) {
            const auto* from = kClients[chance.below(kClients.size())];
            const auto* to = kClients[chance.below(kClients.size())];
            uses.emplace_back(rig.world, use(rig.client(from), to, round));
            rig.world.run_for(Duration(chance.below(3'000'000'000)));
            if (round == 20) rig.stop_server("s2");
            if (round == 30) rig.start_server("s2");
        }
        settle_down(rig, uses);

        rig.world.set_links({});
        const auto all_ready = [&] {
            return std::all_of(kClients.begin(), kClients.end(), [&](const auto* name) {
                return rig.client(name).trouble().empty() && !rig.client(name).servers().empty();
            });
        };
        REQUIRE(rig.world.run_until(all_ready, 5min));
        rig.world.run_for(10s);
        for (const auto* from : kClients) {
            for (const auto* to : kClients) {
                INFO(from << " to " << to);
                CHECK(rig.world.run(use(rig.client(from), to, 7)));
            }
        }
        for (const auto* name : kClients)
            CHECK(rig.gauge(name, "dmsg_client_streams") <= 4);
    });
}

TEST_CASE("client in a bad network: a server that dies without a word is left within 15 s") {
    sim::for_each_seed(3, [](std::uint64_t seed) {
        Rig rig(seed);
        rig.start_server("s1");
        rig.wait_registered("s1");
        Client& alice = rig.add_client("alice");
        rig.start_server("s2");
        rig.wait_registered("s2");
        rig.world.isolate(rig.world.node("s1"));
        const auto moved = [&] { return alice.servers() == std::vector{key_of("s2")}; };
        CHECK(rig.world.run_until(moved, 20s));
        rig.world.heal();
    });
}

}  // namespace
}  // namespace skywire::dmsg
