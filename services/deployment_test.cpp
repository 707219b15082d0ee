// The built-in deployment as a whole, in one process: its start and end on a held clock, and a
// thousand dmsg clients at once. Scenarios D18, D19, S08 and S09 of spec/e2e.md section 8.

#include "base/test.hpp"
#include "dmsg/client.hpp"
#include "framework/harness/harness.hpp"
#include "net/test_loop.hpp"
#include "services/registry.hpp"

#include <map>
#include <set>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;
using harness::Harness;

constexpr const char* kDiscovery = "127.0.0.1:9090";
constexpr const char* kServerHealth = "127.0.0.1:8082";
constexpr std::string_view kDiscoveryKey =
    "02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a";
constexpr std::string_view kServerKey =
    "035915c609f71d0c7df27df85ec698ceca0cb262590a54f732e3bbd0cc68d89282";
constexpr std::array kLabels{
    "dmsgd", "dmsgs", "tpd", "sd", "ar", "rf", "sn", "tps", "stun", "conf", "viz"
};
/// Those that are clients of the server themselves.
constexpr std::array kClientLabels{"dmsgd", "tpd", "sd", "ar", "rf", "sn", "tps", "conf", "viz"};

std::string built_in() {
    return test::read_file("configs/deployment.json");
}

/// Starts, the clock a millisecond at a time; how much of it passed until all was ready.
Duration boot(Harness& harness) {
    const SteadyTime begun = harness.clock().now();
    REQUIRE(harness.start());
    const auto outcome = [&] { return harness.deployment().ready_outcome(); };
    harness.advance_until("ready", [&] { return outcome().has_value(); }, 1ms);
    REQUIRE(outcome() == true);
    return harness.clock().now() - begun;
}

json::object json_of(Harness& harness, const char* address, const std::string& target) {
    const auto response = harness.get(address, target);
    INFO(target << ": " << response.body_view());
    REQUIRE(response.status == 200);
    return parse_json(response.body).value().as_object();
}

json::array array_of(Harness& harness, const std::string& target) {
    const auto response = harness.get(kDiscovery, target);
    REQUIRE(response.status == 200);
    return parse_json(response.body).value().as_array();
}

}  // namespace

TEST_CASE("deployment: a cold start of everything at once needs no retry") {
    Harness harness(all_service_types(), built_in());
    // Every pause before another try is a second or longer.
    CHECK(boot(harness) < 1s);
    INFO(harness.timeline_text());
    CHECK(harness.before("dmsgd milestone http", "dmsgs starting"));
    CHECK(harness.before("dmsgs milestone registered", "dmsgd milestone dmsg"));
    CHECK(harness.before("dmsgd milestone dmsg", "dmsgd ready"));
    for (const char* label : kLabels) {
        CHECK(harness.count(std::string(label) + " ready") == 1);
        CHECK(harness.count(std::string(label) + " failed") == 0);
        CHECK(harness.count(std::string(label) + " degraded") == 0);
        CHECK(harness.service(label).restarts == 0);
    }
    CHECK_FALSE(harness.logged("WARN"));
    CHECK(harness.stop() == 0);
}

TEST_CASE("deployment: every service's /health says where it is on dmsg") {
    Harness harness(all_service_types(), built_in());
    boot(harness);
    const auto discovery = json_of(harness, kDiscovery, "/health");
    CHECK(discovery.at("dmsg_address").as_string() == std::string(kDiscoveryKey) + ":80");
    const auto& servers = discovery.at("dmsg_servers").as_array();
    REQUIRE(servers.size() == 1);
    CHECK(servers[0].as_string() == kServerKey);
    const auto server = json_of(harness, kServerHealth, "/health");
    CHECK(server.at("service_name").as_string() == "dmsg-server");
    CHECK(server.at("public_key").as_string() == kServerKey);
    CHECK(
        server.at("dmsg_server").as_object().at("client_sessions").to_number<std::size_t>() ==
        kClientLabels.size()
    );
    CHECK(harness.stop() == 0);
}

TEST_CASE("deployment: the server's entry is deleted while the discovery still takes that") {
    Harness harness(all_service_types(), built_in());
    boot(harness);
    REQUIRE(harness.deployment().logs().set_level("dmsgd", log::Level::debug, 1h));
    CHECK(harness.stop() == 0);
    INFO(harness.timeline_text());
    CHECK(harness.before("dmsgs draining", "dmsgs stopped"));
    CHECK(harness.before("dmsgs stopped", "dmsgd draining"));
    CHECK(harness.before("dmsgd draining", "dmsgd stopped"));
    bool deleted = false;
    for (const auto& line : harness.log_lines()) {
        const auto holds = [&](std::string_view part) {
            return line.find(part) != std::string::npos;
        };
        if (holds("method=DELETE") && holds("/dmsg-discovery/entry")) deleted = holds("status=200");
    }
    CHECK(deleted);
    CHECK_FALSE(harness.logged("not_deleted"));
}

namespace {

/// What the discovery has acknowledged, and whether it is asked at all.
struct Acknowledged {
    std::map<crypto::PublicKey, dmsg::Entry> newest;
    std::size_t posts = 0;
    std::size_t under_way = 0;
    bool closed = false;
};

class Recording final : public dmsg::DiscoveryClient {
 public:
    Recording(std::unique_ptr<dmsg::DiscoveryClient> below, Acknowledged& into)
        : below_(std::move(below)), into_(into) {}

