// The service as the supervisor runs it: a deployment of one block inside the test.

#include "services/transport_discovery/service.hpp"

#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "http/gzip.hpp"
#include "http/signed_request.hpp"
#include "services/common/test_blocks.hpp"
#include "services/common/test_feed_visor.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"
#include "services/transport_discovery/config.hpp"
#include "services/transport_discovery/test_traffic.hpp"

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
    return harness::problems_of(registry(), file(members));
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

TEST_CASE("transport-discovery: a visor's feed over dmsg tells of traffic, which outlasts a restart"
) {
    const auto own = crypto::deterministic_key_pair("discovery");
    const auto entry = signed_entry(visor(1), visor(2));
    cxo::TelemetryRow row;
    row.transport = entry.entry.id.bytes;
    row.sent = 1'000;
    row.latency_avg = 2.5F;
    const auto shard = static_cast<std::uint8_t>(static_cast<unsigned>(row.transport[0]) / 16);
    services::FeedVisorOptions options(visor(1), own.public_key);
    options.port = 50;
    options.path = cxo::telemetry_path(shard);
    const Bytes leaf = cxo::write_shard({shard, {row}});
    options.leaf = as_text(leaf);
    framework::ServiceRegistry types = registry();
    types.add(services::dmsg_discovery_type());
    types.add(services::dmsg_server_type());
    types.add(services::feed_visor_type(std::move(options)));
    Harness harness(
        std::move(types),
        fmt::format(
            R"({{"services":[{},{{"type":"transport-discovery","name":"tpd","addr":"{}",)"
            R"("metrics_addr":"127.0.0.1:9191",)"
            R"("secret_key":"{}","dmsg":{{"discovery":"http://127.0.0.1:9090"}}}},)"
            R"({{"type":"visor","name":"visor","depends_on":["tpd"]}}]}})",
            services::dmsg_blocks(),
            kAddress,
            own.secret_key.reveal_text()
        )
    );
    REQUIRE(harness.boot());
    // It is not registered before the visor tells of it.
    harness.advance(10s);
    CHECK(harness.get(kAddress, "/metrics").body == "[]\n");
    const auto nonce =
        parse_json(harness.get(kAddress, "/security/nonces/" + visor(1).public_key.to_text()).body)
            .value()
            .at("next_nonce")
            .to_number<std::uint64_t>();
    CHECK(
        send_as(harness, visor(1), nonce, Method::post, "/transports/", body_of({entry})).status ==
        201
    );
    const std::string side = TestTraffic::side(entry.entry, 1) == 0 ? "a" : "b";
    const std::string expected = fmt::format(
        R"([{{"id":"{}","type":"stcpr","live":true,"latency":{{"min":2500,"max":2500,"avg":2500}},)"
        R"("daily":[{{"date":"2023-11-14","{}":{{"sent":1000,"recv":0}}}}]}}])",
        entry.entry.id.to_text(),
        side
    );
    const auto told = [&] { return harness.get(kAddress, "/metrics").body == expected + "\n"; };
    harness.advance_until("its traffic is told", told, 1s, 2min);
    // The feed has it without being asked: more than the gzip of an empty list.
    const auto published = [&] {
        const std::string text = harness.get("127.0.0.1:9191", "/metrics").body;
        const std::size_t at = text.find(R"(feed_bytes{service="tpd",feed="tpd-metrics"} )");
        if (at == std::string::npos) return false;
        return std::stod(text.substr(text.find("} ", at) + 2)) > 100;
    };
    harness.advance_until("its traffic is published", published, 1s, 10s);
    REQUIRE(harness.command("tpd", framework::Command::restart));
    harness.advance_until("it is told as before", told, 1s, 1min);
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
    CHECK(problems_of(R"(,"metrics_days":36)").find("error") != std::string::npos);
    CHECK(problems_of(R"(,"cxo_telemetry_port":69)").find("cxo_in_port") != std::string::npos);
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
    CHECK(config.metrics_days == 35);
    CHECK(config.list_renewal == 90s);
    CHECK(config.metrics_reports_max == 1'000'000);
    // There is no key.
    CHECK(config.telemetry_port == 0);
    // Transports of feeds do not end before they are taken again.
    const auto shorter =
        framework::load_deployment("test.json", file(R"(,"entry_timeout":"1m")"), types);
    REQUIRE(shorter.config);
    CHECK(read_config(*shorter.config->blocks[0].block).list_renewal == 20s);
    const std::string key =
        R"(,"secret_key":")" + visor(1).secret_key.reveal_text() + R"(","entry_timeout":")";
    CHECK(problems_of(key + R"(2s")").find("entry_timeout") != std::string::npos);
    CHECK(problems_of(key + R"(3s")").find("entry_timeout") == std::string::npos);
    CHECK(problems_of(R"(,"entry_timeout":"2s")").find("cxo_in_port") == std::string::npos);
    CHECK(
        problems_of(R"(,"feed_layout":"older")").find("must be one of newest, old, both") !=
        std::string::npos
    );
    const auto layouts_of = [&](const std::string& members) {
        const auto file_loaded = framework::load_deployment(
            "test.json",
            file(R"(,"secret_key":")" + visor(1).secret_key.reveal_text() + '"' + members),
            types
        );
        const Config read = read_config(*file_loaded.config.value().blocks.at(0).block);
        CHECK(read.uptime_feed.value().layout == read.metrics_feed.value().layout);
        return read.metrics_feed.value().layout;
    };
    using services::FeedLayout;
    CHECK(layouts_of("") == FeedLayout::newest);
    CHECK(layouts_of(R"(,"feed_layout":"old")") == FeedLayout::old);
    CHECK(layouts_of(R"(,"feed_layout":"both")") == FeedLayout::both);
}

}  // namespace skywire::tpd
