// The commands that ask services: against canned answers on a thread of the test, and against a
// deployment that runs beside it.

#include "base/test.hpp"
#include "cli/feed_reader.hpp"
#include "cli/service_client.hpp"
#include "cli/test_run.hpp"
#include "framework/deployment.hpp"
#include "http/server.hpp"
#include "http/signed_request.hpp"
#include "net/event_loops.hpp"

#include <future>
#include <limits>
#include <map>
#include <mutex>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

namespace skywire::cli {
namespace {

const std::string kA = crypto::deterministic_key_pair("a").public_key.to_text();
const std::string kB = crypto::deterministic_key_pair("b").public_key.to_text();
const crypto::KeyPair kMe = crypto::deterministic_key_pair("me");
const std::string kId = "a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97";

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// A service of canned answers, on a loop of its own.
class Canned {
 public:
    Canned() : loops_(1), workers_(1, 1) {
        router_.on(http::Method::get, "/*", [this](http::Request& request) {
            return answer(request);
        });
        router_.on(http::Method::post, "/*", [this](http::Request& request) {
            return answer(request);
        });
        loops_.start();
        on_loop([this] {
            server_.emplace(context_, router_, http::Server::Options());
            const auto any = net::Address::tcp("127.0.0.1", 0);
            server_->serve(network_.listen(context_.loop, any).value());
            address_ = server_->addresses().front();
        });
    }
    ~Canned() {
        asio::co_spawn(loops_.at(0), stop(), asio::use_future).get();
        on_loop([this] { server_.reset(); });
        loops_.join();
    }
    Canned(const Canned&) = delete;
    Canned& operator=(const Canned&) = delete;

    /// What it answers to this target from now on.
    void set(const std::string& target, unsigned status, const std::string& body) {
        const std::scoped_lock lock(mutex_);
        answers_[target] = {status, body};
    }

    std::string url() const { return "http://" + address_.to_string(); }
    net::Address address() const { return address_; }

    http::Request last() {
        const std::scoped_lock lock(mutex_);
        return last_;
    }

 private:
    void on_loop(const std::function<void()>& work) {
        std::promise<void> done;
        asio::post(loops_.at(0), [&] {
            work();
            done.set_value();
        });
        done.get_future().get();
    }

    Task<> stop() { (void)co_await server_->stop(clock_.now() + std::chrono::seconds(10)); }

    Task<http::Response> answer(http::Request& request) {
        const std::scoped_lock lock(mutex_);
        last_ = request;
        const auto found = answers_.find(request.target);
        if (found == answers_.end()) co_return http::not_found_page();
        co_return http::Response::json(found->second.first, found->second.second);
    }

    net::EventLoops loops_;
    SystemClock clock_;
    SystemRandom random_;
    net::SystemNetwork network_;
    net::WorkerPool workers_;
    MetricRegistry metrics_;
    Faults faults_;
    net::Context context_{
        loops_.at(0), clock_, random_, network_, workers_, metrics_, faults_, log::Logger()
    };
    http::Router router_;
    std::optional<http::Server> server_;
    net::Address address_;
    std::mutex mutex_;
    std::map<std::string, std::pair<unsigned, std::string>> answers_;
    http::Request last_;
};

std::string entry(const std::string& id, const std::string& a, const std::string& b) {
    return R"({"t_id":")" + id + R"(","edges":[")" + a + R"(",")" + b +
           R"("],"type":"stcpr","label":"user"})";
}

Ran ask(const Canned& canned, std::vector<std::string> line) {
    line.insert(line.begin(), "cli");
    line.insert(line.end(), {"--url", canned.url(), "--timeout", "10s"});
    return run_line(line);
}

}  // namespace

