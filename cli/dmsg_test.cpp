// The dmsg commands inside the test: what they are given, and what they print of a deployment that
// runs beside them. Whole processes: e2e/test_dmsg_commands.py.

#include "base/test.hpp"
#include "cli/dmsg_world.hpp"
#include "cli/test_run.hpp"
#include "framework/deployment.hpp"
#include "net/scope.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sys/stat.h>

namespace skywire::cli {

namespace {

const crypto::KeyPair kDiscoveryKeys = crypto::deterministic_key_pair("dmsg_test discovery");
const crypto::KeyPair kServerKeys = crypto::deterministic_key_pair("dmsg_test server");
const std::string kNobody = crypto::deterministic_key_pair("dmsg_test nobody").public_key.to_text();

/// A deployment of one block on free ports of this machine.
class Live {
 public:
    explicit Live(const std::string& block) {
        const std::string admin = "unix:" + folder_ / "admin.sock";
        auto loaded = framework::load_deployment(
            "test.json",
            R"({"supervisor": {"admin_addr": ")" + admin + R"("}, "services": [)" + block + "]}",
            registry_
        );
        REQUIRE(loaded.config);
        framework::Deployment::Options options;
        options.loops = 1;
        deployment_.emplace(
            framework::World{clock_, random_, network_, faults_, [](std::string_view) {}},
            std::move(*loaded.config),
            std::move(options)
        );
        REQUIRE(deployment_->start());
        REQUIRE(deployment_->wait_ready());
    }

    /// What a key of the block was bound to.
    std::string bound(const std::string& key) const {
        for (const auto& event : deployment_->timeline().events()) {
            if (event.event == "bound" && event.detail.starts_with(key + " "))
                return event.detail.substr(key.size() + 1);
        }
        throw std::runtime_error("nothing was bound for " + key);
    }

    /// Until the block has reached a milestone that its start waits for only for a while.
    void wait_reached(const std::string& label, std::string_view milestone) const {
        INFO(label << " " << milestone);
        const SteadyTime give_up = clock_.now() + std::chrono::minutes(1);
        asio::io_context own;
        asio::steady_timer pause(own);
        while (deployment_->timeline().find(label, "milestone", milestone) == 0) {
            REQUIRE(clock_.now() < give_up);
            pause.expires_after(std::chrono::milliseconds(2));
            pause.wait();
        }
    }

 private:
    TemporaryFolder folder_;
    framework::ServiceRegistry registry_ = test_types();
    SystemClock clock_;
    SystemRandom random_;
    net::SystemNetwork network_;
    Faults faults_;
    std::optional<framework::Deployment> deployment_;
};

/// A discovery, and a server that registers with it.
class Network {
 public:
    Network()
        : discovery_(
              R"({"type": "dmsg-discovery", "addr": "127.0.0.1:0", "testing": true, "secret_key": ")" +
              kDiscoveryKeys.secret_key.reveal_text() + R"("})"
          ),
          server_(
              R"({"type": "dmsg-server", "local_address": "127.0.0.1:0", "discovery": ")" + url() +
              R"(", "health_endpoint_address": "127.0.0.1:0", "secret_key": ")" +
              kServerKeys.secret_key.reveal_text() + R"("})"
          ) {
        server_.wait_reached("dmsg-server", "registered");
    }

    std::string url() const { return "http://" + discovery_.bound("addr"); }
    std::string server_address() const { return server_.bound("local_address"); }
    std::string server_option() const { return server_key() + "@" + server_address(); }
    static std::string server_key() { return kServerKeys.public_key.to_text(); }

    /// The discovery was there first: it looks for a server now and then.
    void wait_for_discovery() const {
        const std::string key = kDiscoveryKeys.public_key.to_text();
        SystemClock clock;
        const SteadyTime give_up = clock.now() + std::chrono::minutes(1);
        while (run({"dmsg", "disc", "entry", key}).code != kDone)
            REQUIRE(clock.now() < give_up);
    }

    Ran run(std::vector<std::string> line) const {
        line.insert(line.end(), {"--disc", url(), "--timeout", "10s"});
        return run_line(line);
    }

 private:
    Live discovery_;
    Live server_;
};

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// Connects, and is interrupted by who waits for the same session.
Task<Result<>> interrupt_connected(DmsgWorld& world, std::optional<Result<>>& connected) {
    net::Scope connecting(world.context().loop);
    net::Scope waiting(world.context().loop);
    connecting.spawn("connecting", [&]() -> Task<> { connected = co_await world.connect(); });
    waiting.spawn("waiting", [&]() -> Task<> {
        co_await world.client().wait_ready();
        connecting.cancel();
    });
    co_await waiting.wait_empty();
    co_await connecting.wait_empty();
    co_return Result<>();
}

}  // namespace

