#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What a visor's feed tells of the traffic of its transports: spec/cxo.md section 10, "Telemetry
/// shard". Readers take two vintages: shards of rows, and a JSON leaf for each transport before
/// that (spec/services-http.md section 4.4).
namespace skywire::cxo {

/// Of a row. Unknown numbers are read as `unknown`.
enum class TransportCode : std::uint8_t {
    unknown = 0,
    stcpr,
    sudph,
    stcp,
    dmsg,
    squicr,
    webrtc,
    swtr,
    swsr,
};

/// "stcpr"; "" for unknown.
std::string_view name_of(TransportCode code) noexcept;
TransportCode code_of(std::string_view name) noexcept;

struct TelemetryRow {
    /// The transport's id, in order of its text.
    std::array<std::byte, 16> transport{};
    /// Bytes since the visor began to count.
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    /// Bytes per second.
    float throughput = 0;
    /// Milliseconds; 0: not measured.
    float latency_min = 0;
    float latency_max = 0;
    float latency_avg = 0;
    /// Unix time in seconds; 0: not told.
    std::uint32_t sampled = 0;
    TransportCode type = TransportCode::unknown;
    /// Both ends are in one network; builds before that know no such bit.
    bool same_network = false;

    bool operator==(const TelemetryRow&) const = default;
};

/// Transports whose ids begin with one hex digit.
struct TelemetryShard {
    std::uint8_t shard = 0;
    /// Sorted by id.
    std::vector<TelemetryRow> rows;

    bool operator==(const TelemetryShard&) const = default;
};

inline constexpr std::size_t kTelemetryShards = 16;

/// "transports/telemetry/0a"
std::string telemetry_path(std::uint8_t shard);

/// `rows` in any order, at most 65535, all of this shard: SKY_ASSERT.
Bytes write_shard(TelemetryShard shard);

/// errc::unsupported (another version), errc::malformed (the length does not fit, a row of another
/// shard). Numbers that are none count as 0.
Result<TelemetryShard> read_shard(ByteSpan leaf);

/// The JSON leaf `transports/ID/current`; its row has no id. errc::malformed.
Result<TelemetryRow> read_current(std::string_view leaf);

}  // namespace skywire::cxo
