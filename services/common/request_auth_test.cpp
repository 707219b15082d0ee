#include "services/common/request_auth.hpp"

#include "crypto/signature.hpp"
#include "http/signed_request.hpp"
#include "net/event.hpp"
#include "services/common/nonces.hpp"
#include "services/common/test_store.hpp"
#include "services/common/test_throwing_store.hpp"

#include <boost/asio/co_spawn.hpp>

namespace skywire::services {
namespace {

using http::Fields;
using http::Method;
using http::Request;
using http::Response;

const crypto::KeyPair kVisor = crypto::deterministic_key_pair("visor");
const crypto::KeyPair kOther = crypto::deterministic_key_pair("other");
const crypto::KeyPair kMonitor = crypto::deterministic_key_pair("monitor");

/// A service with one signed route, POST /echo: answers the caller's key with `status`.
class Rig {
 public:
    explicit Rig(TestWorld& world, ServiceStore& store, bool testing = true)
        : world_(world), auth(world.context, store, options(testing)), entered(world.context.loop) {
        opened = world.loop.run(auth.open());
        auth.add_to(router);
        auth.on_accepted([this](const crypto::PublicKey& key) { accepted.push_back(key); });
        router.on(
            Method::post,
            "/echo",
            auth.signed_by_anyone([this](Request&, const crypto::PublicKey& caller) {
                return echo(caller);
            })
        );
        router.on(Method::delete_, "/drop", auth.network_monitor([this](Request&) {
            return dropped();
        }));
    }

    Response send(
        Method method, std::string path, std::string body, Fields fields, std::string host
    ) {
        return world_.loop.run(
            handle(method, std::move(path), std::move(body), std::move(fields), std::move(host))
        );
    }
    Response post(const crypto::KeyPair& keys, std::uint64_t nonce, std::string body = "{}") {
        Fields fields;
        http::sign_request(fields, keys, body, nonce);
        return send(Method::post, "/echo", std::move(body), std::move(fields), "127.0.0.1");
    }
    Task<Response> handle(
        Method method, std::string path, std::string body, Fields fields, std::string host
    ) {
        Request request;
        request.method = method;
        request.path = path;
        request.target = std::move(path);
        request.body = std::move(body);
        request.fields = std::move(fields);
        request.remote = net::Address::tcp(std::move(host), 40000);
        co_return co_await router.handle(request);
    }
    std::string nonce(const std::string& key) {
        return send(Method::get, "/security/nonces/" + key, {}, {}, "127.0.0.1").body;
    }
    std::uint64_t next_of(const crypto::KeyPair& keys) {
        const auto body = parse_json(nonce(keys.public_key.to_text())).value();
        return body.as_object().at("next_nonce").to_number<std::uint64_t>();
    }
    std::uint64_t refused(std::string reason) {
        return world_.counted("request_auth_refused_total", "reason", std::move(reason));
    }

 private:
    static RequestAuth::Options options(bool testing) {
        return {"test", testing, {kMonitor.public_key.to_text(), "not a key"}};
    }
    Task<Response> echo(crypto::PublicKey caller) {
        ++handled;
        while (held) {
            entered.notify();
            co_await released();
        }
        Response response = Response::of(status, "text/plain", caller.to_text());
        co_return response;
    }
    Task<> released() {
        while (held)
            co_await entered.wait();
    }
    Task<Response> dropped() { co_return Response::of(200, "text/plain", "dropped"); }

    TestWorld& world_;