TEST_CASE("cli tp: the tree, by visor") {
    Canned canned;
    canned.set("/all-transports", 200, "[" + entry(kId, kA, kB) + "]\n");
    const Ran tree = ask(canned, {"tp", "tree"});
    INFO(tree.err);
    CHECK(tree.code == kDone);
    CHECK(contains(tree.out, kA + "\n└─ stcpr  " + kB + " " + kId + " user\n"));
    CHECK(contains(tree.out, kB + "\n└─ stcpr  " + kA + " " + kId + " user\n"));
    const Ran one = ask(canned, {"tp", "tree", kA});
    CHECK(one.out.starts_with(kA + "\n"));
    CHECK_FALSE(contains(one.out, "\n" + kB + "\n"));
    CHECK(ask(canned, {"tp", "tree", "--json"}).out == "[" + entry(kId, kA, kB) + "]\n");
    canned.set("/all-transports", 200, "null\n");
    const Ran none = ask(canned, {"tp", "tree"});
    CHECK(none.code == kDone);
    CHECK(none.out.empty());
    canned.set("/all-transports", 200, "nonsense");
    CHECK(ask(canned, {"tp", "tree"}).code == kFailed);
    CHECK(ask(canned, {"tp", "tree", "zz"}).code == kUsage);
}

TEST_CASE("cli tp: by key and by id, signed with the nonce that is due") {
    Canned canned;
    const std::string sk = kMe.secret_key.reveal_text();
    canned.set(
        "/security/nonces/" + kMe.public_key.to_text(), 200, R"({"edge":"x","next_nonce":7})"
    );
    canned.set("/transports/edge:" + kA, 200, "[" + entry(kId, kA, kB) + "]");
    const Ran key = ask(canned, {"tp", "key", kA, "--sk", sk});
    INFO(key.err);
    CHECK(key.code == kDone);
    CHECK(contains(key.out, kId));
    const auto headers = http::read_signed_headers(canned.last().fields);
    REQUIRE(headers);
    CHECK(headers->caller == kMe.public_key);
    CHECK(headers->nonce == 7);
    CHECK(http::check_signature(*headers, ""));

    canned.set("/transports/id:" + kId, 200, entry(kId, kA, kB));
    CHECK(contains(ask(canned, {"tp", "id", kId, "--sk", sk}).out, kA + " " + kB));
    const std::string other(kId.size() - 1, '0');
    canned.set("/transports/id:" + other, 404, R"({"error":"transport not found"})");
    const Ran missing = ask(canned, {"tp", "id", other, "--sk", sk});
    CHECK(missing.code == kFailed);
    CHECK(contains(missing.err, "status 404: \"transport not found\""));
    CHECK(ask(canned, {"tp", "id", "../x"}).code == kUsage);
    // A service without nonces.
    const Ran refused = ask(canned, {"tp", "key", kA});
    CHECK(refused.code == kFailed);
    CHECK(contains(refused.err, "the nonce of our key"));
}

TEST_CASE("cli route find: asks for both ways and prints the hops") {
    Canned canned;
    canned.set(
        "/routes",
        200,
        "{\"" + kA + ":" + kB + R"(":[[{"TpID":")" + kId + R"(","From":")" + kA + R"(","To":")" +
            kB + R"("}]]})"
    );
    const Ran found =
        ask(canned, {"route", "find", kA, kB, "--both", "--min", "2", "--routes", "9"});
    INFO(found.err);
    CHECK(found.code == kDone);
    CHECK(contains(found.out, "  route 1, 1 hop\n    " + kA + " -> " + kB + " by " + kId));
    const auto sent = parse_json(canned.last().body).value();
    CHECK(sent.at("Edges").as_array().size() == 2);
    CHECK(sent.at("Opts").at("MinHops").to_number<int>() == 2);
    CHECK(sent.at("Opts").at("MaxHops").to_number<int>() == 50);
    CHECK(sent.at("Opts").at("NumRoutes").to_number<int>() == 9);
    canned.set("/routes", 404, R"({"error":{"message":"no route to destination","code":404}})");
    const Ran none = ask(canned, {"route", "find", kA, kB});
    CHECK(none.code == kFailed);
    CHECK(contains(none.err, "no route to destination"));
    CHECK(ask(canned, {"route", "find", kA, "zz"}).code == kUsage);
    CHECK(ask(canned, {"route", "find", kA, kB, "--routes", "0"}).code == kUsage);
    CHECK(ask(canned, {"route", "find", kA, kB, "--max", "65536"}).code == kUsage);
}

