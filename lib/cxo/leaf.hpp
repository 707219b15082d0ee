#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "crypto/keys.hpp"

#include <bitset>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// How the network's feeds write their leaves: spec/cxo.md section 10. Nothing here does I/O.
namespace skywire::cxo {

/// The most that a reader unpacks of one leaf: above any list there is, far below what a few
/// kilobytes of hostile gzip come to.
inline constexpr std::size_t kUnpackedMax = std::size_t{64} << 20;

/// Frame v1: a version byte, 1, and the payload as gzip. errc::limit_reached: zlib has no memory.
Result<Bytes> write_frame(std::string_view payload);
/// The payload; one that is no gzip stands as it is. errc::unsupported (another version),
/// errc::malformed (damaged gzip, or one that unpacks to more than `bytes_max`).
Result<std::string> read_frame(ByteSpan leaf, std::size_t bytes_max = kUnpackedMax);

/// gzip alone.
Result<Bytes> write_gzip(std::string_view payload);
/// The payload; one that is no gzip stands as it is. errc::malformed as above.
Result<std::string> read_gzip(ByteSpan leaf, std::size_t bytes_max = kUnpackedMax);

/// Whichever of the forms above it has, for a reader who does not know the feed: no text that is
/// published plain begins with a byte 1.
Result<std::string> read_leaf(ByteSpan leaf, std::size_t bytes_max = kUnpackedMax);

/// A day in five-minute slots.
inline constexpr std::size_t kDaySlots = 288;
using DaySlots = std::bitset<kDaySlots>;

/// 36 bytes; slot n is byte n/8, the most significant bit first. The leaf has them as base64.
Bytes write_day(const DaySlots& slots);
/// errc::malformed: another size.
Result<DaySlots> read_day(ByteSpan bytes);

/// Where the bindings of a visor stand in the address-resolver's feed: "e/4", the hex digits 2 and
/// 3 of its key.
std::string bucket_of(const crypto::PublicKey& key);
/// All 256, in order; each is always published.
std::vector<std::string> all_buckets();

}  // namespace skywire::cxo
