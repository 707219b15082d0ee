// A whole server between the two clients of a recorded run: their bytes go in as they were
// recorded, and what the server says on both legs is what the recorded server said. D03 of
// spec/e2e.md section 8.2, as far as it needs no second program.

#include "base/test.hpp"
#include "dmsg/server.hpp"
#include "dmsg/server/server_rig.hpp"
#include "dmsg/test_recording.hpp"
#include "dmsg/test_rig.hpp"

namespace skywire::dmsg_server {
namespace {

using namespace std::chrono_literals;
using dmsg::test::FakeDiscovery;
using dmsg::test::Recording;
using dmsg::test::WirePeer;
using dmsg::test::World;

constexpr std::size_t kWhole = SIZE_MAX;

/// A recorded client: one leg, event by event.
class Client {
 public:
    Client(Recording& recording, World& world, dmsg::Server& server, const std::string& who)
        : recording_(recording), world_(world), leg_(who + "_leg") {
        world.random.next(recording.ephemeral(who + "_session_server"));
        auto [ours, theirs] = net::make_pipe(world.context.loop, /*buffer_bytes=*/1 << 16);
        server.serve(std::move(theirs));
        peer_.emplace(world.loop, std::move(ours));
    }

    /// Goes through the events [first, last]: says the client's, awaits the server's.
    void go(std::size_t first, std::size_t last, std::size_t piece) {
        for (std::size_t i = first; i <= last; ++i) {
            if (is_client(i)) {
                peer_->send(bytes(i), piece);
            } else {
                expected_ += to_hex(bytes(i));
            }
        }
    }

    /// All that the server had to say so far has been said, and nothing else.
    void check() {
        world_.loop.settle();
        CHECK(to_hex(peer_->received()) == expected_);
    }

    std::size_t events() const { return recording_.events(leg_).size(); }
    bool ended() const { return peer_->ended(); }

 private:
    const json::object& event(std::size_t index) const {
        return recording_.events(leg_).at(index).as_object();
    }
    bool is_client(std::size_t index) const {
        return event(index).at("dir").as_string() == "client->server";
    }
    Bytes bytes(std::size_t index) const { return test::hex(event(index).at("bytes").as_string()); }

    Recording& recording_;
    World& world_;
    std::string leg_;
    std::optional<WirePeer> peer_;
    std::string expected_;
};

dmsg::ServerOptions options_of(const Recording& recording) {
    dmsg::ServerOptions options(recording.keys("server"));
    options.address = "127.0.0.1:8081";
    return options;
}

}  // namespace

TEST_CASE("dmsg-server: between recorded clients it says what the recorded server said") {
    for (const std::size_t piece : {1UL, 2UL, 13UL, 100UL, 100'000UL}) {
        INFO("in pieces of " << piece);
        Recording recording("session.json");
        World world(recording.time());
        dmsg::test::DiscoveryState discovery;
        dmsg::Server server(
            world.context, options_of(recording), std::make_unique<FakeDiscovery>(discovery)
        );
        server.start([] {});
        world.loop.settle();
        {
            Client bob(recording, world, server, "bob");
            bob.go(0, 2, piece);
            bob.check();
            Client alice(recording, world, server, "alice");
            alice.go(0, 2, piece);
            alice.check();
            CHECK(server.status().client_sessions == 2);

            // The stream's request: to the server, from there to bob.
            alice.go(3, 5, piece);
            bob.go(3, 4, piece);
            alice.check();
            bob.check();
            // Bob's answer, and back.
            bob.go(5, 6, piece);
            alice.go(6, 6, piece);
            alice.check();
            bob.check();
            CHECK(server.status().streams_relayed == 1);
            // A record each way; in pieces it would be relayed in pieces.
            alice.go(7, 7, kWhole);
            bob.go(7, 7, piece);
            bob.check();
            bob.go(8, 8, kWhole);
            alice.go(8, 8, piece);
            alice.check();
            // Alice closes; the server closes both.
            alice.go(9, 10, piece);
            bob.go(9, 10, piece);
            alice.check();
            bob.check();
            CHECK(alice.events() == 11);
            CHECK(bob.events() == 11);
            CHECK(server.status().active_streams == 0);
            CHECK_FALSE(alice.ended());
            CHECK_FALSE(bob.ended());
        }
        CHECK(world.loop.run(server.stop(world.clock.now() + 10s)).empty());
    }
}

}  // namespace skywire::dmsg_server