TEST_CASE("cli sd: lists by type, with filters") {
    Canned canned;
    const std::string list = R"([{"address":")" + kA +
                             R"(:44","type":"vpn","geo":{"country":"DE","region":"BE"},)"
                             R"("version":"v1.3.29"}])";
    canned.set("/api/services?type=vpn", 200, list);
    const Ran vpn = ask(canned, {"sd", "vpn"});
    INFO(vpn.err);
    CHECK(vpn.code == kDone);
    CHECK(contains(vpn.out, kA + ":44"));
    CHECK(contains(vpn.out, "DE"));
    canned.set("/api/services?type=skysocks&country=D%20E&version=v1&quantity=3", 200, "null");
    const Ran proxy =
        ask(canned, {"sd", "proxy", "--country", "D E", "--with-version", "v1", "--count", "3"});
    CHECK(proxy.code == kDone);
    canned.set("/api/services?type=visor", 200, "[7,{}]");
    CHECK(ask(canned, {"sd", "visor"}).code == kDone);
    CHECK(ask(canned, {"sd", "skychat"}).code == kUsage);
    CHECK(ask(canned, {"sd", "vpn", "--count", "x"}).code == kUsage);
}

TEST_CASE("cli ar: resolves, and lists") {
    Canned canned;
    const std::string sk = kMe.secret_key.reveal_text();
    canned.set("/security/nonces/" + kMe.public_key.to_text(), 200, R"({"next_nonce":0})");
    canned.set(
        "/resolve/stcpr/" + kA,
        200,
        R"({"remote_addr":"203.0.113.7","port":"7777","addresses":["203.0.113.7"]})"
    );
    const Ran found = ask(canned, {"ar", "resolve", "stcpr", kA, "--sk", sk});
    INFO(found.err);
    CHECK(found.code == kDone);
    CHECK(contains(found.out, "remote_addr     203.0.113.7\n"));
    CHECK(contains(found.out, "port            7777\n"));
    const Ran none = ask(canned, {"ar", "resolve", "sudph", kA, "--sk", sk});
    CHECK(none.code == kFailed);
    CHECK(contains(none.err, "no sudph binding"));
    CHECK(ask(canned, {"ar", "resolve", "stcp", kA}).code == kUsage);
    canned.set("/transports", 200, R"({"sudph":[")" + kA + R"("],"stcpr":7})");
    CHECK(contains(ask(canned, {"ar", "list"}).out, "sudph  " + kA));
}

TEST_CASE("cli dmsgd: clients, visors, servers and an entry") {
    Canned canned;
    canned.set("/dmsg-discovery/entries", 200, "[\"" + kA + "\",\"" + kB + "\"]");
    CHECK(ask(canned, {"dmsgd", "clients"}).out == kA + "\n" + kB + "\n");
    canned.set("/dmsg-discovery/visorEntries", 200, "[]");
    CHECK(ask(canned, {"dmsgd", "visors"}).out.empty());
    canned.set(
        "/dmsg-discovery/all_servers",
        200,
        R"([{"static":")" + kA +
            R"(","server":{"address":"192.0.2.1:8081","availableSessions":5}},{}])"
    );
    CHECK(contains(ask(canned, {"dmsgd", "servers"}).out, "192.0.2.1:8081  5"));
    canned.set("/dmsg-discovery/entry/" + kA, 200, R"({"static":"x"})");
    CHECK(ask(canned, {"dmsgd", "entry", kA}).out == "{\"static\":\"x\"}\n");
    CHECK(ask(canned, {"dmsgd", "entry", kB}).code == kFailed);
}

