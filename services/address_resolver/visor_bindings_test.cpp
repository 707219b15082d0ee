#include "services/address_resolver/visor_bindings.hpp"

#include "base/test.hpp"
#include "cxo/leaf.hpp"
#include "services/address_resolver/test_resolver.hpp"
#include "store/memory.hpp"

using namespace std::chrono_literals;

namespace skywire::resolver {
namespace {

using services::Life;
using services::TestStore;
using services::TestWorld;
using Taken = services::FeedIntake::Taken;

const crypto::PublicKey kVisor = crypto::deterministic_key_pair("visor").public_key;
const crypto::PublicKey kOther = crypto::deterministic_key_pair("other").public_key;

const std::string kRecord = R"({"port":"7777","addresses":["10.0.0.4"],"public_ip":"203.0.113.7"})";

using Leaves = std::map<std::string, std::string>;

/// A resolver that a visor's feed reaches.
struct Rig {
    explicit Rig(services::StoreConfig config = TestStore::memory())
        : resolver(world, std::move(config)) {}

    Taken take(const Leaves& leaves) {
        std::vector<cxo::Change> changes;
        changes.reserve(leaves.size());
        for (const auto& [path, leaf] : leaves) {
            const ByteSpan bytes = as_bytes(leaf);
            changes.push_back({path, Bytes(bytes.begin(), bytes.end())});
        }
        const cxo::Tree tree = cxo::Tree(index).apply(std::move(changes)).value().tree;
        return world.loop.run(resolver.work.take(kVisor, tree));
    }
    std::optional<Binding> bound(Type type) {
        return world.loop.run(resolver.work.bindings().get(type, kVisor)).value();
    }
    std::uint64_t count(std::string outcome) {
        return world.counted("address_resolver_feed_bindings_total", "outcome", std::move(outcome));
    }

