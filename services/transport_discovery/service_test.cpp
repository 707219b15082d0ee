// The service as the supervisor runs it: a deployment of one block inside the test.

#include "services/transport_discovery/service.hpp"

#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "http/gzip.hpp"
#include "http/signed_request.hpp"
#include "services/transport_discovery/config.hpp"
#include "services/transport_discovery/test_tpd.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using harness::Harness;
using http::Method;
using transport::TransportView;

constexpr const char* kAddress = "127.0.0.1:9091";

framework::ServiceRegistry registry(std::shared_ptr<TransportView> view = nullptr) {
    framework::ServiceRegistry made;
    made.add(services::transport_discovery_type(std::move(view)));
    return made;
}

std::string file(const std::string& members) {
    return R"({"services":[{"type":"transport-discovery","name":"tpd","addr":"127.0.0.1:9091")" +
           members + "}]}";
}

std::string problems_of(const std::string& members) {
    std::string all;
    const auto types = registry();
    const auto loaded = framework::load_deployment("test.json", file(members), types);
    for (const auto& problem : loaded.problems)
        all += problem.to_string("test.json") + "\n";
    return all;
}

http::Response send_as(
    Harness& harness,
    const crypto::KeyPair& keys,
    std::uint64_t nonce,
    Method method,
    const std::string& target,
    std::string body = {}
) {
    http::Fields fields;
    http::sign_request(fields, keys, body, nonce);
    return harness.send(method, kAddress, target, std::move(body), std::move(fields)).get();
}

/// More than a slab holds.
std::size_t register_many(Harness& harness) {
    std::size_t total = 0;
    for (int part = 0; part < 2; ++part) {
        std::vector<transport::Entry> entries;
        entries.reserve(400);
        for (int i = 0; i < 400; ++i) {
            entries.push_back(transport::make_entry(
                visor(1).public_key,
                i % 100 == 0 ? visor(1).public_key : visor(2).public_key,
                fmt::format("type {} {}", part, i),
                "user"
            ));
        }
        const auto response =
            send_as(harness, visor(1), 0, Method::post, "/v3/transports/", body_of(entries));
        REQUIRE(response.status == 201);
        total += entries.size();
    }
    return total;
}

}  // namespace

TEST_CASE("transport-discovery: is ready once HTTP answers, registers, lists and stops in order") {
    const auto types = registry();
    Harness harness(types, file(R"(,"testing":true,"metrics_addr":"127.0.0.1:9191")"));
    REQUIRE(harness.boot());
    CHECK(harness.before("tpd milestone http", "tpd ready"));
    const auto health = harness.get(kAddress, "/health");
    CHECK(health.body.starts_with(R"({"service_name":"transport-discovery","build_info":{)"));
    const auto entry = signed_entry(visor(1), visor(2));
    CHECK(
        send_as(harness, visor(1), 0, Method::post, "/transports/", body_of({entry})).status == 201
    );
    CHECK(harness.get(kAddress, "/all-transports").body == body_of({entry.entry}) + "\n");
    const std::string by_edge = "/transports/edge:" + visor(2).public_key.to_text();
    CHECK(
        send_as(harness, visor(1), 0, Method::get, by_edge).body == body_of({entry.entry}) + "\n"
    );
    harness.advance(10s);
    const std::string text = harness.get("127.0.0.1:9191", "/metrics").body;
    for (const std::string_view part :
         {"transport_discovery_stcpr_count{service=\"tpd\"} 1",
          "transport_discovery_left_out_total{",
          "transport_discovery_refused_total{"}) {
        INFO(part << " in\n" << text);
        CHECK(text.find(part) != std::string::npos);
    }
    CHECK(harness.stop() == 0);
}

TEST_CASE("transport-discovery: a long list comes in pieces, compressed for who asks, with a tag") {
    const auto types = registry();
    Harness harness(types, file(R"(,"testing":true)"));
    REQUIRE(harness.boot());
    const std::size_t total = register_many(harness);
    const auto plain = harness.get(kAddress, "/all-transports");
    CHECK(plain.status == 200);
    CHECK(plain.fields.get("Content-Type") == "text/plain; charset=utf-8");
    CHECK(transport::parse_entries(plain.body).value()->size() == total);
    http::Fields fields;
    fields.add("Accept-Encoding", "gzip");
    for (int round = 0; round < 2; ++round) {
        const auto packed =
            harness.send(Method::get, kAddress, "/all-transports", "", fields).get();
        CHECK(packed.fields.get("Content-Encoding") == "gzip");
        CHECK(packed.body.size() < plain.body.size() / 2);
        CHECK(http::gunzip(packed.body, 10'000'000) == plain.body);
    }
    const auto hidden = harness.get(kAddress, "/all-transports?selfTransports=hide");
    CHECK(transport::parse_entries(hidden.body).value()->size() == total - 8);

    const std::string tag(plain.fields.get("ETag").value());
    CHECK(hidden.fields.get("ETag") != tag);
    http::Fields asked;
    asked.add("If-None-Match", tag);
    const auto same = harness.send(Method::get, kAddress, "/all-transports", "", asked).get();
    CHECK(same.status == 304);
    CHECK(same.body.empty());
    const auto entry = signed_entry(visor(3), visor(4));
    CHECK(
        send_as(harness, visor(3), 0, Method::post, "/transports/", body_of({entry})).status == 201
    );
    const auto changed = harness.send(Method::get, kAddress, "/all-transports", "", asked).get();
    CHECK(changed.status == 200);
    CHECK(changed.body.find(entry.entry.id.to_text()) != std::string::npos);
    CHECK(harness.stop() == 0);
}