TEST_CASE("cli: a service that is not there, or not in the file, is said so") {
    const Ran refused = run_line({"cli", "tp", "tree", "--url", "http://127.0.0.1:1"});
    CHECK(refused.code == kFailed);
    CHECK(contains(refused.err, "http://127.0.0.1:1"));
    CHECK(run_line({"cli", "tp", "tree", "--url", "ftp://x"}).code == kUsage);
    CHECK(run_line({"cli", "tp", "tree", "--url", "dmsg://zz"}).code == kUsage);
    const TemporaryFolder folder;
    const std::string file = folder.write("d.json", R"({"services":[{"type":"noop"}]})");
    const Ran missing = run_line({"cli", "sd", "vpn", "--config", file});
    CHECK(missing.code == kFailed);
    CHECK(contains(missing.err, "has no service-discovery"));
}

TEST_CASE("cli: the file names the service, by address or by key") {
    const TemporaryFolder folder;
    Canned canned;
    canned.set("/routes", 200, "{}");
    const std::string file = folder.write(
        "d.json",
        R"({"services":[{"type":"route-finder","addr":")" + canned.address().to_string() + R"("}]})"
    );
    CHECK(run_line({"cli", "route", "find", kA, kB, "--config", file}).code == kDone);
    const Ran keyless = run_line({"cli", "route", "find", kA, kB, "--config", file, "--dmsg"});
    CHECK(keyless.code == kFailed);
    CHECK(contains(keyless.err, "has no key"));
}

TEST_CASE("cli cxo: what is no feed, and what nobody of the file publishes") {
    const TemporaryFolder folder;
    const std::string none =
        folder.write("none.json", R"({"services":[{"type":"route-finder","addr":"127.0.0.1:1"}]})");
    const Ran nonsense = run_line({"cli", "cxo", "get", "nonsense", "--config", none});
    CHECK(nonsense.code == kUsage);
    CHECK(contains(nonsense.err, "neither a known feed nor KEY:PORT"));
    const Ran missing = run_line({"cli", "cxo", "watch", "sd-services", "--config", none});
    CHECK(missing.code == kFailed);
    CHECK(contains(missing.err, "no service-discovery of the file publishes sd-services"));
    CHECK(run_line({"cli", "cxo", "feeds", "--config", none}).code == kFailed);
    const Ran unreadable =
        run_line({"cli", "cxo", "stat", "sd-services", "--config", folder / "x"});
    CHECK(unreadable.code == kFailed);
}

TEST_CASE("cli cxo: where no feed answers the exit code says so") {
    const TemporaryFolder folder;
    const std::string key = kMe.secret_key.reveal_text();
    const std::string file = folder.write(
        "away.json",
        R"({"services":[{"type":"dmsg-discovery","addr":"127.0.0.1:1","testing":true},)"
        R"({"type":"service-discovery","addr":"127.0.0.1:2","secret_key":")" +
            key + R"(","cxo_tcp_addr":"127.0.0.1:3","dmsg":{"discovery":"http://127.0.0.1:1"}}]})"
    );
    const std::vector<std::string> none;
    const std::vector<std::string> tcp{"sd-services", "--tcp", "127.0.0.1:3"};
    const std::vector<std::string> dmsg{"sd-services"};
    for (const auto& [command, more] :
         {std::pair("feeds", none),
          std::pair("get", dmsg),
          std::pair("get", tcp),
          std::pair("watch", tcp),
          std::pair("stat", tcp)}) {
        std::vector<std::string> line{
            "cli", "cxo", command, "--config", file, "--timeout", "100ms"
        };
        line.insert(line.end(), more.begin(), more.end());
        const Ran ran = run_line(line);
        INFO(command << ' ' << ran.err);
        CHECK(ran.code == kFailed);
        CHECK(ran.out.find("live") == std::string::npos);
        CHECK_FALSE(ran.err.empty());
    }
}

TEST_CASE("cli cxo: what a publisher says cannot write to the terminal what it likes") {
    CHECK(printable("a\x1b[2J\nb\x7f", /*lines=*/false) == R"(a\x1b[2J\x0ab\x7f)");
    CHECK(printable("a\tb\n\r", /*lines=*/true) == "a\tb\n\\x0d");
    CHECK(printable("\xc2\x9bH \xc3\xbc \xc2", /*lines=*/true) == "\\xc2\\x9bH \xc3\xbc \xc2");
    const WallTime now(std::chrono::hours(1));
    cxo::Root root;
    root.time = std::numeric_limits<std::int64_t>::max();
    CHECK(age_text(now, root) == "0.0 s");
    root.time = std::numeric_limits<std::int64_t>::min();
    CHECK(age_text(now, root) == "9223375636.9 s");
    CHECK(time_text(root) == "1970-01-01T00:00:00Z");
}

