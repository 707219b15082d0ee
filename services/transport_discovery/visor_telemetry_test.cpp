#include "services/transport_discovery/visor_telemetry.hpp"

#include "base/test.hpp"
#include "services/transport_discovery/test_traffic.hpp"

#include <fstream>
#include <iterator>

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using cxo::TelemetryRow;
using cxo::TelemetryShard;
using Taken = services::FeedIntake::Taken;

struct Rig : TestTraffic {
    Rig() : telemetry({world.context, tpd.traffic, tpd.transports, tpd.uptimes, tpd.answers}) {}

    /// The whole feed of a visor, that of visor 1 mostly.
    Taken take(const std::vector<std::pair<std::string, Bytes>>& leaves, int number = 1) {
        std::vector<cxo::Change> changes;
        changes.reserve(leaves.size());
        for (const auto& [path, leaf] : leaves)
            changes.push_back({path, leaf});
        const cxo::Tree tree = cxo::Tree(index).apply(std::move(changes)).value().tree;
        return world.loop.run(telemetry.take(visor(number).public_key, tree));
    }
    Taken take_rows(const std::vector<TelemetryRow>& rows, int number = 1) {
        std::map<std::uint8_t, TelemetryShard> shards;
        for (const TelemetryRow& row : rows) {
            const auto shard =
                static_cast<std::uint8_t>(static_cast<unsigned>(row.transport[0]) / 16);
            shards[shard].shard = shard;
            shards[shard].rows.push_back(row);
        }
        std::vector<std::pair<std::string, Bytes>> leaves;
        leaves.reserve(shards.size());
        for (auto& [number_of, shard] : shards)
            leaves.emplace_back(cxo::telemetry_path(number_of), cxo::write_shard(std::move(shard)));
        return take(leaves, number);
    }
    Taken take_current(const transport::Entry& entry, std::string_view json) {
        const ByteSpan bytes = as_bytes(json);
        return take(
            {{fmt::format("transports/{}/current", entry.id.to_text()),
              Bytes(bytes.begin(), bytes.end())}}
        );
    }
    std::uint64_t leaves(std::string outcome) {
        return world.counted(
            "transport_discovery_telemetry_leaves_total", "outcome", std::move(outcome)
        );
    }

    cxo::ObjectIndex index;
    VisorTelemetry telemetry;
};

Bytes bytes_of(std::string_view text) {
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

/// The recorded shard, of a transport that there is.
TelemetryShard recorded_shard(const transport::Entry& entry, std::uint32_t sampled) {
    std::ifstream in(SKYWIRE_SOURCE_DIR "/vectors/cxo/leaf_encodings.json");
    const json::value vectors =
        parse_json(std::string(std::istreambuf_iterator<char>(in), {})).value();
    Bytes leaf;
    REQUIRE(from_hex(vectors.at("telemetry_shard").at("leaf_hex").as_string(), leaf));
    TelemetryShard shard = cxo::read_shard(leaf).value();
    shard.rows[0].transport = entry.id.bytes;
    shard.rows[0].sampled = sampled;
    shard.shard = static_cast<std::uint8_t>(static_cast<unsigned>(entry.id.bytes[0]) / 16);
    return shard;
}

}  // namespace

TEST_CASE("tpd telemetry: a shard as it was recorded is taken, of a transport of the visor's") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    const TelemetryShard shard = recorded_shard(entry, rig.unix_now());
    const std::string path = cxo::telemetry_path(shard.shard);
    CHECK(rig.take({{path, cxo::write_shard(shard)}}) == Taken::done);
    CHECK(rig.leaves("read") == 1);
    const TransportDay* day = rig.find(entry);
    REQUIRE(day != nullptr);
    const EdgeTraffic& told = day->traffic[rig.side(entry, 1)];
    CHECK(told.told);
    CHECK_FALSE(day->traffic[rig.side(entry, 2)].told);
    CHECK(told.sent == 0x1122'3344'5566'7788);
    // More than the network's readers know.
    CHECK(told.received == kTrafficMax);
    CHECK(day->latency == Latency{1'500, 250'250, 42'125, 1});
    CHECK(day->type == "stcpr");
    // As it was before: nothing of it is looked at again.
    rig.take({{path, cxo::write_shard(shard)}});
    CHECK(rig.leaves("read") == 1);
}

TEST_CASE("tpd telemetry: each changed byte of a shard is refused, or tells of nobody else's") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    const TelemetryShard shard = recorded_shard(entry, rig.unix_now());
    const std::string path = cxo::telemetry_path(shard.shard);
    const Bytes good = cxo::write_shard(shard);
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (const unsigned flip : {0x01U, 0x10U, 0x80U}) {
            Bytes bad = good;
            bad[at] ^= static_cast<std::byte>(flip);
            const std::uint64_t refused = rig.leaves("unreadable") + rig.leaves("wrong_shard");
            const std::uint64_t unknown = rig.samples("unknown_transport");
            rig.take({{path, bad}});
            INFO("byte " << at << ", bit " << flip);
            // The head, and the digit of the id that chooses the shard.
            if (at < 4 || (at == 4 && flip > 8)) {
                CHECK(rig.leaves("unreadable") + rig.leaves("wrong_shard") == refused + 1);
            } else if (at < 20) {
                CHECK(rig.samples("unknown_transport") == unknown + 1);
            }
        }
    }
    CHECK(rig.day()->transports.size() == 1);
    for (std::size_t size = 1; size < good.size(); ++size)
        rig.take({{path, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))}});
    // A shard of nothing under the path of another.
    const std::uint8_t other = shard.shard ^ 1U;
    CHECK(rig.take({{path, cxo::write_shard({other, {}})}}) == Taken::nothing);
    CHECK(rig.leaves("wrong_shard") == 1);
}