TEST_CASE("dmsg commands: addresses with and without scheme and port") {
    const std::string key = kServerKeys.public_key.to_text();
    for (const std::string& text :
         {key + ":81", "dmsg://" + key + ":81", "dmsg://" + key + ":81/"}) {
        const auto parsed = parse_dmsg_address(text, 80);
        REQUIRE(parsed);
        CHECK(parsed->pk == kServerKeys.public_key);
        CHECK(parsed->port == 81);
    }
    for (const std::string& text : {key, key + ":", key + ":~", "dmsg://" + key})
        CHECK(parse_dmsg_address(text, 80)->port == 80);
    const std::string null_key(66, '0');
    for (const std::string& text :
         {std::string(),
          std::string("dmsg://"),
          null_key,
          null_key + ":80",
          key.substr(1),
          key + ":65536",
          key + ":-1",
          key + ":x",
          "http://" + key,
          key + ":80/path"}) {
        INFO(text);
        CHECK_FALSE(parse_dmsg_address(text, 80));
    }
}

TEST_CASE("dmsg commands: numbers within bounds") {
    CHECK(parse_number("--count", "1", 1, 5).value() == 1);
    CHECK(parse_number("--count", "5", 1, 5).value() == 5);
    for (const char* text :
         {"0", "6", "", "x", "1x", " 1", "+1", "-1", "99999999999999999999999"}) {
        const auto refused = parse_number("--count", text, 1, 5);
        REQUIRE_FALSE(refused);
        CHECK(contains(refused.error().message(), "--count"));
        CHECK(contains(refused.error().message(), "from 1 to 5"));
    }
    CHECK(format_milliseconds(std::chrono::microseconds(530)) == "0.53 ms");
    CHECK(format_milliseconds(std::chrono::seconds(2)) == "2000.00 ms");
}

TEST_CASE("dmsg commands: what makes no sense is refused before anything is dialled") {
    const std::string url = "dmsg://" + kNobody + "/";
    for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
             {"dmsg", "curl", "http://127.0.0.1/"},
             {"dmsg", "curl", "dmsg://zz/"},
             {"dmsg", "curl", url, "-X", "FETCH"},
             {"dmsg", "curl", url, "-H", "no colon"},
             {"dmsg", "curl", url, "--sk", "zz"},
             {"dmsg", "curl", url, "--sk", "aa", "--keyfile", "x"},
             {"dmsg", "curl", url, "--keyfile", "/nonexistent/key"},
             {"dmsg", "curl", url, "--timeout", "soon"},
             {"dmsg", "curl", url, "--disc", "ftp://x"},
             {"dmsg", "curl", url, "--server", kNobody},
             {"dmsg", "curl", url, "--server", kNobody + "@nowhere"},
             {"dmsg", "cat"},
             {"dmsg", "cat", kNobody + ":1", "--listen", "1"},
             {"dmsg", "ping", "zz"},
             {"dmsg", "ping", kNobody, "-c", "0"},
             {"dmsg", "ping", kNobody, "-i", "x"},
             {"dmsg", "probe", kNobody, "--to", "zz"},
             {"dmsg", "iperf"},
             {"dmsg", "iperf", "--serve", kNobody},
             {"dmsg", "iperf", kNobody, "-P", "0"},
             {"dmsg", "iperf", kNobody, "-n", "0"},
             {"dmsg", "iperf", "--serve", "--port", "0"},
             {"dmsg", "disc", "entry", "zz"},
             {"dmsg", "disc", "servers", "--disc", "nonsense"},
             {"dmsg", "server", "start", "/nonexistent/server.json"}
         }) {
        const Ran run = run_line(line);
        INFO(line[1] << ' ' << line.back() << ": " << run.err);
        CHECK((run.code == kFailed || run.code == kUsage));
        CHECK(run.out.empty());
        CHECK_FALSE(run.err.empty());
    }
}

