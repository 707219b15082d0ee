#include "cxo/leaf.hpp"

#include "base/json.hpp"
#include "base/test.hpp"
#include "cxo/telemetry.hpp"
#include "http/gzip.hpp"

#include <fstream>
#include <iterator>

namespace skywire::cxo {
namespace {

/// vectors/cxo/leaf_encodings.json
const json::object& vectors() {
    static const json::value parsed = [] {
        std::ifstream in(SKYWIRE_SOURCE_DIR "/vectors/cxo/leaf_encodings.json");
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        return parse_json(text).value();
    }();
    return parsed.get_object();
}

std::string text_of(const char* group, const char* member) {
    return std::string(vectors().at(group).as_object().at(member).as_string());
}

Bytes bytes_of(const char* group, const char* member) {
    Bytes bytes;
    REQUIRE(from_hex(text_of(group, member), bytes));
    return bytes;
}

/// 10 MB of zeros.
Bytes bomb() {
    return write_frame(std::string(10'000'000, '\0')).value();
}

TelemetryRow recorded_row() {
    TelemetryRow row;
    Bytes id;
    REQUIRE(from_hex("a7b6c5d4010203040506070809101112", id));
    std::copy(id.begin(), id.end(), row.transport.begin());
    row.sent = 0x1122334455667788;
    row.received = 0x8877665544332211;
    row.throughput = 123456.75F;
    row.latency_min = 1.5F;
    row.latency_max = 250.25F;
    row.latency_avg = 42.125F;
    row.sampled = 0x5f5e1000;
    row.type = TransportCode::stcpr;
    return row;
}

}  // namespace

TEST_CASE("leaf: a frame is read and written") {
    const std::string payload = text_of("frame_gzip_v1", "payload_utf8");
    CHECK(read_frame(bytes_of("frame_gzip_v1", "leaf_hex")).value() == payload);
    const Bytes ours = write_frame(payload).value();
    CHECK(ours.front() == std::byte{1});
    CHECK(read_frame(ours).value() == payload);
    CHECK(read_leaf(ours).value() == payload);
    // Readers compare leaves byte by byte: the same payload is the same frame.
    CHECK(write_frame(payload).value() == ours);
    CHECK(read_frame(write_frame("").value()).value().empty());
}

TEST_CASE("leaf: what is not compressed stands as it is, and other versions are refused") {
    CHECK(read_frame(as_bytes("\x01[1]")).value() == "[1]");
    CHECK(read_frame(as_bytes("\x01")).value().empty());
    CHECK(read_frame(as_bytes("\x02[1]")).error() == make_error_code(errc::unsupported));
    CHECK(read_frame(as_bytes("[1]")).error() == make_error_code(errc::unsupported));
    CHECK(read_frame({}).error() == make_error_code(errc::malformed));
    CHECK(read_gzip(as_bytes("[1]")).value() == "[1]");
    CHECK(read_gzip(write_gzip("[1]").value()).value() == "[1]");
    CHECK(read_leaf(as_bytes("[1]")).value() == "[1]");
    CHECK(read_leaf(write_gzip("[1]").value()).value() == "[1]");
}

TEST_CASE("leaf: gzip that unpacks to too much, or is damaged, is an error") {
    const Bytes large = bomb();
    CHECK(large.size() < 20'000);
    CHECK(read_frame(large, 1'000'000).error() == make_error_code(errc::malformed));
    CHECK(read_frame(large, 10'000'000).value().size() == 10'000'000);
    CHECK(read_frame(large, 9'999'999).error() == make_error_code(errc::malformed));

    const Bytes good = bytes_of("frame_gzip_v1", "leaf_hex");
    const std::string payload = text_of("frame_gzip_v1", "payload_utf8");
    for (std::size_t size = 4; size < good.size(); ++size)
        CHECK_FALSE(read_frame(ByteSpan(good).first(size)).has_value());
    for (std::size_t at = 1; at < good.size(); ++at) {
        Bytes flipped = good;
        flipped[at] ^= std::byte{0x20};
        // Another value only where the bytes are no gzip any more, or in what its head says of
        // itself; never another payload behind a check sum that fits.
        const auto read = read_frame(flipped);
        if (read && at > 12) CHECK(*read == payload);
    }
}

TEST_CASE("leaf: a telemetry shard is read and written") {
    const Bytes leaf = bytes_of("telemetry_shard", "leaf_hex");
    const TelemetryShard shard = read_shard(leaf).value();
    CHECK(shard.shard == 0x0a);
    REQUIRE(shard.rows.size() == 1);
    CHECK(shard.rows[0] == recorded_row());
    CHECK(write_shard(shard) == leaf);
    CHECK(telemetry_path(shard.shard) == text_of("telemetry_shard", "path"));

    TelemetryShard two = shard;
    two.rows.push_back(two.rows[0]);
    two.rows[1].transport[5] = std::byte{0};
    two.rows[1].same_network = true;
    const TelemetryShard sorted = read_shard(write_shard(two)).value();
    CHECK(sorted.rows[0] == two.rows[1]);
    CHECK(sorted.rows[1] == two.rows[0]);
    CHECK(read_shard(write_shard({3, {}})).value() == TelemetryShard{3, {}});
}

TEST_CASE("leaf: a telemetry shard that does not fit is refused") {
    const Bytes good = bytes_of("telemetry_shard", "leaf_hex");
    for (std::size_t size = 0; size < good.size(); ++size)
        CHECK_FALSE(read_shard(ByteSpan(good).first(size)).has_value());
    Bytes longer = good;
    longer.push_back(std::byte{0});
    CHECK(read_shard(longer).error() == make_error_code(errc::malformed));
    Bytes version = good;
    version[0] = std::byte{1};
    CHECK(read_shard(version).error() == make_error_code(errc::unsupported));
    Bytes elsewhere = good;
    elsewhere[1] = std::byte{0x0b};
    CHECK(read_shard(elsewhere).error() == make_error_code(errc::malformed));
    // A latency that is no number, and a type that came after us.
    Bytes strange = good;
    for (std::size_t at = 40; at < 44; ++at)
        strange[at] = std::byte{0xff};
    strange.back() = std::byte{0x8f};
    const TelemetryRow row = read_shard(strange).value().rows.at(0);
    CHECK(row.latency_min == 0);
    CHECK(row.type == TransportCode::unknown);
    CHECK(row.same_network);
}

TEST_CASE("leaf: telemetry of the older form is read") {
    const auto row = read_current(R"({"sent_bytes":10,"recv_bytes":20,"latency_min_ms":1.5,
        "latency_max_ms":250.25,"latency_avg_ms":42.125,"sampled_at":1700000000,"type":"sudph"})")
                         .value();
    CHECK(row.sent == 10);
    CHECK(row.received == 20);
    CHECK(row.latency_max == 250.25F);
    CHECK(row.sampled == 1'700'000'000);
    CHECK(row.type == TransportCode::sudph);
    CHECK(read_current("{}").value() == TelemetryRow());
    CHECK(read_current(R"({"sent_bytes":-1,"latency_avg_ms":1e308,"type":7})").has_value());
    CHECK_FALSE(read_current("[]").has_value());
    CHECK_FALSE(read_current("").has_value());
}

TEST_CASE("leaf: a day of uptime") {
    const Bytes bitmap = bytes_of("uptime_bitmap", "bitmap_hex");
    DaySlots slots;
    for (std::size_t slot = 0; slot < 12; ++slot)
        slots.set(slot);
    CHECK(write_day(slots) == bitmap);
    CHECK(read_day(bitmap).value() == slots);
    slots.set(287);
    CHECK(read_day(write_day(slots)).value() == slots);
    CHECK_FALSE(read_day(ByteSpan(bitmap).first(35)).has_value());
}

TEST_CASE("leaf: the bucket of a key") {
    const auto key = crypto::PublicKey::from_text(text_of("ar_bucket_path", "pk")).value();
    CHECK(bucket_of(key) == text_of("ar_bucket_path", "path"));
    const auto all = all_buckets();
    CHECK(all.size() == 256);
    CHECK(all.front() == "0/0");
    CHECK(all.back() == "f/f");
    CHECK(std::is_sorted(all.begin(), all.end()));
}

}  // namespace skywire::cxo