TEST_CASE("tpd telemetry: the earlier form, one leaf for each transport") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    CHECK(
        rig.take_current(
            entry,
            fmt::format(
                R"({{"sent_bytes":10,"recv_bytes":20,"latency_avg_ms":1.5,"sampled_at":{}}})",
                rig.unix_now()
            )
        ) == Taken::done
    );
    REQUIRE(rig.find(entry) != nullptr);
    CHECK(rig.find(entry)->traffic[rig.side(entry, 1)].received == 20);
    CHECK(rig.find(entry)->latency == Latency{1'500, 1'500, 1'500, 1});
    CHECK(rig.take_current(entry, "nonsense") == Taken::nothing);
    CHECK(rig.leaves("unreadable") == 1);
    // Other leaves of those feeds, and what is no id.
    const Bytes leaf = bytes_of("{}");
    rig.take(
        {{"transports/list", leaf},
         {"transports/zz/current", leaf},
         {"transports/" + entry.id.to_text() + "/entry", leaf},
         {"transports/current", leaf},
         {"tp-list", leaf}}
    );
    CHECK(rig.leaves("unreadable") == 1);
    CHECK(rig.leaves("read") == 1);
    // Where there are shards they are what counts.
    const auto current = fmt::format("transports/{}/current", entry.id.to_text());
    rig.take(
        {{current, bytes_of(R"({"sent_bytes":99})")},
         {cxo::telemetry_path(0), cxo::write_shard({0, {}})}}
    );
    CHECK(rig.find(entry)->traffic[rig.side(entry, 1)].sent == 10);
}

TEST_CASE("tpd telemetry: what is told of a transport before it is registered is taken then") {
    Rig rig;
    const auto entry = entry_of(1, 2);
    const std::vector<TelemetryRow> rows{rig.row(entry, 10, 20)};
    CHECK(rig.take_rows(rows) == Taken::nothing);
    CHECK(rig.samples("unknown_transport") == 1);
    rig.add(1, 2);
    CHECK(rig.take_rows(rows) == Taken::done);
    CHECK(rig.samples("taken") == 1);
    CHECK(rig.take_rows(rows) == Taken::done);
    CHECK(rig.samples("same") == 0);
    rig.telemetry.forget(visor(1).public_key);
    CHECK(rig.take_rows(rows) == Taken::done);
    CHECK(rig.samples("same") == 1);
}

TEST_CASE("tpd telemetry: a new sample is a sign of life of visor and transport") {
    Rig rig;
    const auto stcpr = rig.add(1, 2);
    const auto dmsg = rig.add(1, 3, transport::kDmsg);
    rig.take_rows({rig.row(stcpr, 10, 20), rig.row(dmsg, 10, 20)});
    const auto seen = rig.world.loop.run(rig.tpd.uptimes.transports()).value();
    REQUIRE(seen->size() == 1);
    CHECK(seen->front().id == stcpr.id);
    const auto visors = rig.world.loop.run(rig.tpd.uptimes.visors().visors()).value();
    REQUIRE(visors->size() == 1);
    CHECK(visors->front().key == visor(1).public_key);
}

TEST_CASE("tpd telemetry: while the store is away it is asked for again") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    rig.world.faults.set("store", "memory");
    CHECK(rig.take_rows({rig.row(entry, 10, 20)}) == Taken::again);
    // Where nothing can be read there is nothing to ask it for.
    CHECK(rig.take_current(entry, "nonsense") == Taken::nothing);
    rig.world.faults.clear("store", "memory");
    CHECK(rig.take_rows({rig.row(entry, 10, 20)}) == Taken::done);
    CHECK(rig.find(entry)->traffic[rig.side(entry, 1)].sent == 10);
}

}  // namespace skywire::tpd
