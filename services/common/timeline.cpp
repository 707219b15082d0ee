#include "services/common/timeline.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/format.h>

namespace skywire::services {
namespace {

constexpr std::chrono::minutes kSlotLength{5};
/// Missed slots of the same day that a heartbeat fills in.
constexpr Slot kFilledMax = 6;
constexpr auto kSlotsOfDay = static_cast<Slot>(Timeline::kSlots);

std::size_t place_of(Slot slot) {
    return static_cast<std::size_t>(slot % kSlotsOfDay);
}

}  // namespace

std::string date_text(Date date) {
    const std::chrono::year_month_day day(date);
    return fmt::format(
        "{:04}-{:02}-{:02}",
        static_cast<int>(day.year()),
        static_cast<unsigned>(day.month()),
        static_cast<unsigned>(day.day())
    );
}

Date first_day_shown(WallTime now) {
    return std::chrono::floor<std::chrono::days>(now) - std::chrono::days(kDaysShown - 1);
}

void Timeline::set(std::size_t slot) noexcept {
    bytes[slot / 8] |= static_cast<unsigned char>(0x80U >> (slot % 8));
}

bool Timeline::seen(std::size_t slot) const noexcept {
    return (bytes[slot / 8] & (0x80U >> (slot % 8))) != 0;
}

std::size_t Timeline::count() const noexcept {
    std::size_t count = 0;
    for (const unsigned char byte : bytes)
        count += static_cast<std::size_t>(std::popcount(byte));
    return count;
}

Timeline Timeline::from_bytes(std::string_view bytes) {
    Timeline timeline;
    std::memcpy(timeline.bytes.data(), bytes.data(), std::min(bytes.size(), timeline.bytes.size()));
    return timeline;
}

std::string Timeline::to_bytes() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string Timeline::to_text() const {
    std::string text(kSlots, ' ');
    for (std::size_t slot = 0; slot < kSlots; ++slot)
        if (seen(slot)) text[slot] = '.';
    return text;
}

std::string Timeline::percentage() const {
    return fmt::format("{:.2f}", 100.0 * static_cast<double>(count()) / kSlots);
}

Slot slot_at(WallTime time) {
    return time.time_since_epoch() / kSlotLength;
}

Date date_of(Slot slot) {
    return Date(std::chrono::days(slot / kSlotsOfDay));
}

void mark(Timeline& timeline, Slot slot, Slot before) {
    timeline.set(place_of(slot));
    if (date_of(before) != date_of(slot) || slot - before > kFilledMax + 1) return;
    for (Slot missed = before + 1; missed < slot; ++missed)
        timeline.set(place_of(missed));
}

}  // namespace skywire::services
