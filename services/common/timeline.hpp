#pragma once

#include "base/clock.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

/// When somebody was there: a bit for each five minutes of a day, as in spec/services-http.md
/// section 4.2. The percentage of a day is counted from the bits, so that the rhythm of the
/// heartbeats, 90 s or 5 min, does not matter.
namespace skywire::services {

/// Of days in UTC.
using Date = std::chrono::sys_days;

/// "2026-11-20"
std::string date_text(Date date);

/// The days that are kept for reading, today included.
inline constexpr int kDaysShown = 7;
/// How long a day lives in the store.
inline constexpr Duration kDayLifetime = std::chrono::days(8);
/// The first of them.
Date first_day_shown(WallTime now);

/// The bits of one day; bit n is byte n/8, the most significant first (Redis' SETBIT).
struct Timeline {
    static constexpr std::size_t kSlots = 288;
    static constexpr std::size_t kSize = kSlots / 8;

    std::array<unsigned char, kSize> bytes{};

    void set(std::size_t slot) noexcept;
    bool seen(std::size_t slot) const noexcept;
    std::size_t count() const noexcept;
    bool empty() const noexcept { return count() == 0; }

    /// Other sizes than kSize are cut or filled with zeros.
    static Timeline from_bytes(std::string_view bytes);
    std::string to_bytes() const;
    /// 288 characters, '.' where it was there.
    std::string to_text() const;
    /// "99.31", of a whole day.
    std::string percentage() const;
};

/// The days that have a bit.
using Days = std::map<Date, Timeline>;

/// Five minutes, counted since 1970.
using Slot = std::int64_t;
Slot slot_at(WallTime time);
Date date_of(Slot slot);

/// A heartbeat in the day of `slot`: sets the slot, and the up to six that were missed since
/// `before`, the slot of the last heartbeat, on the same day. 0 for none.
void mark(Timeline& timeline, Slot slot, Slot before);

}  // namespace skywire::services
