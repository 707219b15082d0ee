#include "store/redis.hpp"

#include "base/test.hpp"
#include "net/deadline.hpp"
#include "store/redis_connection.hpp"
#include "store/redis_server.hpp"
#include "store/resp.hpp"
#include "store/store_suite.hpp"

#include <deque>

namespace skywire::store {
namespace {

using namespace std::chrono_literals;

RedisOptions options_for(const RedisServer& server) {
    RedisOptions options;
    options.url = RedisUrl::parse(server.url()).value();
    // A loaded machine must not make a test fail: only tests about time shorten this.
    options.command_timeout = 60s;
    options.connect_timeout = 60s;
    options.reconnect_min = 1ms;
    options.reconnect_max = 20ms;
    return options;
}

void close(net::TestLoop& loop, Store& store) {
    CHECK(loop.run(store.close(loop.system_clock.now() + 60s)).has_value());
}

/// Asks until the store answers again.
void wait_until_up(net::TestLoop& loop, Store& store) {
    for (;;) {
        const auto up = loop.run(store.ping());
        if (up) return;
        REQUIRE(up.error() == make_error_code(errc::unavailable));
        CHECK(loop.run(net::sleep_for(loop.system_clock, 1ms)));
    }
}

double errors(net::TestLoop& loop, const std::string& reason) {
    return static_cast<double>(
        loop.metrics.counter("store_redis_errors_total", "", {{"reason", reason}}).value()
    );
}

TEST_CASE("redis url: what is accepted") {
    const auto parse = [](std::string_view text) { return RedisUrl::parse(text).value(); };
    RedisUrl url = parse("redis://user:p%40ss@10.0.0.1:7000/3");
    CHECK(url.address == net::Address::tcp("10.0.0.1", 7000));
    CHECK(url.user == "user");
    CHECK(url.password == "p@ss");
    CHECK(url.database == 3);
    CHECK(url.to_string() == "redis://10.0.0.1:7000/3");

    CHECK(parse("redis://localhost").address == net::Address::tcp("localhost", 6379));
    CHECK(parse("localhost:7000").address == net::Address::tcp("localhost", 7000));
    CHECK(parse("redis://:secret@host").password == "secret");
    CHECK(parse("redis://:secret@host").user.empty());
    CHECK(parse("redis://:a:b@c@host").password == "a:b@c");
    CHECK(parse("redis://:a/b@host").password == "a/b");
    CHECK(parse("redis://[::1]:7000").address == net::Address::tcp("::1", 7000));
    CHECK(parse("redis://[::1]").address == net::Address::tcp("::1", 6379));
    CHECK(parse("redis://host/").database == 0);
    CHECK(parse("redis://host?db=4&protocol=2").database == 4);

    url = parse("unix:///run/redis.sock?db=2");
    CHECK(url.address == net::Address::unix_path("/run/redis.sock"));
    CHECK(url.database == 2);
    CHECK(url.to_string() == "unix:///run/redis.sock?db=2");
    url = parse("unix://user:secret@/run/redis.sock");
    CHECK(url.password == "secret");
    CHECK(url.address == net::Address::unix_path("/run/redis.sock"));
}

TEST_CASE("redis url: what is refused, without a word of the password") {
    const auto refused = [](std::string_view text, errc code) {
        const auto url = RedisUrl::parse(text);
        INFO(text);
        REQUIRE_FALSE(url.has_value());
        CHECK(url.error() == make_error_code(code));
        CHECK(url.error().message().find("secret") == std::string::npos);
    };
    for (const char* text :
         {"rediss://host",
          "rediss://:secret@host",
          "redis+sentinel://host",
          "redis-sentinel://:secret@a,b/master",
          "redis-cluster://host",
          "redis://host?protocol=3"}) {
        refused(text, errc::unsupported);
    }
    for (const char* text :
         {"http://host",
          "redis://host:port",
          "redis://host:0",
          "redis://host:65536",
          "redis://host:70000/1",
          "redis://host/one",
          "redis://host/-1",
          "redis://host/1/2",
          "redis://host?dial_timeout=1",
          "redis://:%zz@host",
          "redis://:secret%4@host",
          "redis://user@host",
          "redis://[::1",
          "redis://::1",
          "redis://ho st",
          "unix://relative/path",
          "unix://"}) {
        refused(text, errc::malformed);
    }
}

TEST_CASE("redis: error replies have a code, a sentence and no password") {
    const auto code = [](std::string_view text) { return error_of_reply(text, "hunter2").code(); };
    CHECK(code("LOADING Redis is loading") == errc::unavailable);
    CHECK(code("READONLY You can't write") == errc::unavailable);
    CHECK(code("NOAUTH Authentication required.") == errc::forbidden);
    CHECK(code("WRONGPASS invalid") == errc::forbidden);
    CHECK(code("NOPERM this user") == errc::forbidden);
    CHECK(code("MOVED 3999 127.0.0.1:6381") == errc::unsupported);
    CHECK(code("CROSSSLOT Keys in request") == errc::unsupported);
    CHECK(code("OOM command not allowed") == errc::limit_reached);
    CHECK(code("WRONGTYPE Operation") == errc::malformed);
    CHECK(
        code("ERR Error running script (call to f_1): @user_script:4: WRONGTYPE Operation") ==
        errc::malformed
    );
    CHECK(code("ERR something new") == errc::unavailable);
    CHECK(
        error_of_reply("MOVED 3999 127.0.0.1:6381", {})
            .message()
            .find("Redis Cluster is not supported") != std::string::npos
    );
    CHECK(
        error_of_reply("ERR you said hunter2 hunter2", "hunter2").message().find("hunter2") ==
        std::string::npos
    );
}

TEST_CASE("resp: replies come out whole, however they are cut") {
    using namespace std::string_literals;
    const std::string text =
        "+OK\r\n-ERR no\r\n:42\r\n$-1\r\n$5\r\na\r\n\0b\r\n"s
        "*3\r\n$1\r\nx\r\n*1\r\n:-1\r\n*-1\r\n*0\r\n$0\r\n\r\n"s;
    for (std::size_t chunk = 1; chunk < 40; ++chunk) {
        ReplyReader reader(1000);
        std::vector<Reply> replies;
        for (std::size_t at = 0; at < text.size(); at += chunk) {
            reader.feed(as_bytes(std::string_view(text).substr(at, chunk)));
            for (;;) {
                auto reply = reader.next().value();
                if (!reply) break;
                replies.push_back(std::move(*reply));
            }
        }
        REQUIRE(replies.size() == 8);
        CHECK(replies[0].kind == Reply::Kind::status);
        CHECK(replies[1].text == "ERR no");
        CHECK(replies[2].integer == 42);
        CHECK(replies[3].kind == Reply::Kind::nil);
        CHECK(replies[4].text == std::string_view("a\r\n\0b", 5));
        REQUIRE(replies[5].elements.size() == 3);
        CHECK(replies[5].elements[1].elements.at(0).integer == -1);
        CHECK(replies[5].elements[2].kind == Reply::Kind::nil);
        CHECK(replies[6].kind == Reply::Kind::array);
        CHECK(replies[7].kind == Reply::Kind::string);
    }
}

TEST_CASE("resp: what is no reply, too deep or too large is refused") {
    const auto refusal = [](const std::string& text) {
        ReplyReader reader(1000);
        reader.feed(as_bytes(text));
        return reader.next().error().code();
    };
    CHECK(refusal("HTTP/1.1 400 Bad Request\r\n") == errc::malformed);
    CHECK(refusal("$x\r\n") == errc::malformed);
    CHECK(refusal("*2147483648\r\n") == errc::malformed);
    std::string deep;
    for (int i = 0; i < 20; ++i)
        deep += "*1\r\n";
    CHECK(refusal(deep) == errc::malformed);
    CHECK(refusal("$100000\r\n" + std::string(1001, 'x')) == errc::out_of_range);
    CHECK(refusal("+" + std::string(1001, 'x')) == errc::out_of_range);
    std::string many = "*1000000\r\n";
    for (int i = 0; i < 300; ++i)
        many += ":1\r\n";
    CHECK(refusal(many) == errc::out_of_range);
}

TEST_CASE("redis server: while it is down no other program is given its port") {
    RedisServer server({.tcp = true, .appendonly = false, .password = {}, .more = {}});
    server.stop();
    CHECK(net::bind_error(server.port()) == EADDRINUSE);
    server.start();
    CHECK(server.command("PING") == "+PONG\r\n");
}

TEST_CASE("redis store: behaves as every store does") {
    for (const bool tcp : {false, true}) {
        RedisServer server({.tcp = tcp, .appendonly = false, .password = {}, .more = {}});
        net::TestLoop loop;
        const auto store = make_redis_store(loop.context, options_for(server));
        CHECK(store->kind() == "redis");
        check_store_behaviour(loop, *store);
        close(loop, *store);
        CHECK(loop.run(store->get("k")).error() == make_error_code(errc::closed));
        CHECK(loop.metrics.counter("store_redis_commands_total", "").value() > 100);
        CHECK(loop.metrics.gauge("store_redis_pending", "").value() == 0);
    }
}

TEST_CASE("redis store: the layout is plain keys, sets and lifetimes") {
    RedisServer server;
    net::TestLoop loop;
    const auto store = make_redis_store(loop.context, options_for(server));
    must_apply(loop, *store, SetValue{"key", "value", 1h});
    must_apply(loop, *store, SetValue{"forever", "value"});
    must_apply(loop, *store, AddToSet{"servers", "key"});
    Batch batch = one_value("other", "value", 100h);
    batch.expected = {{"key", "value"}};
    CHECK(loop.run(store->apply(batch)).value());
    CHECK(server.command("GET key") == "$5\r\nvalue\r\n");
    const auto lifetime = [&](const std::string& key) {
        return std::stoll(server.command("PTTL " + key).substr(1));
    };
    CHECK(lifetime("key") > 0);
    CHECK(lifetime("key") <= 3'600'000);
    CHECK(lifetime("other") > 3'600'000);
    CHECK(lifetime("forever") == -1);
    CHECK(server.command("SISMEMBER servers key") == ":1\r\n");
    CHECK(server.command("DBSIZE") == ":4\r\n");

    // Less than a millisecond is not "forever".
    must_apply(loop, *store, SetValue{"brief", "value", 1ns});
    while (loop.run(store->get("brief")).value()) {
    }
    close(loop, *store);
}

TEST_CASE("redis store: many calls at once share the connection") {
    RedisServer server;
    net::TestLoop loop;
    const auto store = make_redis_store(loop.context, options_for(server));
    int ended = 0;
    int right = 0;
    for (int i = 0; i < 1000; ++i) {
        const std::string key = std::to_string(i);
        asio::co_spawn(
            loop.ioc,
            store->apply(one_value(key, key)),
            [&](std::exception_ptr, Result<bool> applied) {
                ++ended;
                right += applied && *applied;
            }
        );
        asio::co_spawn(
            loop.ioc,
            store->get(key),
            [&, key](std::exception_ptr, Result<std::optional<std::string>> value) {
                ++ended;
                right += value && *value == key;
            }
        );
    }
    loop.run_until([&] { return ended == 2000; });
    CHECK(right == 2000);
    close(loop, *store);
}

TEST_CASE("redis store: password and database number") {
    RedisServer server({.tcp = true, .appendonly = false, .password = "hunter2", .more = {}});
    net::TestLoop loop;
    RedisOptions options = options_for(server);
    options.url.database = 5;
    CHECK(loop.run(probe_redis(loop.context, options)).has_value());
    const auto store = make_redis_store(loop.context, options);
    must_apply(loop, *store, SetValue{"key", "value"});
    CHECK(server.command("INFO keyspace").find("db5:keys=1") != std::string::npos);
    close(loop, *store);

    options.url.user = "default";
    CHECK(loop.run(probe_redis(loop.context, options)).has_value());

    const auto problem = [&](const RedisOptions& wrong) {
        const auto probed = loop.run(probe_redis(loop.context, wrong));
        REQUIRE_FALSE(probed.has_value());
        CHECK(probed.error() == make_error_code(errc::unavailable));
        CHECK(probed.error().message().find("hunter") == std::string::npos);
        return probed.error().message();
    };
    using Catch::Contains;
    options.url.password = "hunter3";
    CHECK_THAT(problem(options), Contains("refuses the user name or password"));
    options.url.user.clear();
    options.url.password.clear();
    CHECK_THAT(problem(options), Contains("asks for a password"));
    options.url.password = "hunter2";
    options.url.database = 99;
    CHECK_THAT(problem(options), Contains("no database of this number"));
    options.url.address.port = 1;
    CHECK_THAT(problem(options), Contains("redis://127.0.0.1:1/99"));

    // A store with the wrong password says so in every call.
    options = options_for(server);
    options.url.password = "hunter3";
    const auto locked_out = make_redis_store(loop.context, options);
    const auto refused = loop.run(locked_out->get("key"));
    CHECK(refused.error() == make_error_code(errc::unavailable));
    CHECK_THAT(refused.error().message(), Contains("refuses the user name or password"));
    CHECK(errors(loop, "refused") >= 1);
    close(loop, *locked_out);
}

TEST_CASE("redis store: a server killed in mid-request loses nothing it acknowledged") {
    RedisServer server({.tcp = false, .appendonly = true, .password = {}, .more = {}});
    net::TestLoop loop;
    const auto store = make_redis_store(loop.context, options_for(server));
    for (int round = 0; round < 3; ++round) {
        std::set<std::string> acknowledged;
        int ended = 0;
        int other_errors = 0;
        const int calls = 300;
        for (int i = 0; i < calls; ++i) {
            const std::string key = std::to_string(round) + ":" + std::to_string(i);
            const auto note = [&, key](std::exception_ptr, Result<bool> applied) {
                ++ended;
                if (applied) {
                    acknowledged.insert(key);
                } else {
                    other_errors += applied.error().code() != errc::unavailable;
                }
                if (acknowledged.size() == 100) server.kill();
            };
            // One at a time, so that the server dies between two of them.
            Batch batch = one_value(key, "value");
            batch.changes.push_back(AddToSet{"all", key});
            asio::co_spawn(loop.ioc, store->apply(std::move(batch)), note);
            if (i % 10 == 9) loop.run_until([&] { return ended == i + 1; });
        }
        loop.run_until([&] { return ended == calls; });
        CHECK(other_errors == 0);
        CHECK(acknowledged.size() >= 100);
        CHECK(acknowledged.size() < calls);
        CHECK(loop.run(store->get("key")).error() == make_error_code(errc::unavailable));

        server.start();
        wait_until_up(loop, *store);
        const auto all = loop.run(store->members("all")).value();
        const std::set<std::string> kept(all.begin(), all.end());
        for (const std::string& key : acknowledged) {
            CHECK(kept.contains(key));
            CHECK(loop.run(store->get(key)).value() == "value");
        }
    }
    CHECK(loop.metrics.counter("store_redis_reconnects_total", "").value() >= 3);
    CHECK(errors(loop, "lost") == 3);
    close(loop, *store);
}

TEST_CASE("redis store: a server that stops answering fails calls by their deadline") {
    RedisServer server;
    net::TestLoop loop;
    RedisOptions options = options_for(server);
    const auto patient = make_redis_store(loop.context, options);
    must_apply(loop, *patient, SetValue{"key", "value"});
    options.command_timeout = 50ms;
    const auto store = make_redis_store(loop.context, options);
    wait_until_up(loop, *store);
    // Of a machine on which that took its time.
    const double late = errors(loop, "timeout");

    server.pause();
    std::optional<Result<std::optional<std::string>>> waited;
    asio::co_spawn(
        loop.ioc,
        patient->get("key"),
        [&](std::exception_ptr, Result<std::optional<std::string>> v) { waited = std::move(v); }
    );
    const auto value = loop.run(store->get("key"));
    CHECK(value.error() == make_error_code(errc::unavailable));
    CHECK_THAT(value.error().message(), Catch::Contains("no reply within 50ms"));
    CHECK(errors(loop, "timeout") == late + 1);
    CHECK_FALSE(waited);

    server.resume();
    loop.run_until([&] { return waited.has_value(); });
    CHECK(waited->value() == "value");
    close(loop, *store);
    close(loop, *patient);
}

TEST_CASE("redis store: a cancelled call leaves the replies of the others in order") {
    RedisServer server;
    net::TestLoop loop;
    const auto store = make_redis_store(loop.context, options_for(server));
    must_apply(loop, *store, SetValue{"a", "1"});
    must_apply(loop, *store, SetValue{"b", "2"});
    server.pause();
    const auto cancelled = loop.run(
        net::with_deadline(loop.system_clock, loop.system_clock.now() + 1ms, store->get("a"))
    );
    REQUIRE_FALSE(cancelled.has_value());
    std::optional<std::string> b;
    asio::co_spawn(
        loop.ioc,
        store->get("b"),
        [&](std::exception_ptr, Result<std::optional<std::string>> v) { b = v.value(); }
    );
    loop.settle();
    server.resume();
    loop.run_until([&] { return b.has_value(); });
    CHECK(b == "2");
    close(loop, *store);
}

TEST_CASE("redis store: bounds, faults and a server that is not there") {
    RedisServer server;
    net::TestLoop loop;
    RedisOptions options = options_for(server);
    options.pending_max = 3;
    options.outgoing_bytes_max = 1000;
    options.reply_bytes_max = 100'000;
    {
        const auto store = make_redis_store(loop.context, options);
        const auto large = one_value("k", std::string(1001, 'x'));
        CHECK(loop.run(store->apply(large)).error() == make_error_code(errc::limit_reached));
        int limited = 0;
        int ended = 0;
        for (int i = 0; i < 5; ++i) {
            asio::co_spawn(loop.ioc, store->ping(), [&](std::exception_ptr, Result<> pong) {
                ++ended;
                limited += !pong && pong.error().code() == errc::limit_reached;
            });
        }
        loop.run_until([&] { return ended == 5; });
        CHECK(limited == 2);
        CHECK(errors(loop, "limit") == 3);

        // A reply beyond the bound costs the connection, not the store.
        server.command("SETRANGE big 1000000 x");
        CHECK(loop.run(store->get("big")).error() == make_error_code(errc::unavailable));
        CHECK(errors(loop, "protocol") == 1);
        wait_until_up(loop, *store);
        close(loop, *store);
    }
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
    const auto store = make_redis_store(context, options);
    faults.failing_point = "store";
    CHECK(loop.run(store->get("k")).error() == make_error_code(errc::injected));
    CHECK(faults.seen_subject == "unix:" + server.socket_path());
    faults.failing_point.clear();
    CHECK(loop.run(store->ping()).has_value());
    server.stop();
    // The end of the connection is seen before or after the call: both times it is unavailable.
    CHECK(loop.run(store->get("k")).error() == make_error_code(errc::unavailable));
    CHECK(loop.run(probe_redis(context, options)).error() == make_error_code(errc::unavailable));
    close(loop, *store);

    const auto never = make_redis_store(context, options);
    CHECK(loop.run(never->get("k")).error() == make_error_code(errc::unavailable));
    server.start();
    wait_until_up(loop, *never);
    close(loop, *never);
}

TEST_CASE("redis store: a close that may not wait ends what is under way") {
    RedisServer server;
    net::TestLoop loop;
    const auto store = make_redis_store(loop.context, options_for(server));
    CHECK(loop.run(store->ping()).has_value());
    server.pause();
    std::optional<Error> error;
    asio::co_spawn(
        loop.ioc,
        store->get("key"),
        [&](std::exception_ptr, Result<std::optional<std::string>> value) { error = value.error(); }
    );
    loop.settle();
    CHECK(loop.run(store->close(loop.system_clock.now())).has_value());
    loop.settle();
    REQUIRE(error.has_value());
    CHECK(*error == make_error_code(errc::closed));

    // Before the first connection is there, too.
    const auto unborn = make_redis_store(loop.context, options_for(server));
    CHECK(loop.run(unborn->close(loop.system_clock.now())).has_value());
}

TEST_CASE("redis store: a cluster and a replica are named as what they are") {
    net::TestLoop loop;
    const RedisServer cluster(
        {.tcp = false, .appendonly = false, .password = {}, .more = {"--cluster-enabled", "yes"}}
    );
    auto store = make_redis_store(loop.context, options_for(cluster));
    const auto value = loop.run(store->get("key"));
    CHECK(value.error() == make_error_code(errc::unsupported));
    CHECK_THAT(value.error().message(), Catch::Contains("Redis Cluster is not supported"));
    close(loop, *store);

    const RedisServer replica(
        {.tcp = false,
         .appendonly = false,
         .password = {},
         .more = {"--replicaof", "127.0.0.1", "1"}}
    );
    store = make_redis_store(loop.context, options_for(replica));
    CHECK(loop.run(store->get("key")).value() == std::nullopt);
    Batch batch = one_value("key", "value");
    const auto read_only = [&] {
        const auto applied = loop.run(store->apply(batch));
        CHECK(applied.error() == make_error_code(errc::unavailable));
        CHECK_THAT(applied.error().message(), Catch::Contains("read-only replica"));
    };
    read_only();
    batch.changes.push_back(Erase{"other"});
    read_only();
    batch.expected = {{"key", std::nullopt}};
    read_only();
    close(loop, *store);
}

TEST_CASE("redis store: a full server refuses and goes on") {
    RedisServer server(
        {.tcp = false, .appendonly = false, .password = {}, .more = {"--maxmemory", "3mb"}}
    );
    net::TestLoop loop;
    const auto store = make_redis_store(loop.context, options_for(server));
    must_apply(loop, *store, SetValue{"small", "value"});
    Result<bool> applied = true;
    for (int i = 0; applied && i < 100; ++i) {
        Batch batch = one_value("large" + std::to_string(i), std::string(100'000, 'x'));
        batch.changes.push_back(AddToSet{"all", std::to_string(i)});
        applied = loop.run(store->apply(std::move(batch)));
    }
    REQUIRE_FALSE(applied.has_value());
    CHECK(applied.error() == make_error_code(errc::limit_reached));
    CHECK(loop.run(store->get("small")).value() == "value");
    close(loop, *store);
}

}  // namespace
}  // namespace skywire::store