 public:
    RequestAuth auth;
    http::Router router;
    net::Event entered;
    Result<> opened;
    std::vector<crypto::PublicKey> accepted;
    unsigned status = 200;
    int handled = 0;
    bool held = false;
};

crypto::PublicKey numbered(int number) {
    return crypto::deterministic_key_pair(std::to_string(number)).public_key;
}

/// The number that it has used.
Task<std::uint64_t> use(Nonces* nonces, crypto::PublicKey key) {
    const auto due = co_await nonces->due(key);
    const auto advanced = co_await nonces->advance(key, due.value());
    CHECK(advanced.value());
    co_return due->number;
}

}  // namespace

TEST_CASE("request auth: a nonce advances after a 200 and after nothing else") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    Rig rig(world, *store);
    const std::string key = kVisor.public_key.to_text();
    CHECK(rig.nonce(key) == R"({"edge":")" + key + R"(","next_nonce":0})" + "\n");
    for (const unsigned status : {201U, 204U, 400U, 404U, 500U}) {
        rig.status = status;
        CHECK(rig.post(kVisor, 0).status == status);
        CHECK(rig.next_of(kVisor) == 0);
    }
    rig.status = RequestAuth::kNothingWritten;
    CHECK(rig.post(kVisor, 0).status == 200);
    CHECK(rig.next_of(kVisor) == 0);
    rig.status = 200;
    const Response answer = rig.post(kVisor, 0);
    CHECK(answer.status == 200);
    CHECK(answer.body == key);
    CHECK(rig.next_of(kVisor) == 1);
    CHECK(rig.next_of(kOther) == 0);
    const Response again = rig.post(kVisor, 0);
    CHECK(again.status == 401);
    CHECK(again.body == "{\"error\":{\"message\":\"SW-Nonce does not match\",\"code\":401}}\n");
    CHECK(again.fields.get("Content-Type") == "application/json");
    CHECK(rig.refused("nonce_mismatch") == 1);
    CHECK(rig.accepted.size() == 7);
    CHECK(world.loop.run(store.raw().get("test:nonces:" + key)).value() == "1");
    CHECK(world.loop.run(store.raw().members("test:nonces")).value() == std::vector{key});
}

TEST_CASE("request auth: the nonce is looked at before the signature, the handler runs for neither"
) {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    Rig rig(world, *store);
    Fields fields;
    http::sign_request(fields, kOther, "{}", 0);
    fields.set("SW-Public", kVisor.public_key.to_text());
    const auto send = [&] { return rig.send(Method::post, "/echo", "{}", fields, "127.0.0.1"); };
    CHECK(send().body.find("Recovered pubkey does not match pubkey") != std::string::npos);
    fields.set("SW-Nonce", "5");
    CHECK(send().body.find("SW-Nonce does not match") != std::string::npos);
    CHECK(rig.refused("signature_wrong") == 1);
    CHECK(rig.handled == 0);
    CHECK(rig.accepted.empty());
    for (const char* bad : {"zz", "0", "0201"}) {
        const Response answer =
            rig.send(Method::get, std::string("/security/nonces/") + bad, {}, {}, "127.0.0.1");
        CHECK(answer.status == 400);
        CHECK(answer.body == "{\"error\":{\"message\":\"Invalid public key\",\"code\":400}}\n");
    }
    const std::string no_point = "02" + std::string(64, 'f');
    CHECK(rig.nonce(no_point) == rig.nonce("zz"));
}

TEST_CASE("request auth: of two equal requests at one time one is accepted") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    Rig rig(world, *store);
    rig.held = true;
    std::optional<Response> first;
    const auto begin = [&]() -> Task<> {
        Fields fields;
        http::sign_request(fields, kVisor, "{}", 0);
        first = co_await rig.handle(Method::post, "/echo", "{}", std::move(fields), "127.0.0.1");
    };
    asio::co_spawn(world.loop.ioc, begin, [](std::exception_ptr) {});
    world.loop.run_until([&] { return rig.handled == 1; });
    CHECK(rig.post(kVisor, 0).status == 401);
    CHECK(rig.post(kVisor, 1).status == 401);
    CHECK(rig.handled == 1);
    rig.held = false;
    rig.entered.notify();
    world.loop.run_until([&] { return first.has_value(); });
    CHECK(first.value_or(Response::empty(0)).status == 200);
    CHECK(rig.post(kVisor, 0).status == 401);
    CHECK(rig.post(kVisor, 1).status == 200);

    // One that does not advance frees its number.
    rig.status = 201;
    CHECK(rig.post(kVisor, 2).status == 201);
    CHECK(rig.post(kVisor, 2).status == 201);
}

