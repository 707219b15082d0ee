// A client's entry in the discovery, in virtual time: how it is kept true, whoever else writes it
// and whatever the discovery does meanwhile.

#include "dmsg/client.hpp"
#include "dmsg/client/client_rig.hpp"

#include <algorithm>

namespace skywire::dmsg {
namespace {

using test::key_of;
using test::Rig;
using test::Running;
using namespace std::chrono_literals;

Entry stored_entry(const std::string& name, std::uint64_t sequence, WallTime timestamp) {
    Entry entry;
    entry.version = kEntryVersion;
    entry.static_key = key_of(name);
    entry.sequence = sequence;
    entry.timestamp = timestamp.time_since_epoch().count();
    entry.client = ClientInfo{std::vector<crypto::PublicKey>()};
    sign_entry(entry, test::keys_of(name).secret_key);
    return entry;
}

/// Posts of a client's entry.
std::vector<Entry> posts_of(const Rig& rig, const std::string& name) {
    std::vector<Entry> posts;
    std::copy_if(
        rig.memory.posts.begin(),
        rig.memory.posts.end(),
        std::back_inserter(posts),
        [&](const Entry& entry) { return entry.static_key == key_of(name); }
    );
    return posts;
}

TEST_CASE("client entry: the stored one is carried on") {
    Rig rig;
    rig.start_server("s1");
    rig.memory.entries[key_of("alice")] = stored_entry("alice", 41, rig.world.clock().wall());
    rig.add_client("alice");
    const auto posts = posts_of(rig, "alice");
    REQUIRE(posts.size() == 1);
    CHECK(posts[0].sequence == 42);
    CHECK(posts[0].client->delegated_servers == std::vector{key_of("s1")});
    CHECK(posts[0].client_type.empty());
    CHECK(posts[0].protocol.empty());
}

TEST_CASE("client entry: a clock that was set back does not keep us out") {
    Rig rig;
    rig.start_server("s1");
    const Entry ahead = stored_entry("alice", 3, rig.world.clock().wall() + 1h);
    rig.memory.entries[key_of("alice")] = ahead;
    rig.add_client("alice");
    CHECK(posts_of(rig, "alice").front().timestamp == ahead.timestamp);
}

TEST_CASE("client entry: is renewed, and follows the sessions without a post for each") {
    Rig rig;
    rig.start_server("s1");
    rig.start_server("s2");
    rig.start_server("s3");
    for (const auto* name : {"s1", "s2", "s3"})
        rig.wait_registered(name);
    rig.add_client("alice", [](ClientOptions& options) { options.sessions_min = 0; });
    REQUIRE(rig.world.run_until([&] { return rig.delegated("alice").size() == 3; }, 10s));
    CHECK(posts_of(rig, "alice").size() <= 2);
    const auto before = posts_of(rig, "alice").back();
    rig.world.run_for(6min);
    const auto after = posts_of(rig, "alice").back();
    CHECK(after.sequence == before.sequence + 1);
    CHECK(after.timestamp > before.timestamp);
    CHECK(after.client == before.client);
    rig.stop_server("s2");
    REQUIRE(rig.world.run_until([&] { return rig.delegated("alice").size() == 2; }, 20s));
}

TEST_CASE("client entry: another writer of the same sequence is outdone") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    int faster = 0;
    rig.memory.before_post = [&](const Entry& entry) {
        if (entry.static_key != key_of("alice") || ++faster > 3) return;
        // Written between our look-up and our post, with an older time.
        rig.memory.entries[entry.static_key] =
            stored_entry("alice", entry.sequence, rig.world.clock().wall() - 1s);
    };
    rig.add_client("alice");
    const auto posts = posts_of(rig, "alice");
    REQUIRE(posts.size() == 1);
    CHECK(posts[0].sequence == 3);
    CHECK(rig.counted("alice", "dmsg_client_entry_writes_total", "outcome", "ok") == 1);
}

TEST_CASE("client entry: a newer word of another process stands for a while") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    bool once = false;
    rig.memory.before_post = [&](const Entry& entry) {
        if (entry.static_key != key_of("alice") || std::exchange(once, true)) return;
        rig.memory.entries[entry.static_key] =
            stored_entry("alice", entry.sequence + 5, rig.world.clock().wall() + 1ms);
    };
    Client& alice = rig.start_client("alice");
    REQUIRE(rig.world.run_until(
        [&] { return alice.trouble().find("another process") != std::string::npos; }, 10s
    ));
    CHECK(posts_of(rig, "alice").empty());
    CHECK_FALSE(alice.ready());
    REQUIRE(rig.world.run(alice.wait_ready()));
    CHECK(posts_of(rig, "alice").front().sequence == 6);
}

