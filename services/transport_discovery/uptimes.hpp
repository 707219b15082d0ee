#pragma once

#include "net/context.hpp"
#include "store/store.hpp"
#include "transport/entry.hpp"

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// When visors and transports were there: a bit for each five minutes of a day, as in
/// spec/services-http.md section 4.2. The percentage of a day is counted from the bits, so that the
/// rhythm of the heartbeats, 90 s or 5 min, does not matter.
///
/// A visor's days lie under the reference's `:uptime:<pk>:<date>:timeline` and its sets
/// `:uptime:online:<date>`, its version and last heartbeat under `:visor:<pk>`, ours. A transport's
/// days are one value, `:tp-uptime:<uuid>`, ours, too: there are many, and the reference's two keys
/// a day for each would fill a store of a million within a week.
namespace skywire::tpd {

/// Whether transports of this type have heartbeats of their own.
bool has_heartbeats(std::string_view type) noexcept;

using Date = std::chrono::sys_days;

/// "2026-11-20"
std::string date_text(Date date);

/// The days that are kept for reading, today included.
inline constexpr int kDaysShown = 7;

/// The bits of one day; bit n is byte n/8, the most significant first (Redis' SETBIT).
struct Timeline {
    static constexpr std::size_t kSlots = 288;

    std::array<unsigned char, kSlots / 8> bytes{};

    void set(std::size_t slot) noexcept;
    bool seen(std::size_t slot) const noexcept;
    std::size_t count() const noexcept;
    bool empty() const noexcept { return count() == 0; }

    /// Other sizes than 36 bytes are cut or filled with zeros.
    static Timeline from_bytes(std::string_view bytes);
    std::string to_bytes() const;
    /// 288 characters, '.' where it was there.
    std::string to_text() const;
    /// "99.31", of a whole day.
    std::string percentage() const;
};

/// The days of one visor or transport that have a bit.
using Days = std::map<Date, Timeline>;

struct VisorUptime {
    crypto::PublicKey key;
    /// Empty where it never told.
    std::string version;
    WallTime last_seen{};
    Days days;
};

/// The value of a transport: the number of the first day since 1970 in four bytes, the highest
/// first, then 36 bytes for each day from there on.
std::string to_bytes(const Days& days);
/// What is malformed or older than `first` is left out.
Days days_of(std::string_view bytes, Date first);

struct TransportUptime {
    transport::TransportId id;
    Days days;
};

/// Used on the store's event loop. All errors are the store's.
class Uptimes {
 public:
    /// `store` outlives it.
    Uptimes(const net::Context& context, store::Store& store);

    /// A heartbeat; costs nothing but the first time in a slot, and where the version is new. An
    /// empty version leaves the former one.
    Task<Result<>> visor_seen(crypto::PublicKey key, std::string version);
    Task<Result<>> transports_seen(std::vector<transport::TransportId> ids);

    /// Sorted by key or id; read at most kAgeMax ago.
    static constexpr std::chrono::seconds kAgeMax{60};
    using Visors = std::shared_ptr<const std::vector<VisorUptime>>;
    using Transports = std::shared_ptr<const std::vector<TransportUptime>>;
    Task<Result<Visors>> visors();
    Task<Result<Transports>> transports();

    /// Takes days off that are past showing; once an hour.
    Task<Result<>> sweep();

 private:
    /// Slots since 1970.
    using Slot = std::int64_t;
    struct Seen {
        Slot slot = 0;
        std::string version;
    };
    Slot slot_now() const;
    Date first_day() const;
    Task<Result<>> mark_visor(crypto::PublicKey key, Slot slot, Slot before, store::Batch batch);
    struct Beat {
        transport::TransportId id;
        Slot slot = 0;
        /// The slot of the last heartbeat, where one is remembered.
        Slot before = 0;
    };
    Task<Result<>> mark_transports(std::vector<Beat> beats);
    Task<Result<std::map<std::string, Days>>> read_visors();
    Task<Result<>> forget_day(Date date);
    Task<Result<>> forget_transports();

    net::Context context_;
    store::Store& store_;
    std::unordered_map<crypto::PublicKey, Seen> visors_seen_;
    std::unordered_map<transport::TransportId, Slot> transports_seen_;
    Visors visors_;
    SteadyTime visors_read_{};
    Transports transports_;
    SteadyTime transports_read_{};
};

}  // namespace skywire::tpd