    TestWorld world;
    cxo::ObjectIndex index;
    TestResolver resolver;
};

}  // namespace

TEST_CASE("ar visor bindings: what a visor's feed lists is bound, and gone when it goes") {
    Rig rig;
    CHECK(rig.take({{"stcpr", kRecord}, {"squicr", kRecord}, {"swtr", kRecord}}) == Taken::done);
    const auto answer =
        rig.resolver.as_visor(kOther, http::Method::get, "/resolve/stcpr/" + kVisor.to_text());
    CHECK(
        answer.body == R"({"remote_addr":"203.0.113.7","port":"7777","addresses":["10.0.0.4"],)"
                       R"("public_ip":"203.0.113.7"})"
    );
    CHECK(rig.bound(Type::squicr));
    CHECK(rig.bound(Type::wt));
    CHECK(rig.count("taken") == 3);
    // The name in the store does for one of them, too.
    CHECK(rig.take({{"squicr", kRecord}, {"wt", kRecord}}) == Taken::done);
    CHECK_FALSE(rig.bound(Type::stcpr));
    CHECK(rig.bound(Type::squicr));
    CHECK(rig.bound(Type::wt));
    CHECK(rig.take({{"something", "else"}}) == Taken::nothing);
    CHECK(rig.resolver.transports() == "{}");
    CHECK(rig.count("removed") == 3);
    CHECK(rig.count("absent") == 1);
}

TEST_CASE("ar visor bindings: packed records are read, and an address may be one of IPv6") {
    Rig rig;
    const Bytes framed = cxo::write_frame(kRecord).value();
    const Bytes packed = cxo::write_gzip(R"({"port":"1","public_ipv6":"2a01:4f8::7"})").value();
    CHECK(
        rig.take({{"stcpr", std::string(as_text(framed))}, {"squicr", std::string(as_text(packed))}}
        ) == Taken::done
    );
    REQUIRE(rig.bound(Type::stcpr));
    CHECK(rig.bound(Type::stcpr)->remote_addr == "203.0.113.7");
    REQUIRE(rig.bound(Type::squicr));
    CHECK(rig.bound(Type::squicr)->remote_addr.empty());
    CHECK(rig.bound(Type::squicr)->remote_addr_v6 == "2a01:4f8::7");
}

TEST_CASE("ar visor bindings: a record without a public address of its visor binds nothing") {
    Rig rig;
    for (const char* leaf :
         {R"({"port":"7777","addresses":["203.0.113.7"]})",
          R"({"port":"7777","addresses":["203.0.113.7"],"public_ip":"10.0.0.4"})",
          R"({"port":"7777","public_ip":"nonsense","public_ipv6":"fe80::1"})",
          R"({"port":"7777","remote_addr":"203.0.113.7"})",
          "null",
          "{}"})
        CHECK(rig.take({{"stcpr", leaf}}) == Taken::nothing);
    CHECK(rig.count("not_public") == 6);
    CHECK(rig.resolver.transports() == "{}");
}

TEST_CASE("ar visor bindings: what is no record changes nothing") {
    Rig rig;
    rig.take({{"stcpr", kRecord}});
    const Bytes bomb = cxo::write_gzip(std::string(10'000'000, ' ')).value();
    for (const std::string& leaf :
         {std::string("nonsense"),
          std::string("[]"),
          std::string("7"),
          std::string(R"({"port":7777,"public_ip":"203.0.113.9"})"),
          std::string(R"({"port":"1","public_ip":["203.0.113.9"]})"),
          std::string(R"({"port":"1","addresses":{},"public_ip":"203.0.113.9"})"),
          std::string(R"({"port":"1","addresses":[7],"public_ip":"203.0.113.9"})"),
          std::string(1000, '['),
          std::string("\x02of another version"),
          std::string("\0\xff", 2),
          std::string(as_text(bomb))}) {
        CHECK(rig.take({{"stcpr", leaf}}) == Taken::nothing);
    }
    CHECK(rig.count("unreadable") == 11);
    std::string addresses;
    for (int i = 0; i < 65; ++i)
        addresses += R"("10.0.0.4",)";
    addresses.pop_back();
    for (const std::string& leaf :
         {std::string(20'000, ' ') + kRecord,
          R"({"port":"1","public_ip":"203.0.113.9","addresses":[)" + addresses + "]}",
          R"({"port":")" + std::string(17, '1') + R"(","public_ip":"203.0.113.9"})"})
        CHECK(rig.take({{"stcpr", leaf}}) == Taken::nothing);
    CHECK(rig.count("too_large") == 3);
    REQUIRE(rig.bound(Type::stcpr));
    CHECK(rig.bound(Type::stcpr)->remote_addr == "203.0.113.7");
    CHECK(rig.bound(Type::stcpr)->port == "7777");
    // It is gone with its leaf all the same.
    rig.take({{"something", "else"}});
    CHECK_FALSE(rig.bound(Type::stcpr));
}

TEST_CASE("ar visor bindings: of two names for one binding the one that can be read counts") {
    Rig rig;
    CHECK(rig.take({{"swtr", "nonsense"}, {"wt", kRecord}}) == Taken::done);
    CHECK(rig.bound(Type::wt));
    CHECK(rig.count("unreadable") == 1);
    CHECK(rig.take({{"swtr", "nonsense"}}) == Taken::nothing);
    CHECK(rig.bound(Type::wt));
}

TEST_CASE("ar visor bindings: a store that is full is not asked again and again") {
    TestWorld world;
    const auto store = store::make_memory_store(world.context, {.entries_max = 2});
    Bindings bindings(*store, {});
    VisorBindings visor_bindings(world.loop.metrics, bindings, [](const Error&) {
        FAIL("it answers");
    });
    cxo::ObjectIndex index;
    const ByteSpan record = as_bytes(kRecord);
    const Bytes leaf(record.begin(), record.end());
    const auto take = [&](std::vector<cxo::Change> changes) {
        const cxo::Tree tree = cxo::Tree(index).apply(std::move(changes)).value().tree;
        return world.loop.run(visor_bindings.take(kVisor, tree));
    };
    CHECK(take({{"stcpr", leaf}}) == Taken::done);
    // What there is goes on, and the other one is for the renewal.
    CHECK(take({{"stcpr", leaf}, {"squicr", leaf}}) == Taken::done);
    CHECK(world.counted("address_resolver_feed_bindings_total", "outcome", "limit") == 1);
    CHECK(take({{"stcpr", leaf}, {"squicr", leaf}}) == Taken::done);
    CHECK(world.counted("address_resolver_feed_bindings_total", "outcome", "limit") == 2);
}

TEST_CASE("ar visor bindings: a UDP binding is not a feed's to make or to remove") {
    Rig rig;
    KeptSession session;
    session.from = net::Address::tcp("203.0.113.7", 45890);
    session.binding.remote_addr = "203.0.113.7:45890";
    session.binding.port = "45890";
    rig.world.loop.run(rig.resolver.work.bindings().put_session(kVisor, session)).value();
    CHECK(rig.take({{"sudph", kRecord}}) == Taken::nothing);
    CHECK(rig.count("sudph") == 1);
    rig.take({{"stcpr", kRecord}});
    REQUIRE(rig.bound(Type::sudph));
    CHECK(rig.bound(Type::sudph)->remote_addr == "203.0.113.7:45890");
}

TEST_CASE("ar visor bindings: what came over HTTP stays, unless a feed has listed it since") {
    Rig rig;
    REQUIRE(rig.resolver.bind(kVisor).status == 200);
    rig.take({{"squicr", kRecord}});
    CHECK(rig.bound(Type::stcpr));
    rig.take({{"stcpr", kRecord}});
    rig.take({{"squicr", kRecord}});
    CHECK_FALSE(rig.bound(Type::stcpr));
}

TEST_CASE("ar visor bindings: they end by their age, and give their visor's others a longer life") {
    Rig rig;
    REQUIRE(rig.resolver.bind(kVisor).status == 200);
    (*rig.resolver.probes)[kVisor] = Life::silent;
    for (int i = 0; i < 40; ++i) {
        rig.take({{"squicr", kRecord}});
        rig.world.pass(90s);
    }
    CHECK(rig.bound(Type::squicr));
    CHECK(rig.bound(Type::stcpr));
    rig.world.pass(5min);
    CHECK_FALSE(rig.bound(Type::squicr));
    rig.world.pass(5min);
    CHECK_FALSE(rig.bound(Type::stcpr));
}

TEST_CASE("ar visor bindings: what the store does not take is asked for again") {
    Rig rig;
    rig.take({{"stcpr", kRecord}});
    rig.world.faults.set("store", "memory");
    CHECK(rig.take({{"squicr", kRecord}}) == Taken::again);
    CHECK(rig.resolver.store->check().status == framework::Check::Status::fail);
    rig.world.faults.clear("store", "memory");
    CHECK(rig.bound(Type::stcpr));
    CHECK(rig.take({{"squicr", kRecord}}) == Taken::done);
    CHECK(rig.count("store_unavailable") == 1);
    CHECK_FALSE(rig.bound(Type::stcpr));
    CHECK(rig.bound(Type::squicr));
}

}  // namespace skywire::resolver