TEST_CASE("dmsg commands: the discovery's servers and entries") {
    const Network network;
    const Ran servers = network.run({"dmsg", "disc", "servers"});
    REQUIRE(servers.code == kDone);
    CHECK(contains(servers.out, Network::server_key()));
    CHECK(contains(servers.out, network.server_address()));
    const Ran list = network.run({"dmsg", "disc", "servers", "--all", "--json"});
    CHECK(parse_json(list.out)->as_array().size() == 1);
    const Ran entry = network.run({"dmsg", "disc", "entry", Network::server_key()});
    CHECK(contains(entry.out, "address     " + network.server_address()));
    const Ran nobody = network.run({"dmsg", "disc", "entry", kNobody});
    CHECK(nobody.code == kFailed);
    CHECK(contains(nobody.err, "entry of public key is not found"));
}

TEST_CASE("dmsg commands: servers alone are no discovery to ask") {
    const std::string server = kNobody + "@127.0.0.1:1";
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"entry", kNobody}, {"servers"}}) {
        std::vector<std::string> line{"dmsg", "disc", "--server", server};
        line.insert(line.begin() + 2, words.begin(), words.end());
        const Ran refused = run_line(line);
        CHECK(refused.code == kUsage);
        CHECK(refused.out.empty());
        CHECK(contains(refused.err, "--server needs --disc"));
    }
}

TEST_CASE("dmsg commands: a service by its key, with the discovery of a file") {
    const Network network;
    const TemporaryFolder folder;
    const std::string file = folder.write(
        "d.json",
        R"({"services": [{"type": "dmsg-discovery", "testing": true, "addr": ")" +
            network.url().substr(std::string_view("http://").size()) + R"("}]})"
    );
    const std::string key = kDiscoveryKeys.public_key.to_text();
    network.wait_for_discovery();
    const std::vector<std::string> line{
        "cli", "dmsgd", "servers", "--url", "dmsg://" + key, "--config", file, "--timeout", "10s"
    };
    const Ran asked = run_line(line);
    INFO(asked.err);
    CHECK(asked.code == kDone);
    CHECK(contains(asked.out, network.server_address()));
}

TEST_CASE("dmsg commands: a server's file that cannot be read, and why") {
    const TemporaryFolder folder;
    const Ran missing = run_line({"dmsg", "server", "start", folder / "nofile"});
    CHECK(missing.code == kFailed);
    CHECK(contains(missing.err, "nofile cannot be read: No such file or directory"));
    const Ran directory = run_line({"dmsg", "server", "start", folder / "."});
    CHECK(directory.code == kFailed);
    CHECK(contains(directory.err, "cannot be read: Is a directory"));
}