TEST_CASE("request auth: over dmsg the stream is the proof, headers must agree with it") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    Rig rig(world, *store);
    const std::string visor = kVisor.public_key.to_text();
    const auto over_dmsg = [&](Fields fields) {
        return rig.send(Method::post, "/echo", "{}", std::move(fields), visor);
    };
    Fields unsigned_fields;
    unsigned_fields.set("SW-PublicIP", "203.0.113.7");
    CHECK(over_dmsg(unsigned_fields).body == visor);
    CHECK(rig.next_of(kVisor) == 0);
    Fields good;
    http::sign_request(good, kVisor, "{}", 0);
    CHECK(over_dmsg(good).body == visor);
    CHECK(rig.next_of(kVisor) == 1);
    CHECK(over_dmsg(good).status == 401);
    Fields other;
    http::sign_request(other, kOther, "{}", 7);
    const Response refused = over_dmsg(other);
    CHECK(refused.status == 401);
    CHECK(refused.body.find("Recovered pubkey does not match pubkey") != std::string::npos);
    CHECK(rig.refused("other_stream_key") == 1);

    Request request;
    request.remote = net::Address::tcp(visor, 49152);
    CHECK(stream_key(request) == kVisor.public_key);
    CHECK(caller_ip(request).empty());
    request.fields.set("SW-PublicIP", "203.0.113.7:1234");
    CHECK(caller_ip(request) == "203.0.113.7:1234");
    request.remote = net::Address::tcp("192.0.2.9", 0);
    CHECK_FALSE(stream_key(request));
    CHECK(caller_ip(request) == "192.0.2.9");
}

TEST_CASE("request auth: a monitor proves itself with its key, in the reference's order") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    Rig rig(world, *store);
    const std::string monitor = kMonitor.public_key.to_text();
    const std::string sign = crypto::sign(kMonitor.secret_key, as_bytes(monitor)).to_text();
    const auto drop = [&](const std::string& key, const std::string& signature) {
        Fields fields;
        if (!key.empty()) fields.set("NM-PK", key);
        fields.set("NM-Sign", signature);
        return rig.send(Method::delete_, "/drop", "[]", std::move(fields), "127.0.0.1");
    };
    CHECK(drop(monitor, sign).body == "dropped");
    CHECK(drop("", sign).status == 403);
    CHECK(drop(kVisor.public_key.to_text(), sign).status == 403);
    CHECK(drop("not a key", sign).status == 400);
    CHECK(drop(monitor, "zz").status == 400);
    CHECK(drop(monitor, "zz").body.empty());
    CHECK(
        drop(monitor, crypto::sign(kVisor.secret_key, as_bytes(monitor)).to_text()).status == 403
    );
    CHECK(world.counted("network_monitor_requests_total", "outcome", "not_whitelisted") == 2);
    CHECK(world.counted("network_monitor_requests_total", "outcome", "ok") == 1);

    const json::value file = test::vectors("services/http_auth.json");
    const json::value& sample = file.as_object().at("nm_sign");
    RequestAuth recorded(world.context, *store, {"test", true, {test::text(sample, "nm_pk")}});
    http::Router router;
    router.on(Method::get, "/", recorded.network_monitor([](Request&) -> Task<Response> {
        co_return Response::empty(200);
    }));
    Request request;
    request.path = request.target = "/";
    request.fields.set("NM-PK", test::text(sample, "nm_pk"));
    request.fields.set("NM-Sign", test::text(sample, "nm_sign"));
    CHECK(world.loop.run(router.handle(request)).status == 200);
}

TEST_CASE("request auth: while the store does not answer nobody is let in") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    Rig rig(world, *store);
    world.faults.set("store", "memory");
    CHECK(rig.post(kVisor, 0).status == 500);
    CHECK(
        rig.send(Method::get, "/security/nonces/" + kVisor.public_key.to_text(), {}, {}, "::1")
            .status == 500
    );
    CHECK(rig.handled == 0);
    CHECK(rig.refused("store_unavailable") == 1);
    world.faults.clear("store", "memory");
    CHECK(rig.post(kVisor, 0).status == 200);
}

TEST_CASE("nonces: a memory store begins at its start time, one for tests at 0") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    CHECK(Rig(world, *store, /*testing=*/false).next_of(kVisor) == 1'700'000'000);
    CHECK(Rig(world, *store, /*testing=*/true).next_of(kVisor) == 0);
}