TEST_CASE("client entry: members that an older discovery refuses are left out") {
    Rig rig;
    rig.memory.old = true;
    rig.start_server("s1");
    const auto modern = [](ClientOptions& options) {
        options.client_type = std::string(kVisorClientType);
        options.protocol = "yamux";
    };
    rig.add_client("alice", modern);
    CHECK(posts_of(rig, "alice").back().client_type.empty());
    CHECK(posts_of(rig, "alice").back().protocol.empty());
    rig.memory.old = false;
    rig.add_client("bob", modern);
    CHECK(posts_of(rig, "bob").back().client_type == kVisorClientType);
    CHECK(posts_of(rig, "bob").back().protocol == "yamux");
    // The first says how we speak, before there is a session.
    CHECK(posts_of(rig, "bob").front().client->delegated_servers->empty());
}

TEST_CASE("client entry: a discovery that does not answer does not set the sequence back") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    rig.memory.entries[key_of("alice")] = stored_entry("alice", 41, rig.world.clock().wall());
    rig.memory.down = true;
    Client& alice = rig.start_client("alice", [&](ClientOptions& options) {
        options.servers = {rig.server_entry("s1")};
    });
    REQUIRE(rig.world.run_until([&] { return !alice.servers().empty(); }, 10s));
    rig.world.run_for(5min);
    CHECK_FALSE(alice.ready());
    CHECK_THAT(alice.trouble(), Catch::Contains("the discovery is down"));
    CHECK(posts_of(rig, "alice").empty());
    const int asked = rig.memory.look_ups[key_of("alice")];
    CHECK(asked > 5);
    CHECK(asked < 30);
    rig.memory.down = false;
    REQUIRE(rig.world.run(alice.wait_ready()));
    CHECK(posts_of(rig, "alice").front().sequence == 42);
    CHECK(alice.trouble().empty());
}

TEST_CASE("client entry: a discovery that is down at the start is asked until it is up") {
    Rig rig;
    rig.memory.down = true;
    rig.start_server("s1");
    Client& alice = rig.start_client("alice");
    rig.world.run_for(5min);
    CHECK(alice.servers().empty());
    CHECK_THAT(alice.trouble(), Catch::Contains("the discovery is down"));
    CHECK(rig.memory.lists > 10);
    CHECK(rig.memory.lists < 40);
    rig.memory.down = false;
    REQUIRE(rig.world.run_until([&] { return alice.ready(); }, 2min));
}

TEST_CASE("client entry: a discovery that never answers does not hold up the end") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    rig.memory.silent = true;
    const auto began = rig.world.elapsed();
    CHECK(rig.world.run(alice.stop(rig.world.clock().now() + 10s)).empty());
    CHECK(rig.world.elapsed() - began < 5s);
    rig.memory.silent = false;
}

TEST_CASE("client entry: where nobody answers any more all ends in order and in time") {
    for (const Duration patience : {Duration(1s), Duration(3s), Duration(10s)}) {
        Rig rig;
        rig.start_server("s1");
        Client& alice = rig.add_client("alice");
        rig.memory.silent = true;
        rig.world.cut(rig.world.node("s1"), rig.world.node("alice"));
        const SteadyTime deadline = rig.world.clock().now() + patience;
        CHECK(rig.world.run(alice.stop(deadline)).empty());
        CHECK(rig.world.clock().now() < deadline);
        rig.world.heal();
    }
}