TEST_CASE("dmsg commands: HTTP, round trips and the steps to a server") {
    const Network network;
    const std::string key = kDiscoveryKeys.public_key.to_text();
    const std::string url = "dmsg://" + key + "/";
    network.wait_for_discovery();
    const Ran ping = network.run({"dmsg", "ping", "-c", "2", "-i", "1ms", key});
    INFO(ping.err);
    CHECK(ping.code == kDone);
    CHECK(contains(ping.out, "2 sent, 2 answered"));
    const Ran server =
        network.run({"dmsg", "ping", "-c", "1", "--server-key", Network::server_key()});
    CHECK(contains(server.out, "1 sent, 1 answered"));
    const Ran probe = network.run({"dmsg", "probe", Network::server_key(), "--to", key + ":7"});
    INFO(probe.out << probe.err);
    CHECK(probe.code == kDone);
    std::size_t last = 0;
    for (const char* step :
         {"ok    entry", "ok    connect", "ok    handshake", "ok    ping", "ok    stream"}) {
        const std::size_t at = probe.out.find(step);
        INFO(step);
        REQUIRE(at != std::string::npos);
        CHECK(at >= last);
        last = at;
    }
    const Ran wrong = network.run({"dmsg", "probe", kNobody});
    CHECK(wrong.code == kFailed);
    CHECK(contains(wrong.out, "fail  entry"));
    CHECK(contains(wrong.err, "entry: "));
    const Ran curl = network.run({"dmsg", "curl", url + "health"});
    CHECK(curl.code == kDone);
    CHECK(parse_json(curl.out)->at("dmsg_address").as_string() == key + ":80");
    // An answer is an answer, unless its status was asked for.
    CHECK(network.run({"dmsg", "curl", url + "nothing"}).code == kDone);
    const Ran failed = network.run({"dmsg", "curl", "--fail", url + "nothing"});
    CHECK(failed.code == kFailed);
    CHECK(contains(failed.err, "404"));
    const Ran nobody = network.run({"dmsg", "curl", "dmsg://" + kNobody + "/"});
    CHECK(nobody.code == kFailed);
    CHECK(nobody.out.empty());
    CHECK(contains(nobody.err, "entry is not found in discovery"));
}

TEST_CASE("dmsg commands: who is interrupted as the session comes does not go on with it") {
    const Network network;
    DmsgOptions options;
    options.discovery = network.url();
    const auto world = DmsgWorld::make(options);
    REQUIRE(world);
    DmsgWorld& made = **world;
    std::optional<Result<>> connected;
    REQUIRE(made.run([&] { return interrupt_connected(made, connected); }));
    REQUIRE(connected);
    REQUIRE_FALSE(*connected);
    CHECK(connected->error() == errc::cancelled);
}

TEST_CASE("dmsg commands: a repeatable option takes one value, and no positional one") {
    const Network network;
    // What follows --server KEY@ADDRESS is the key to ping.
    const Ran ping = run_line(
        {"dmsg",
         "ping",
         "-c",
         "1",
         "--server-key",
         "--server",
         network.server_option(),
         Network::server_key()}
    );
    INFO(ping.err);
    CHECK(ping.code == kDone);
    const Ran cat = run_line(
        {"dmsg", "cat", "--timeout", "10s", "--server", network.server_option(), kNobody + ":1"}
    );
    CHECK(cat.code == kFailed);
    CHECK_FALSE(contains(cat.err, "either an address or --listen PORT"));
}

TEST_CASE("dmsg commands: a server's file is made once, for its owner alone") {
    const TemporaryFolder folder;
    const std::string file = folder / "server.json";
    const std::vector<std::string> line = {
        "dmsg",
        "server",
        "config",
        "gen",
        "-o",
        file,
        "--disc",
        "http://192.0.2.1:9090",
        "--public-address",
        "203.0.113.7:8081"
    };
    const Ran made = run_line(line);
    REQUIRE(made.code == kDone);
    struct stat status{};
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    std::ifstream in(file);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    auto block = parse_json(text).value().as_object();
    CHECK(made.out == std::string(block.at("public_key").as_string()) + "\n");
    CHECK(block.at("public_address").as_string() == "203.0.113.7:8081");
    // It is a block, and a sound one.
    block["type"] = "dmsg-server";
    const auto loaded = framework::load_deployment(
        "test.json", json::serialize(json::object{{"services", json::array{block}}}), test_types()
    );
    for (const auto& problem : loaded.problems)
        UNSCOPED_INFO(problem.to_string("test.json"));
    CHECK(loaded.problems.empty());
    const Ran again = run_line(line);
    CHECK(again.code == kFailed);
    CHECK(contains(again.err, file));
    // Without -o it is printed: another key each time.
    const Ran printed = run_line({"dmsg", "server", "config", "gen"});
    CHECK(parse_json(printed.out)->at("public_key") != block.at("public_key"));
}

}  // namespace skywire::cli