TEST_CASE("nonces: a restart opens no used number again, even one that did not reach the disk") {
    TestWorld world;
    std::uint64_t used = 0;
    {
        TestStore store(world, TestStore::snapshot());
        Rig rig(world, *store, false);
        CHECK(rig.next_of(kVisor) == 0);
        for (; used < 3; ++used)
            CHECK(rig.post(kVisor, used).status == 200);
    }
    constexpr std::uint64_t kStep = 1U << 20U;
    for (int start = 1; start < 4; ++start) {
        // A kill: the files as they were right after the first answer, before any flush.
        TestStore store(world, TestStore::snapshot());
        Rig rig(world, *store, false);
        CHECK(rig.opened);
        CHECK(rig.next_of(kVisor) >= used + kStep - 1);
        CHECK(rig.next_of(kVisor) == rig.next_of(kOther));
        CHECK(rig.post(kVisor, 0).status == 401);
        const std::string file = world.folder.path() + "/test.sqlite";
        std::filesystem::create_directory(world.folder.path() + "/saved");
        used = rig.next_of(kOther);
        CHECK(rig.post(kOther, used).status == 200);
        for (const char* suffix : {"", "-wal"}) {
            if (std::filesystem::exists(file + suffix))
                std::filesystem::copy_file(
                    file + suffix, world.folder.path() + "/saved/test.sqlite" + suffix
                );
        }
        store.close();
        for (const char* suffix : {"", "-wal"}) {
            const std::string saved = world.folder.path() + "/saved/test.sqlite" + suffix;
            std::filesystem::remove(file + suffix);
            if (std::filesystem::exists(saved)) std::filesystem::rename(saved, file + suffix);
        }
        std::filesystem::remove_all(world.folder.path() + "/saved");
    }
}

TEST_CASE("nonces: a disk that does not take the floor keeps the service from opening") {
    TestWorld world;
    const std::string file = world.folder.path() + "/test.sqlite";
    TestStore store(world, TestStore::snapshot());
    world.faults.set("disk", file);
    CHECK(Rig(world, *store).opened.error() == make_error_code(errc::unavailable));
    world.faults.clear("disk", file);
    CHECK(Rig(world, *store).opened);
}

TEST_CASE("nonces: beyond the bound keys are forgotten, their numbers are not") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    Nonces nonces(world.context, store.raw(), {"test", true, 100});
    world.loop.run(nonces.open()).value();
    const auto use = [&](const crypto::PublicKey& key) {
        const auto due = world.loop.run(nonces.due(key)).value();
        CHECK(world.loop.run(nonces.advance(key, due)).value());
        return due.number;
    };
    std::map<crypto::PublicKey, std::uint64_t> last;
    for (int i = 0; i < 1000; ++i) {
        const auto key = crypto::deterministic_key_pair(std::to_string(i % 250)).public_key;
        const std::uint64_t number = use(key);
        if (const auto before = last.find(key); before != last.end())
            CHECK(number > before->second);
        last[key] = number;
        CHECK(world.loop.run(store.raw().count("test:nonces")).value() <= 100);
    }
    CHECK(nonces.floor() > 0);
}

TEST_CASE("nonces: a number that is used while keys are being forgotten is not due again") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    // More than are forgotten before others have their turn.
    constexpr int kKeys = 600;
    Nonces nonces(world.context, store.raw(), {"test", true, kKeys});
    world.loop.run(nonces.open()).value();
    for (int i = 0; i < kKeys; ++i)
        CHECK(world.loop.run(use(&nonces, numbered(i))) == 0);
    bool let_in = false;
    asio::co_spawn(
        world.loop.ioc,
        use(&nonces, numbered(kKeys)),
        [&let_in](std::exception_ptr error, std::uint64_t) { let_in = !error; }
    );
    const crypto::PublicKey last = numbered(kKeys - 1);
    const std::uint64_t used = world.loop.run(use(&nonces, last));
    CHECK(used == nonces.floor());
    REQUIRE_FALSE(let_in);
    world.loop.settle();
    CHECK(let_in);
    CHECK(world.loop.run(nonces.due(last)).value().number > used);
    CHECK(world.loop.run(store.raw().count("test:nonces")).value() == 2);
}

TEST_CASE("nonces: an exception while keys are being forgotten does not do away with the bound") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    ThrowingStore throwing(store.raw());
    Nonces nonces(world.context, throwing, {"test", true, 100});
    world.loop.run(nonces.open()).value();
    int number = 0;
    while (number < 100)
        world.loop.run(use(&nonces, numbered(number++)));
    // Behind the look at the number and the count.
    throwing.throw_after(2);
    CHECK_THROWS_AS(world.loop.run(use(&nonces, numbered(number++))), std::bad_alloc);
    while (number < 250) {
        world.loop.run(use(&nonces, numbered(number++)));
        CHECK(world.loop.run(store.raw().count("test:nonces")).value() <= 100);
    }
}