TEST_CASE("client entry: without one nothing is written, and the given servers are all") {
    Rig rig;
    rig.start_server("s1");
    rig.start_server("s2");
    rig.wait_registered("s1");
    rig.wait_registered("s2");
    rig.memory.lists = 0;
    const auto direct = [&](ClientOptions& options) {
        options.publish_entry = false;
        options.sessions_min = 0;
        options.servers = {rig.server_entry("s1")};
    };
    Client& service =
        rig.start_client("service", direct, make_static_discovery({rig.server_entry("s1")}));
    rig.world.run(service.wait_ready()).value();
    rig.world.run_for(30min);
    CHECK(service.servers() == std::vector{key_of("s1")});
    CHECK(rig.memory.lists == 0);
    CHECK(posts_of(rig, "service").empty());
    CHECK(service.trouble().empty());

    // Callers know its key alone: they try the servers they are connected to.
    const auto listener = service.listen(80).value();
    Client& alice = rig.add_client("alice", [](ClientOptions& o) { o.sessions_min = 0; });
    auto near = rig.dial(alice, "service", 80);
    REQUIRE(near);
    auto far = rig.world.run(listener->accept()).value();
    rig.exchange(**near, *far);
    // And it dials them: every key is delegated to its servers.
    const auto at_alice = alice.listen(81).value();
    REQUIRE(rig.dial(service, "alice", 81));
}

TEST_CASE("client entry: keys that are known to be direct are not looked up") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    Client& service = rig.start_client(
        "service",
        [&](ClientOptions& options) {
            options.publish_entry = false;
            options.servers = {rig.server_entry("s1")};
        },
        make_static_discovery({rig.server_entry("s1")})
    );
    rig.world.run(service.wait_ready()).value();
    const auto listener = service.listen(80).value();
    Client& alice = rig.add_client("alice", [](ClientOptions& options) {
        options.direct_keys = {key_of("service")};
    });
    REQUIRE(rig.dial(alice, "service", 80));
    CHECK(rig.memory.look_ups[key_of("service")] == 0);
    Client& bob = rig.add_client("bob", [&](ClientOptions& options) {
        options.direct_keys = {key_of("service")};
        options.servers = {rig.server_entry("s1")};
    });
    REQUIRE(rig.dial(bob, "service", 80));
    CHECK(rig.memory.look_ups[key_of("service")] == 0);
}

TEST_CASE("client entry: entries are kept for a while, and serve where nobody answers") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    Client& bob = rig.add_client("bob");
    const auto listener = bob.listen(80).value();
    const auto asked = [&] { return rig.memory.look_ups[key_of("bob")]; };
    const int before = asked();
    for (int i = 0; i < 3; ++i)
        REQUIRE(rig.dial(alice, "bob", 80));
    CHECK(asked() == before + 1);
    rig.world.run_for(31s);
    REQUIRE(rig.dial(alice, "bob", 80));
    CHECK(asked() == before + 2);
    rig.memory.down = true;
    rig.world.run_for(31s);
    REQUIRE(rig.dial(alice, "bob", 80));
    CHECK(asked() == before + 3);
    rig.memory.down = false;
    // Many who want it ask once.
    rig.world.run_for(31s);
    std::vector<Running<Result<std::unique_ptr<net::Stream>>>> dials;
    dials.reserve(5);
    for (int i = 0; i < 5; ++i)
        dials.emplace_back(rig.world, alice.dial({key_of("bob"), 80}));
    REQUIRE(rig.world.run_until(
        [&] { return std::all_of(dials.begin(), dials.end(), [](auto& d) { return d.ended(); }); },
        10s
    ));
    for (auto& dial : dials)
        CHECK(dial.result()->has_value());
    CHECK(asked() == before + 4);
}

}  // namespace
}  // namespace skywire::dmsg