TEST_CASE("transport-discovery: a restart brings the transports back and opens no used nonce") {
    const auto types = registry();
    Harness harness(types, file(""));
    REQUIRE(harness.boot());
    const std::string nonces = "/security/nonces/" + visor(1).public_key.to_text();
    const auto next = [&] {
        return parse_json(harness.get(kAddress, nonces).body)
            .value()
            .at("next_nonce")
            .to_number<std::uint64_t>();
    };
    const auto entry = signed_entry(visor(1), visor(2));
    CHECK(
        send_as(harness, visor(1), next(), Method::post, "/transports/", body_of({entry})).status ==
        201
    );
    const std::uint64_t before = next();
    CHECK(send_as(harness, visor(1), before, Method::get, "/v4/update").status == 200);
    REQUIRE(harness.command("tpd", framework::Command::restart));
    CHECK(next() > before);
    CHECK(harness.get(kAddress, "/all-transports").body == body_of({entry.entry}) + "\n");
    CHECK(harness.stop() == 0);
}

TEST_CASE("transport-discovery: others in the process see its list and what changes") {
    const auto view = std::make_shared<TransportView>();
    const auto types = registry(view);
    Harness harness(types, file(R"(,"testing":true)"));
    REQUIRE(harness.boot());
    CHECK(view->published("tpd"));
    net::TestLoop loop;
    std::map<transport::TransportId, transport::Entry> seen;
    int complete = 0;
    const auto following = view->follow("", loop.context.loop, [&](const auto& update) {
        if (update.complete) {
            ++complete;
            seen.clear();
        }
        for (const auto& entry : update.put)
            seen[entry.id] = entry;
        for (const auto& id : update.removed)
            seen.erase(id);
    });
    const auto caught_up = [&](std::size_t size) {
        loop.run_until([&] { return complete > 0 && seen.size() == size; });
    };
    caught_up(0);
    const auto entry = signed_entry(visor(1), visor(2));
    send_as(harness, visor(1), 0, Method::post, "/transports/", body_of({entry}));
    caught_up(1);
    CHECK(seen.begin()->second == entry.entry);
    const auto erased = send_as(
        harness, visor(2), 0, Method::delete_, "/transports/id:" + entry.entry.id.to_text()
    );
    CHECK(erased.body == "transport deleted");
    caught_up(0);
    CHECK(harness.stop() == 0);
    CHECK_FALSE(view->published(""));
}

TEST_CASE("transport-discovery: the rules of its block") {
    CHECK(problems_of(R"(,"testing":true,"entry_timeout":"5m","held_timeout":"24h")").empty());
    CHECK(
        problems_of(R"(,"uptime_db":"/x","charts_addr":":80")").find("warning") != std::string::npos
    );
    CHECK(problems_of(R"(,"whitelist_keys":["zz"])").find("error") != std::string::npos);
    CHECK(problems_of(R"(,"held_timeout":"-1s")").find("error") != std::string::npos);
    CHECK(problems_of(R"(,"rate_limit_per_minute":-1)").find("error") != std::string::npos);
    CHECK(problems_of(R"(,"held_timout":"1h")").find("held_timeout") != std::string::npos);
    const auto types = registry();
    const auto loaded = framework::load_deployment(
        "test.json", file(R"(,"entry_timeout":0,"rate_limit_per_minute":30)"), types
    );
    REQUIRE(loaded.config);
    const Config config = read_config(*loaded.config->blocks[0].block);
    CHECK(config.lifetimes.refreshing == 5min);
    CHECK(config.lifetimes.held == 24h);
    CHECK(config.rate_limit.per_minute == 30);
    CHECK(config.rate_limit.burst == 10);
}

}  // namespace skywire::tpd
