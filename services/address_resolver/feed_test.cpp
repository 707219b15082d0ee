#include "services/address_resolver/feed.hpp"

#include "base/test.hpp"
#include "services/address_resolver/test_resolver.hpp"
#include "services/common/test_feed.hpp"

using namespace std::chrono_literals;

namespace skywire::resolver {
namespace {

using services::Paths;
using services::TestFeed;
using services::TestStore;
using services::TestWorld;

const crypto::PublicKey kVisor = crypto::deterministic_key_pair("visor").public_key;
const crypto::PublicKey kOther = crypto::deterministic_key_pair("other").public_key;

Binding binding_of(std::string port, bool held = true) {
    Binding binding;
    binding.remote_addr = "203.0.113.7";
    binding.port = std::move(port);
    binding.addresses = {"203.0.113.7"};
    binding.held = held;
    return binding;
}

/// Bindings with the content of their feed.
struct Rig {
    explicit Rig(TestWorld& world_in, services::StoreConfig config = TestStore::memory())
        : world(world_in),
          store(world, std::move(config)),
          bindings(store.raw(), {}),
          content(world.context, bindings, store.raw()),
          feed(world.loop, content) {
        bindings.on_written([this](const crypto::PublicKey& key) { content.written(key); });
        content.on_change([this] { ++woken; });
        world.loop.run(bindings.open()).value();
    }

    void put(Type type, const crypto::PublicKey& key, Binding binding) {
        world.loop.run(bindings.put(type, key, std::move(binding))).value();
    }
    void erase(Type type, const crypto::PublicKey& key) {
        world.loop.run(bindings.erase(type, key)).value();
    }
    json::value bucket(const crypto::PublicKey& key) {
        return parse_json(feed.leaves.at(cxo::bucket_of(key))).value();
    }

    TestWorld& world;
    int woken = 0;
    TestStore store;
    Bindings bindings;
    BindingsContent content;
    TestFeed feed;
};

}  // namespace

TEST_CASE("ar feed: all buckets are there, and a binding stands in that of its key") {
    TestWorld world;
    Rig rig(world);
    CHECK(rig.feed.update().size() == 256);
    CHECK(rig.feed.leaves.at("0/0") == "{}");
    rig.put(Type::stcpr, kVisor, binding_of("7777"));
    rig.put(Type::wt, kVisor, binding_of("8888"));
    CHECK(rig.woken == 1);
    CHECK(rig.feed.update() == Paths{cxo::bucket_of(kVisor)});
    const json::value bucket = rig.bucket(kVisor);
    const json::value& visor = bucket.at(kVisor.to_text());
    CHECK(visor.as_object().size() == 2);
    CHECK(visor.at("stcpr") == parse_json(to_answer(binding_of("7777"))).value());
    CHECK(visor.at("swtr").at("port").as_string() == "8888");
}

TEST_CASE("ar feed: a binding that comes again publishes nothing, one that goes is gone") {
    TestWorld world;
    Rig rig(world);
    rig.put(Type::stcpr, kVisor, binding_of("7777", /*held=*/false));
    rig.put(Type::stcpr, kOther, binding_of("7777"));
    CHECK(rig.feed.update().size() == 256);
    rig.put(Type::stcpr, kVisor, binding_of("7777", /*held=*/false));
    CHECK(rig.feed.raw_changes() == 0);
    rig.put(Type::stcpr, kVisor, binding_of("7778", /*held=*/false));
    CHECK(rig.feed.update() == Paths{cxo::bucket_of(kVisor)});
    rig.erase(Type::stcpr, kOther);
    CHECK(rig.feed.update() == Paths{cxo::bucket_of(kOther)});
    CHECK(rig.feed.leaves.at(cxo::bucket_of(kOther)) == "{}");
    // By its age.
    world.clock.advance(5min + 1s);
    CHECK(rig.feed.update() == Paths{cxo::bucket_of(kVisor)});
    CHECK(rig.feed.leaves.at(cxo::bucket_of(kVisor)) == "{}");
    CHECK(rig.feed.leaves.size() == 256);
}

TEST_CASE("ar feed: a UDP session that is written again and again publishes nothing") {
    TestWorld world;
    Rig rig(world);
    CHECK(rig.feed.update().size() == 256);
    KeptSession session;
    session.from = net::Address::tcp("203.0.113.7", 45890);
    session.conversation = 7;
    session.binding = binding_of("45890");
    const auto write = [&] { world.loop.run(rig.bindings.put_session(kVisor, session)).value(); };
    write();
    CHECK(rig.feed.update() == Paths{cxo::bucket_of(kVisor)});
    CHECK(rig.bucket(kVisor).at(kVisor.to_text()).as_object().contains("sudph"));
    write();
    CHECK(rig.feed.raw_changes() == 0);
}

TEST_CASE("ar feed: a restart publishes what the store has") {
    TestWorld world;
    Rig rig(world, TestStore::snapshot());
    rig.put(Type::stcpr, kVisor, binding_of("7777"));
    CHECK(rig.feed.update().size() == 256);
    BindingsContent again(world.context, rig.bindings, rig.store.raw());
    TestFeed feed(world.loop, again);
    CHECK(feed.update().size() == 256);
    CHECK(feed.leaves == rig.feed.leaves);
}

TEST_CASE("ar feed: what another resolver writes to the same Redis is published too") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    Rig first(world, TestStore::redis(server));
    Rig second(world, TestStore::redis(server));
    CHECK(first.feed.update().size() == 256);
    CHECK(second.feed.update().size() == 256);
    first.put(Type::stcpr, kVisor, binding_of("7777"));
    CHECK(first.feed.update() == Paths{cxo::bucket_of(kVisor)});
    CHECK(second.feed.update() == Paths{cxo::bucket_of(kVisor)});
    second.erase(Type::stcpr, kVisor);
    CHECK(second.feed.update() == Paths{cxo::bucket_of(kVisor)});
    CHECK(first.feed.update() == Paths{cxo::bucket_of(kVisor)});
    CHECK(first.feed.leaves == second.feed.leaves);
}

}  // namespace skywire::resolver