TEST_CASE("nonces: in Redis they have the reference's layout, and other services' steps count") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    TestStore store(world, TestStore::redis(server));
    Rig rig(world, *store, false);
    CHECK(rig.post(kVisor, 0).status == 200);
    const std::string key = kVisor.public_key.to_text();
    CHECK(server.command("GET test:nonces:" + key) == "$1\r\n1\r\n");
    CHECK(server.command("SISMEMBER test:nonces " + key) == ":1\r\n");
    CHECK(server.command("TTL test:nonces:" + key) == ":-1\r\n");
    CHECK(server.command("INCR test:nonces:" + key) == ":2\r\n");
    CHECK(rig.post(kVisor, 1).status == 401);
    CHECK(rig.post(kVisor, 2).status == 200);

    // Somebody else advances it while the handler runs: it stays at theirs.
    rig.status = 404;
    rig.held = true;
    std::optional<Response> first;
    const auto begin = [&]() -> Task<> {
        Fields fields;
        http::sign_request(fields, kVisor, "{}", 3);
        first = co_await rig.handle(Method::post, "/echo", "{}", std::move(fields), "127.0.0.1");
    };
    asio::co_spawn(world.loop.ioc, begin, [](std::exception_ptr) {});
    world.loop.run_until([&] { return rig.handled == 3; });
    CHECK(server.command("INCR test:nonces:" + key) == ":5\r\n");
    rig.held = false;
    rig.entered.notify();
    world.loop.run_until([&] { return first.has_value(); });
    CHECK(rig.next_of(kVisor) == 5);
}

TEST_CASE("request auth: of equal requests to two services on one Redis one is accepted") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    TestStore store_one(world, TestStore::redis(server));
    TestStore store_two(world, TestStore::redis(server));
    Rig one(world, *store_one, false);
    Rig two(world, *store_two, false);
    const std::string key = kVisor.public_key.to_text();
    const auto post = [&](Rig& rig, std::uint64_t nonce, std::optional<Response>& answer
                      ) -> Task<> {
        Fields fields;
        http::sign_request(fields, kVisor, "{}", nonce);
        answer = co_await rig.handle(Method::post, "/echo", "{}", std::move(fields), "127.0.0.1");
    };
    constexpr std::uint64_t kRounds = 20;
    for (std::uint64_t nonce = 0; nonce < kRounds; ++nonce) {
        one.handled = two.handled = 0;
        std::optional<Response> first;
        std::optional<Response> second;
        const auto begin = [&](Rig& rig, std::optional<Response>& answer) {
            asio::co_spawn(world.loop.ioc, post(rig, nonce, answer), [](std::exception_ptr) {});
        };
        one.held = two.held = true;
        begin(one, first);
        begin(two, second);
        // One is served and waits; the other one is refused meanwhile.
        world.loop.run_until([&] { return first || second; });
        CHECK(one.handled + two.handled <= 1);
        Rig& served = first ? two : one;
        world.loop.run_until([&] { return served.handled == 1; });
        CHECK(first.value_or(second.value_or(Response::empty(0))).status == 401);
        one.held = two.held = false;
        served.entered.notify();
        world.loop.run_until([&] { return first && second; });
        CHECK(one.handled + two.handled == 1);
        CHECK(one.next_of(kVisor) == nonce + 1);
        CHECK(two.next_of(kVisor) == nonce + 1);
    }

    // What is not served leaves no trace.
    one.status = 404;
    CHECK(one.post(kVisor, kRounds).status == 404);
    CHECK(two.next_of(kVisor) == kRounds);
    CHECK(one.post(kOther, 0).status == 404);
    CHECK(server.command("EXISTS test:nonces:" + kOther.public_key.to_text()) == ":0\r\n");
    CHECK(server.command("SCARD test:nonces") == ":1\r\n");
    CHECK(two.post(kVisor, kRounds).status == 200);
    CHECK(server.command("GET test:nonces:" + key) == "$2\r\n21\r\n");
}

}  // namespace skywire::services
