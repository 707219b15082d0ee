// Rules that the recorded requests do not reach: lifetimes, races, stores that fail, lists.

#include "crypto/signature.hpp"
#include "services/dmsg_discovery/test_discovery.hpp"

#include <algorithm>

namespace skywire::discovery {
namespace {

using namespace std::chrono_literals;
using http::Method;

constexpr std::string_view kWroteFirst = R"({"message":"wrote a new entry","code":200})";
constexpr std::string_view kWroteAgain = R"({"message":"wrote new entry iteration","code":200})";
constexpr std::string_view kUnexpected =
    R"({"message":"something unexpected happened","code":503})";
constexpr std::string_view kPosts = "dmsg_discovery_posts_total";

crypto::KeyPair keys_of(std::string_view seed) {
    return crypto::deterministic_key_pair(seed);
}

std::string server_type_stored(TestDiscovery& discovery, const crypto::KeyPair& keys) {
    const auto entry = parse_json(discovery.get(path_of(keys)).body).value();
    return std::string(entry.at("server").at("serverType").as_string());
}

std::vector<std::string> array(const http::Response& response) {
    std::vector<std::string> texts;
    const json::value parsed = parse_json(response.body_view()).value();
    for (const json::value& each : parsed.as_array())
        texts.emplace_back(each.as_string());
    std::sort(texts.begin(), texts.end());
    return texts;
}

}  // namespace

TEST_CASE("discovery: a server's entry lives for two minutes and leaves its set with the sweep") {
    TestDiscovery discovery;
    const auto keys = keys_of("server");
    CHECK(discovery.post(server_entry(keys, 0, discovery.clock.wall())).status == 200);
    discovery.clock.advance(119s);
    CHECK(discovery.get(path_of(keys)).status == 200);
    CHECK(discovery.loop.run(discovery.discovery.sweep()).value().servers == 1);
    discovery.clock.advance(1s);
    CHECK(discovery.get(path_of(keys)).status == 404);
    CHECK(discovery.get("/dmsg-discovery/all_servers").status == 404);
    CHECK(discovery.get("/dmsg-discovery/available_servers").status == 404);
    CHECK(discovery.loop.run(discovery.store.raw().count("servers")).value() == 1);
    CHECK(discovery.loop.run(discovery.discovery.sweep()).value().servers == 0);
    CHECK(discovery.loop.run(discovery.store.raw().count("servers")).value() == 0);
}

TEST_CASE("discovery: a client's entry lives as configured, or three minutes where it says so") {
    Rules rules = TestDiscovery::testing_rules();
    SECTION("for ever by default") {
        TestDiscovery discovery(StoreKind::memory, rules);
        discovery.post(client_entry(keys_of("c"), 0));
        discovery.clock.advance(24h * 365);
        CHECK(discovery.get(path_of(keys_of("c"))).status == 200);
    }
    SECTION("entry_timeout") {
        rules.client_lifetime = 1h;
        TestDiscovery discovery(StoreKind::memory, rules);
        discovery.post(client_entry(keys_of("c"), 0, {}, "visor"));
        discovery.clock.advance(59min);
        CHECK(discovery.get(path_of(keys_of("c"))).status == 200);
        discovery.clock.advance(1min);
        CHECK(discovery.get(path_of(keys_of("c"))).status == 404);
        CHECK(array(discovery.get("/dmsg-discovery/entries")).size() == 1);
        CHECK(discovery.loop.run(discovery.discovery.sweep()).value().clients == 0);
        CHECK(array(discovery.get("/dmsg-discovery/entries")).empty());
        CHECK(array(discovery.get("/dmsg-discovery/visorEntries")).empty());
        // What has expired is no predecessor: any sequence may follow.
        CHECK(discovery.post(client_entry(keys_of("c"), 0)).body == kWroteFirst);
    }
    SECTION("?timeout=true") {
        TestDiscovery discovery(StoreKind::memory, rules);
        discovery.post(client_entry(keys_of("c"), 0), "?timeout=true");
        discovery.clock.advance(179s);
        CHECK(discovery.get(path_of(keys_of("c"))).status == 200);
        discovery.clock.advance(1s);
        CHECK(discovery.get(path_of(keys_of("c"))).status == 404);
    }
}

TEST_CASE("discovery: of many writers of one key with one sequence exactly one is stored") {
    const auto kind = GENERATE(StoreKind::memory, StoreKind::snapshot, StoreKind::redis);
    TestDiscovery discovery(kind);
    const auto keys = keys_of("raced");
    discovery.post(client_entry(keys, 1));
    constexpr int kWriters = 20;
    std::vector<std::string> answers;
    for (int i = 0; i < kWriters; ++i) {
        auto entry = client_entry(keys, 2, {keys_of(fmt::format("server {}", i)).public_key});
        asio::co_spawn(
            discovery.loop.ioc,
            services::answer_of(
                discovery.surface.router(),
                services::local_request(
                    Method::post, "/dmsg-discovery/entry/", dmsg::to_json(entry)
                )
            ),
            [&answers](std::exception_ptr failed, http::Response response) {
                if (failed) std::rethrow_exception(failed);
                answers.push_back(response.body);
            }
        );
    }
    discovery.loop.run_until([&] { return answers.size() == kWriters; });
    CHECK(std::count(answers.begin(), answers.end(), kWroteAgain) == 1);
    CHECK(discovery.counted(kPosts, "wrong_sequence") == kWriters - 1);
}

TEST_CASE("discovery: two replicas on one Redis keep the sequence rule between them") {
    TestDiscovery one(StoreKind::redis);
    store::RedisOptions options;
    options.url = store::RedisUrl::parse(one.redis->url()).value();
    const auto shared = store::make_redis_store(one.context, options);
    Discovery other(one.context, *shared, TestDiscovery::testing_rules());

    const auto keys = keys_of("raced");
    int first = 0;
    int again = 0;
    int ended = 0;
    constexpr int kEntries = 40;
    for (int i = 0; i < kEntries; ++i) {
        const auto sequence = static_cast<std::uint64_t>(i / 2);
        Discovery& replica = i % 2 == 0 ? one.discovery : other;
        asio::co_spawn(
            one.loop.ioc,
            replica.post(dmsg::to_json(client_entry(keys, sequence)), false),
            [&](std::exception_ptr failed, Result<Written> written) {
                if (failed) std::rethrow_exception(failed);
                ++ended;
                if (written) ++(*written == Written::first ? first : again);
            }
        );
    }
    one.loop.run_until([&] { return ended == kEntries; });
    CHECK(first == 1);
    // Each sequence was sent twice and can have been taken once.
    CHECK(again < kEntries / 2);
    CHECK(one.loop.run(shared->close(one.clock.now() + 1min)));
}

TEST_CASE("discovery: a store that fails gives 503, and nothing is acknowledged") {
    TestDiscovery discovery;
    const auto keys = keys_of("c");
    discovery.post(client_entry(keys, 0));
    discovery.faults.set("store", "memory");
    const auto entry = client_entry(keys, 1);
    CHECK(discovery.post(entry).status == 503);
    CHECK(discovery.post(entry).body == kUnexpected);
    CHECK(discovery.counted(kPosts, "store_unavailable") == 2);
    for (const std::string& path :
         {"entry/" + keys.public_key.to_text(),
          std::string("entries"),
          std::string("visorEntries"),
          std::string("available_servers"),
          std::string("all_servers"),
          std::string("servers/clients"),
          "server/" + keys.public_key.to_text() + "/clients"}) {
        INFO(path);
        const auto response = discovery.get("/dmsg-discovery/" + path);
        CHECK(response.status == 503);
        CHECK(response.body == kUnexpected);
    }
    CHECK(
        discovery.send(Method::delete_, "/dmsg-discovery/entry", dmsg::to_json(entry)).status == 503
    );
    CHECK(discovery.store_failures == 10);
    discovery.faults.clear("store", "memory");
    CHECK(discovery.post(entry).body == kWroteAgain);
}

TEST_CASE("discovery: a Redis that goes gives 503 until it is back") {
    TestDiscovery discovery(StoreKind::redis);
    const auto keys = keys_of("c");
    CHECK(discovery.post(client_entry(keys, 0)).status == 200);
    discovery.redis->stop();
    CHECK(discovery.post(client_entry(keys, 1)).status == 503);
    CHECK(discovery.get(path_of(keys)).status == 503);
}

TEST_CASE("discovery: servers are official by pass phrase or by key, else community") {
    Rules rules = TestDiscovery::testing_rules();
    rules.auth_passphrase = "open sesame";
    rules.official_servers.insert(keys_of("listed").public_key);
    TestDiscovery discovery(StoreKind::memory, rules);
    const WallTime now = discovery.clock.wall();
    discovery.post(server_entry(keys_of("knows"), 0, now, 1, "open sesame"));
    discovery.post(server_entry(keys_of("listed"), 0, now, 1, "whatever"));
    discovery.post(server_entry(keys_of("claims"), 0, now, 1, "official"));
    discovery.post(server_entry(keys_of("silent"), 0, now, 1));
    CHECK(server_type_stored(discovery, keys_of("knows")) == "official");
    CHECK(server_type_stored(discovery, keys_of("listed")) == "official");
    CHECK(server_type_stored(discovery, keys_of("claims")) == "community");
    CHECK(server_type_stored(discovery, keys_of("silent")) == "community");
}

TEST_CASE("discovery: available servers come with the most free sessions first, full ones not") {
    TestDiscovery discovery;
    const WallTime now = discovery.clock.wall();
    for (const int sessions : {3, 0, 10, -1, 7}) {
        const auto keys = keys_of(fmt::format("server {}", sessions));
        CHECK(discovery.post(server_entry(keys, 0, now, sessions)).status == 200);
    }
    const auto available =
        parse_json(discovery.get("/dmsg-discovery/available_servers").body).value();
    std::vector<std::int64_t> sessions;
    for (const json::value& entry : available.as_array())
        sessions.push_back(entry.at("server").at("availableSessions").as_int64());
    CHECK(sessions == std::vector<std::int64_t>{10, 7, 3});
    const auto all = parse_json(discovery.get("/dmsg-discovery/all_servers").body).value();
    CHECK(all.as_array().size() == 5);
}

TEST_CASE("discovery: entries by the batch, unknown and malformed keys left out") {
    TestDiscovery discovery;
    const auto a = client_entry(keys_of("a"), 0);
    discovery.post(a);
    const std::string key = a.static_key.to_text();
    const std::string unknown = keys_of("b").public_key.to_text();
    const auto batch = [&](std::string body) {
        return discovery.send(Method::post, "/dmsg-discovery/entries/batch", std::move(body));
    };
    const auto found = batch(fmt::format(R"(["{}","{}","zz","","{}"])", key, unknown, key));
    CHECK(found.status == 200);
    CHECK(found.body == fmt::format(R"({{"{}":{}}})", key, dmsg::to_json(a)));
    CHECK(batch("[]").body == "{}");
    for (const std::string body : {"", "{}", "[1]", "null", "[\"a\"", "[[]]"}) {
        INFO(body);
        CHECK(batch(body).status == 400);
        CHECK(batch(body).body == R"({"message":"error bad input","code":400})");
    }
}

TEST_CASE("discovery: clients by server, read again when what was read is old") {
    TestDiscovery discovery;
    const auto s1 = keys_of("s1").public_key;
    const auto s2 = keys_of("s2").public_key;
    const auto a = keys_of("a");
    const auto b = keys_of("b");
    const auto of = [&](const crypto::PublicKey& server) {
        return discovery.get("/dmsg-discovery/server/" + server.to_text() + "/clients");
    };
    CHECK(of(s1).body == "null");
    CHECK(discovery.get("/dmsg-discovery/servers/clients").body == "{}");
    discovery.post(client_entry(a, 0, {s1, s2}));
    discovery.post(client_entry(b, 0, {s1}));
    discovery.clock.advance(1s);
    std::vector<std::string> both{a.public_key.to_text(), b.public_key.to_text()};
    std::sort(both.begin(), both.end());
    CHECK(array(of(s1)) == both);
    CHECK(array(of(s2)) == std::vector<std::string>{a.public_key.to_text()});
    discovery.post(client_entry(b, 1, {s2}));
    const auto members = [&] {
        return parse_json(discovery.get("/dmsg-discovery/servers/clients").body)
            .value()
            .at(s2.to_text())
            .as_array()
            .size();
    };
    CHECK(members() == 1);
    discovery.clock.advance(15s);
    CHECK(members() == 2);
    CHECK(discovery.get("/dmsg-discovery/server/zz/clients").status == 400);
}

TEST_CASE("discovery: only a whitelisted key deregisters, and with its signature") {
    const auto monitor = keys_of("monitor");
    const std::string caller = monitor.public_key.to_text();
    TestDiscovery discovery(StoreKind::memory, TestDiscovery::testing_rules(), {caller});
    const auto keys = keys_of("c");
    const auto stranger = keys_of("stranger");
    discovery.post(client_entry(keys, 0, {}, "visor"));
    const auto ask = [&](std::string key, std::string signature, std::string body) {
        http::Fields fields;
        fields.add("NM-PK", std::move(key));
        fields.add("NM-Sign", std::move(signature));
        return discovery.send(
            Method::delete_, "/dmsg-discovery/deregister", std::move(body), std::move(fields)
        );
    };
    const auto sign = [&](const crypto::KeyPair& by) {
        return crypto::sign(by.secret_key, as_bytes(caller)).to_text();
    };
    const std::string body = fmt::format(R"(["{}"])", keys.public_key.to_text());
    CHECK(ask(stranger.public_key.to_text(), sign(stranger), body).status == 403);
    CHECK(ask(caller, sign(stranger), body).status == 403);
    CHECK(ask(caller, "zz", body).status == 400);
    CHECK(ask(caller, "zz", body).body.empty());
    CHECK(ask(caller, sign(monitor), "{").body == R"({"message":"error bad input","code":400})");
    CHECK(ask(caller, sign(monitor), R"(["zz"])").status == 400);
    CHECK(discovery.get(path_of(keys)).status == 200);
    const auto done = ask(caller, sign(monitor), body);
    CHECK(done.status == 200);
    CHECK(done.body == "null");
    CHECK(discovery.get(path_of(keys)).status == 404);
    CHECK(array(discovery.get("/dmsg-discovery/entries")).empty());
    CHECK(array(discovery.get("/dmsg-discovery/visorEntries")).empty());
    CHECK(discovery.counted("dmsg_discovery_deregistrations_total", "done") == 1);
    CHECK(discovery.counted("dmsg_discovery_deregistrations_total", "not_whitelisted") == 1);
    CHECK(discovery.counted("dmsg_discovery_deregistrations_total", "wrong_signature") == 1);
}

TEST_CASE("discovery: under load testing neither signature nor sequence counts") {
    Rules rules = TestDiscovery::testing_rules();
    rules.load_testing = true;
    TestDiscovery discovery(StoreKind::memory, rules);
    auto entry = client_entry(keys_of("c"), 5);
    entry.signature = std::string(130, '0');
    CHECK(discovery.post(entry).body == kWroteFirst);
    CHECK(discovery.post(entry).body == kWroteAgain);
    auto server = server_entry(keys_of("s"), 0, discovery.clock.wall() - 1h);
    CHECK(discovery.post(server).body == kWroteFirst);
    entry.version.clear();
    CHECK(discovery.post(entry).status == 422);
}

TEST_CASE("discovery: a stored text that nobody can read gives way to the next entry") {
    TestDiscovery discovery;
    const auto keys = keys_of("c");
    store::Batch batch;
    batch.changes.emplace_back(store::SetValue{keys.public_key.to_text(), "{damaged", {}});
    CHECK(discovery.loop.run(discovery.store.raw().apply(batch)).value());
    CHECK(discovery.post(client_entry(keys, 0)).body == kWroteAgain);
    CHECK(discovery.get(path_of(keys)).body == dmsg::to_json(client_entry(keys, 0)));
}

TEST_CASE("discovery: a key that becomes a server leaves the clients, and the visors") {
    TestDiscovery discovery;
    const auto keys = keys_of("both");
    discovery.post(client_entry(keys, 0, {}, "visor"));
    CHECK(array(discovery.get("/dmsg-discovery/visorEntries")).size() == 1);
    CHECK(discovery.post(server_entry(keys, 1, discovery.clock.wall())).body == kWroteAgain);
    CHECK(array(discovery.get("/dmsg-discovery/entries")).empty());
    CHECK(array(discovery.get("/dmsg-discovery/visorEntries")).empty());
    CHECK(discovery.get("/dmsg-discovery/all_servers").status == 200);
}

TEST_CASE("discovery: the keys in Redis are the network's") {
    TestDiscovery discovery(StoreKind::redis);
    const auto client = client_entry(keys_of("c"), 0, {}, "visor");
    const auto server = server_entry(keys_of("s"), 0, discovery.clock.wall());
    discovery.post(client);
    const SystemClock redis_clock;
    const SteadyTime before = redis_clock.now();
    discovery.post(server);
    const std::string client_key = client.static_key.to_text();
    const std::string server_key = server.static_key.to_text();
    const store::RedisServer& redis = *discovery.redis;
    CHECK(redis.command("GET " + client_key).find(dmsg::to_json(client)) != std::string::npos);
    CHECK(redis.command("TTL " + client_key) == ":-1\r\n");
    const auto left =
        std::chrono::milliseconds(std::stoll(redis.command("PTTL " + server_key).substr(1)));
    CHECK(left <= 120s);
    // In whole milliseconds, less what has passed since it was written.
    CHECK(left >= 120s - (redis_clock.now() - before) - 1ms);
    CHECK(redis.command("SMEMBERS clients").find(client_key) != std::string::npos);
    CHECK(redis.command("SMEMBERS visorClients").find(client_key) != std::string::npos);
    CHECK(redis.command("SMEMBERS servers").find(server_key) != std::string::npos);
    CHECK(redis.command("SCARD clients") == ":1\r\n");
    discovery.send(Method::delete_, "/dmsg-discovery/entry", dmsg::to_json(client));
    discovery.send(Method::delete_, "/dmsg-discovery/entry", dmsg::to_json(server));
    CHECK(redis.command("DBSIZE") == ":0\r\n");
}

}  // namespace skywire::discovery