    Task<Result<dmsg::Entry>> entry(crypto::PublicKey key) override { return below_->entry(key); }
    Task<Result<std::vector<dmsg::Entry>>> available_servers() override {
        return below_->available_servers();
    }
    Task<Result<std::vector<dmsg::Entry>>> all_servers() override { return below_->all_servers(); }
    Task<Result<>> post(dmsg::Entry entry) override {
        if (into_.closed) co_return fail(errc::unavailable, "the test has seen enough");
        ++into_.under_way;
        const auto posted = co_await below_->post(entry);
        --into_.under_way;
        if (!posted) co_return posted;
        ++into_.posts;
        into_.newest[entry.static_key] = std::move(entry);
        co_return posted;
    }
    Task<Result<>> erase(dmsg::Entry entry) override { return below_->erase(std::move(entry)); }

 private:
    std::unique_ptr<dmsg::DiscoveryClient> below_;
    Acknowledged& into_;
};

/// Clients of a deployment on one loop of the test, which the test's thread runs.
class Crowd {
 public:
    explicit Crowd(Harness& harness)
        : context_(
              loop_.ioc.get_executor(),
              loop_.system_clock,
              loop_.random,
              harness.network(),
              loop_.workers,
              loop_.metrics,
              loop_.faults,
              log::Logger()
          ),
          http_(context_) {}

    ~Crowd() { http_.close(); }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    void start_one() {
        dmsg::ClientOptions options(
            crypto::deterministic_key_pair(fmt::format("one of many {}", clients_.size()))
        );
        // So that each writes more than once.
        options.entry_refresh = 3s;
        auto discovery =
            dmsg::make_http_discovery(context_, http_, std::string("http://") + kDiscovery);
        REQUIRE(discovery);
        clients_.push_back(std::make_unique<dmsg::Client>(
            context_,
            std::move(options),
            std::make_unique<Recording>(std::move(*discovery), acknowledged)
        ));
        clients_.back()->start();
    }

    std::size_t size() const { return clients_.size(); }

    std::size_t ready() const {
        return static_cast<std::size_t>(std::count_if(
            clients_.begin(), clients_.end(), [](const auto& client) { return client->ready(); }
        ));
    }

    /// Runs the loop until this holds.
    template <class Holds>
    void until(Holds holds) {
        loop_.run_until(holds);
    }

    void stop() {
        acknowledged.closed = true;
        for (const auto& client : clients_) {
            const SteadyTime deadline = loop_.system_clock.now() + 30s;
            CHECK(loop_.run(client->stop(deadline)).empty());
        }
    }

    Acknowledged acknowledged;

 private:
    net::TestLoop loop_;
    net::Context context_;
    http::Client http_;
    std::vector<std::unique_ptr<dmsg::Client>> clients_;
};

}  // namespace

TEST_CASE("deployment: a thousand clients register: each is there, with its newest entry") {
    constexpr std::size_t kClients = 1000;
    // A server takes no more handshakes of one address at one time.
    constexpr std::size_t kAtOnce = 100;
    Harness::Options options;
    options.hold_clock = false;
    Harness harness(all_service_types(), built_in(), options);
    REQUIRE(harness.boot());
    Crowd crowd(harness);
    while (crowd.size() < kClients) {
        crowd.start_one();
        crowd.until([&] { return crowd.size() - crowd.ready() < kAtOnce; });
    }
    crowd.until([&] { return crowd.ready() == kClients; });
    crowd.until([&] { return crowd.acknowledged.posts >= 2 * kClients; });
    // Nobody writes any more: what was acknowledged last is what must be there.
    crowd.acknowledged.closed = true;
    crowd.until([&] { return crowd.acknowledged.under_way == 0; });

    const auto health = json_of(harness, kServerHealth, "/health");
    CHECK(
        health.at("dmsg_server").as_object().at("client_sessions").to_number<std::size_t>() ==
        kClients + kClientLabels.size()
    );
    // With those of the services, which write theirs when they come to it.
    const auto path = "/dmsg-discovery/server/" + std::string(kServerKey) + "/clients";
    for (const std::string& list : {std::string("/dmsg-discovery/entries"), path}) {
        std::set<std::string> listed;
        for (const auto& key : array_of(harness, list))
            listed.emplace(key.as_string());
        CHECK(listed.size() <= kClients + kClientLabels.size());
        for (const auto& [key, entry] : crowd.acknowledged.newest)
            CHECK(listed.contains(key.to_text()));
    }
    REQUIRE(crowd.acknowledged.newest.size() == kClients);
    json::array keys;
    for (const auto& [key, entry] : crowd.acknowledged.newest)
        keys.emplace_back(key.to_text());
    const auto stored =
        harness.post(kDiscovery, "/dmsg-discovery/entries/batch", json::serialize(keys));
    REQUIRE(stored.status == 200);
    const auto found = parse_json(stored.body).value().as_object();
    CHECK(found.size() == kClients);
    std::size_t older = 0;
    for (const auto& [key, entry] : crowd.acknowledged.newest) {
        const auto* there = found.if_contains(key.to_text());
        REQUIRE(there != nullptr);
        if (*there != parse_json(dmsg::to_json(entry)).value()) ++older;
    }
    CHECK(older == 0);
    crowd.stop();
    CHECK(harness.stop() == 0);
}

}  // namespace skywire::services
