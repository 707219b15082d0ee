#include "cxo/telemetry.hpp"

#include "base/assert.hpp"
#include "base/json.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::size_t kHead = 4;
constexpr std::size_t kRow = 53;
/// The codes need four bits; the highest bit is the one that came later.
constexpr std::uint8_t kCodeBits = 0x0f;
constexpr std::uint8_t kSameNetwork = 0x80;

constexpr std::array<std::string_view, 9> kNames{
    "", "stcpr", "sudph", "stcp", "dmsg", "squicr", "webrtc", "swtr", "swsr"
};

/// Little-endian numbers, one after another.
class Writer {
 public:
    explicit Writer(Bytes& into) : into_(into) {}

    template <class Unsigned>
    void number(Unsigned value) {
        for (std::size_t i = 0; i < sizeof value; ++i)
            into_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xffU));
    }
    void real(float value) { number(std::bit_cast<std::uint32_t>(value)); }

 private:
    Bytes& into_;
};

/// Of bytes that are enough.
class Reader {
 public:
    explicit Reader(ByteSpan from) : from_(from) {}

    template <class Unsigned>
    Unsigned number() {
        Unsigned value = 0;
        for (std::size_t i = 0; i < sizeof value; ++i)
            value = static_cast<Unsigned>(value | static_cast<Unsigned>(from_[i]) << (8 * i));
        from_ = from_.subspan(sizeof value);
        return value;
    }
    float real() {
        const auto value = std::bit_cast<float>(number<std::uint32_t>());
        return std::isfinite(value) && value >= 0 ? value : 0;
    }
    ByteSpan bytes(std::size_t count) {
        const ByteSpan taken = from_.first(count);
        from_ = from_.subspan(count);
        return taken;
    }

 private:
    ByteSpan from_;
};

std::uint8_t shard_of(const TelemetryRow& row) noexcept {
    return static_cast<std::uint8_t>(static_cast<unsigned>(row.transport[0]) >> 4U);
}

TelemetryRow read_row(Reader& reader) {
    TelemetryRow row;
    const ByteSpan id = reader.bytes(row.transport.size());
    std::copy(id.begin(), id.end(), row.transport.begin());
    row.sent = reader.number<std::uint64_t>();
    row.received = reader.number<std::uint64_t>();
    row.throughput = reader.real();
    row.latency_min = reader.real();
    row.latency_max = reader.real();
    row.latency_avg = reader.real();
    row.sampled = reader.number<std::uint32_t>();
    const auto type = reader.number<std::uint8_t>();
    const unsigned code = type & kCodeBits;
    row.type = code < kNames.size() ? static_cast<TransportCode>(code) : TransportCode::unknown;
    row.same_network = (type & kSameNetwork) != 0;
    return row;
}

/// 0 where it is absent or none.
double number_of(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_number()) return 0;
    boost::system::error_code ec;
    const auto number = value->to_number<double>(ec);
    return ec || !std::isfinite(number) || number < 0 ? 0 : number;
}

std::uint64_t count_of(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_number()) return 0;
    boost::system::error_code ec;
    const auto number = value->to_number<std::uint64_t>(ec);
    return ec ? 0 : number;
}

float real_of(const json::object& object, std::string_view name) {
    constexpr double kMax = std::numeric_limits<float>::max();
    return static_cast<float>(std::min(number_of(object, name), kMax));
}

}  // namespace

std::string_view name_of(TransportCode code) noexcept {
    return kNames[static_cast<std::size_t>(code)];
}

TransportCode code_of(std::string_view name) noexcept {
    const auto found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) return TransportCode::unknown;
    return static_cast<TransportCode>(found - kNames.begin());
}

std::string telemetry_path(std::uint8_t shard) {
    return fmt::format("transports/telemetry/{:02x}", shard);
}

Bytes write_shard(TelemetryShard shard) {
    SKY_ASSERT(shard.rows.size() <= std::numeric_limits<std::uint16_t>::max());
    std::sort(shard.rows.begin(), shard.rows.end(), [](const auto& a, const auto& b) {
        return a.transport < b.transport;
    });
    Bytes leaf;
    leaf.reserve(kHead + shard.rows.size() * kRow);
    Writer writer(leaf);
    writer.number(kVersion);
    writer.number(shard.shard);
    writer.number(static_cast<std::uint16_t>(shard.rows.size()));
    for (const TelemetryRow& row : shard.rows) {
        SKY_ASSERT(shard_of(row) == shard.shard);
        leaf.insert(leaf.end(), row.transport.begin(), row.transport.end());
        writer.number(row.sent);
        writer.number(row.received);
        writer.real(row.throughput);
        writer.real(row.latency_min);
        writer.real(row.latency_max);
        writer.real(row.latency_avg);
        writer.number(row.sampled);
        const std::uint8_t flag = row.same_network ? kSameNetwork : 0;
        writer.number(static_cast<std::uint8_t>(static_cast<std::uint8_t>(row.type) | flag));
    }
    return leaf;
}

Result<TelemetryShard> read_shard(ByteSpan leaf) {
    if (leaf.size() < kHead) return fail(errc::malformed, "a telemetry shard without its head");
    Reader reader(leaf);
    const auto version = reader.number<std::uint8_t>();
    if (version != kVersion)
        return fail(errc::unsupported, fmt::format("a telemetry shard of version {}", version));
    TelemetryShard shard;
    shard.shard = reader.number<std::uint8_t>();
    const std::size_t count = reader.number<std::uint16_t>();
    if (leaf.size() != kHead + count * kRow) {
        return fail(
            errc::malformed, fmt::format("a telemetry shard of {} rows in {} B", count, leaf.size())
        );
    }
    shard.rows.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        shard.rows.push_back(read_row(reader));
        if (shard_of(shard.rows.back()) != shard.shard)
            return fail(errc::malformed, "a row of another telemetry shard");
    }
    return shard;
}

Result<TelemetryRow> read_current(std::string_view leaf) {
    const auto parsed = parse_json(leaf);
    if (!parsed) return parsed.error();
    if (!parsed->is_object()) return fail(errc::malformed, "telemetry that is no JSON object");
    const json::object& object = parsed->get_object();
    TelemetryRow row;
    row.sent = count_of(object, "sent_bytes");
    row.received = count_of(object, "recv_bytes");
    row.latency_min = real_of(object, "latency_min_ms");
    row.latency_max = real_of(object, "latency_max_ms");
    row.latency_avg = real_of(object, "latency_avg_ms");
    constexpr double kMax = std::numeric_limits<std::uint32_t>::max();
    row.sampled = static_cast<std::uint32_t>(std::min(number_of(object, "sampled_at"), kMax));
    if (const json::value* type = object.if_contains("type"); type && type->is_string())
        row.type = code_of(type->get_string());
    return row;
}

}  // namespace skywire::cxo
