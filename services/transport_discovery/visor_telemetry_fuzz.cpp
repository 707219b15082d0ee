// What a visor's feed says of traffic. An input: a byte that chooses the path, a byte of seconds
// that pass before, and the leaf; or, with a choice from 240 on, rows of 38 bytes each, the numbers
// of a row behind a byte that chooses the transport. What is stored is kept for a while, so that
// samples meet one another.

#include "services/transport_discovery/fuzz_parts.hpp"
#include "services/transport_discovery/metrics_json.hpp"
#include "services/transport_discovery/visor_telemetry.hpp"

#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

using namespace skywire;

namespace {

constexpr std::size_t kInputsPerStore = 64;

void check(bool holds) {
    if (!holds) std::abort();
}

crypto::PublicKey visor(int number) {
    return crypto::deterministic_key_pair("visor " + std::to_string(number)).public_key;
}

struct World : tpd::FuzzParts {
    World()
        : FuzzParts(std::chrono::hours(1)),
          telemetry({loop.context, traffic, transports, uptimes, answers}) {
        // The third is none of visor 1's.
        for (const auto& [a, b] : {std::pair(1, 2), std::pair(1, 3), std::pair(2, 3)}) {
            transports.table().put(
                transport::make_entry(visor(a), visor(b), "stcpr", "user"), true, clock.now()
            );
        }
    }

    tpd::VisorTelemetry telemetry;
};

transport::Entry entry_of(unsigned a, unsigned b) {
    return transport::make_entry(
        visor(static_cast<int>(a)), visor(static_cast<int>(b)), "stcpr", "user"
    );
}

/// Shards of the rows that `numbers` says.
std::vector<cxo::Change> shards_of(ByteSpan numbers) {
    constexpr std::size_t kNumbers = 37;
    // Two of visor 1's, one of others, one that is not registered.
    constexpr std::array<std::pair<unsigned, unsigned>, 4> kEdges{{{1, 2}, {1, 3}, {2, 3}, {1, 4}}};
    std::map<std::uint8_t, cxo::TelemetryShard> shards;
    for (; numbers.size() > kNumbers; numbers = numbers.subspan(kNumbers + 1)) {
        const auto& [a, b] = kEdges[static_cast<std::size_t>(numbers[0]) % kEdges.size()];
        const auto id = entry_of(a, b).id.bytes;
        const auto shard = static_cast<std::uint8_t>(static_cast<unsigned>(id[0]) / 16);
        Bytes leaf{std::byte{2}, std::byte{shard}, std::byte{1}, std::byte{0}};
        leaf.insert(leaf.end(), id.begin(), id.end());
        leaf.insert(leaf.end(), numbers.begin() + 1, numbers.begin() + 1 + kNumbers);
        const auto read = cxo::read_shard(leaf);
        check(read.has_value());
        shards[shard].shard = shard;
        shards[shard].rows.push_back(read->rows[0]);
    }
    std::vector<cxo::Change> changes;
    changes.reserve(shards.size());
    for (auto& [number, shard] : shards)
        changes.push_back({cxo::telemetry_path(number), cxo::write_shard(std::move(shard))});
    return changes;
}

std::string path_of(unsigned choice) {
    const auto shard = static_cast<std::uint8_t>(choice % 16);
    if (choice < 128) return cxo::telemetry_path(shard);
    if (choice < 136) return fmt::format("transports/telemetry/{}", choice);
    return fmt::format("transports/{}/current", entry_of(1, choice % 4 + 1).id.to_text());
}

/// Only what visor 1 may speak of, and what others can read again.
void check_day(const tpd::TrafficDay& day, const tpd::Table& table) {
    for (const tpd::TransportDay& transport : day.transports) {
        check(table.find(transport.id) != nullptr);
        check(transport.has_edge(tpd::EdgeKey(visor(1))));
        check(!transport.traffic[0].told || !transport.traffic[1].told);
        check(transport.latency.min <= transport.latency.max);
        check(transport.carried() <= tpd::kTrafficMax);
        std::string text;
        tpd::append_metrics(text, {{day.date, &transport}}, true, {.edges = true});
        check(parse_json(text).has_value());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static std::unique_ptr<World> world;
    static std::size_t inputs = 0;
    if (inputs++ % kInputsPerStore == 0) {
        world.reset();
        world = std::make_unique<World>();
    }
    const ByteSpan input{reinterpret_cast<const std::byte*>(data), size};
    // As a stored value, too.
    if (const auto reports = tpd::day_reports_of(as_text(input))) {
        // Reports of the version before are written in the newer form.
        const std::string text = tpd::write_traffic(*reports);
        check(text == as_text(input) || tpd::day_reports_of(text) == reports);
    }
    if (const auto last = tpd::last_list_of(as_text(input)))
        check(tpd::write_traffic(*last) == as_text(input));
    if (size < 3) return 0;
    world->clock.advance(std::chrono::seconds(data[1]));
    cxo::ObjectIndex index;
    const ByteSpan leaf = input.subspan(2);
    std::vector<cxo::Change> changes;
    if (data[0] < 240) {
        changes.push_back({path_of(data[0]), Bytes(leaf.begin(), leaf.end())});
    } else {
        changes = shards_of(leaf);
    }
    auto applied = cxo::Tree(index).apply(std::move(changes));
    if (!applied) return 0;
    (void)world->loop.run(world->telemetry.take(visor(1), applied->tree));
    const auto day = world->loop.run(world->traffic.day(world->traffic.today()));
    check(day.has_value());
    check_day(**day, world->transports.table());
    return 0;
}