TEST_CASE("cli sd: a service without a feed is asked over HTTP, and that is said") {
    const TemporaryFolder folder;
    Canned canned;
    canned.set("/api/services?type=vpn", 200, "[]");
    const std::string file = folder.write(
        "d.json",
        R"({"services":[{"type":"service-discovery","addr":")" + canned.address().to_string() +
            R"("}]})"
    );
    const Ran listed = run_line({"cli", "sd", "vpn", "--config", file});
    CHECK(listed.code == kDone);
    CHECK(listed.err == "over HTTP, just now\n");
}

TEST_CASE("cli svc status: who is no admin listener is not taken for one") {
    const TemporaryFolder folder;
    Canned other;
    const std::string address = other.address().to_string();
    const std::string file = folder.write(
        "d.json",
        R"({"supervisor":{"admin_addr":")" + address + R"("},"services":[{"type":"noop"}]})"
    );
    for (const char* body : {R"({"status":"ok"})", R"({"services":7})", "[]", "<html>"}) {
        other.set("/health", 200, body);
        for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
                 {"svc", "status", "--admin", address},
                 {"svc", "status", "--admin", address, "--json"},
                 {"svc", "health", "--here", "--config", file}
             }) {
            const Ran run = run_line(line);
            INFO(run.err);
            CHECK(run.code == kFailed);
            CHECK_FALSE(contains(run.out, "started"));
            CHECK_FALSE(contains(run.out, body));
            CHECK(contains(run.err, "no admin listener of skywire at " + address));
        }
    }
}

TEST_CASE("cli svc health: a line per service, and an exit code for scripts") {
    const TemporaryFolder folder;
    Canned up;
    up.set(
        "/health",
        200,
        R"({"service_name":"route-finder","build_info":{"version":"v9"},"dmsg_address":")" + kA +
            R"(:80"})"
    );
    const auto deployment = [&](const std::string& discovery) {
        return folder.write(
            "d.json",
            R"({"services":[{"type":"route-finder","name":"rf","addr":")" +
                up.address().to_string() +
                R"("},{"type":"dmsg-discovery","name":"dmsgd","testing":true,"addr":")" +
                discovery + R"("},{"type":"setup-node","name":"sn","secret_key":")" +
                kMe.secret_key.reveal_text() +
                R"(","dmsg":{"discovery":"http://127.0.0.1:1"}},{"type":"noop","name":"idle"}]})"
        );
    };
    const std::string down = deployment("127.0.0.1:1");
    // A session that nobody can help to is not waited for.
    const Ran mixed = run_line({"svc", "health", "--config", down, "--timeout", "10m"});
    INFO(mixed.out << mixed.err);
    CHECK(mixed.code == kFailed);
    CHECK(contains(mixed.out, "v9"));
    CHECK(contains(mixed.out, kA));
    CHECK(contains(mixed.out, "dmsgd    dmsg-discovery  fail"));
    CHECK(contains(mixed.out, "sn       setup-node      fail"));
    CHECK(contains(mixed.out, "the dmsg-discovery does not answer"));
    const Ran only = run_line({"svc", "health", "--config", down, "--only", "rf,idle", "--json"});
    CHECK(only.code == kDone);
    const auto rows = parse_json(only.out).value();
    REQUIRE(rows.as_array().size() == 2);
    CHECK(rows.at(0).at("status").as_string() == "ok");
    CHECK(rows.at(0).at("public_key").as_string() == kA);
    CHECK(rows.at(1).at("status").as_string() == "none");
    CHECK(run_line({"svc", "health", "--config", down, "--only", "nobody"}).code == kUsage);
    CHECK(run_line({"svc", "health"}).code == kUsage);
}

}  // namespace skywire::cli
