#pragma once

#include "net/context.hpp"
#include "services/common/visor_uptimes.hpp"
#include "store/store.hpp"
#include "transport/entry.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// When visors and transports were there, for spec/services-http.md section 4.2. A transport's days
/// are one value, `:tp-uptime:<uuid>`, ours: there are many, and the network's two keys a day for
/// each would fill a store of a million within a week.
namespace skywire::tpd {

using services::Date;
using services::Days;
using services::kDaysShown;
using services::Slot;
using services::Timeline;
using services::VisorUptime;

/// Whether transports of this type have heartbeats of their own.
bool has_heartbeats(std::string_view type) noexcept;

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
    /// Ids cost nothing, and what is kept of one lasts for a week: a visor cannot fill the store
    /// with transports that nobody has. Those that are kept already go on.
    struct Limits {
        /// Transports in all. Two entries of the store each, of a million in one of our own.
        std::size_t transports_max = 200'000;
        /// New ones that a visor may tell of in a day.
        std::size_t new_max = 2048;
        /// The same where half of all are there.
        std::size_t new_scarce = 64;
    };

    /// `store` outlives it.
    Uptimes(const net::Context& context, store::Store& store, Limits limits);
    Uptimes(const net::Context& context, store::Store& store) : Uptimes(context, store, Limits()) {}

    services::VisorUptimes& visors() noexcept { return visors_; }

    /// Heartbeats, told by a visor; cost nothing but the first time in a slot.
    Task<Result<>> transports_seen(
        std::vector<transport::TransportId> ids, crypto::PublicKey visor
    );

    /// Sorted by id; read at most kAgeMax ago.
    static constexpr std::chrono::seconds kAgeMax{60};
    using Transports = std::shared_ptr<const std::vector<TransportUptime>>;
    Task<Result<Transports>> transports();

    /// Takes days off that are past showing; once an hour.
    Task<Result<>> sweep();

 private:
    struct Beat {
        transport::TransportId id;
        Slot slot = 0;
        /// The slot of the last heartbeat, where one is remembered.
        Slot before = 0;
    };
    Task<Result<>> mark_transports(std::vector<Beat> beats, crypto::PublicKey visor);
    /// New ones that it may tell of now.
    Task<Result<std::size_t>> room_for(crypto::PublicKey visor);
    void not_kept(const crypto::PublicKey& visor, std::size_t count);

    net::Context context_;
    store::Store& store_;
    Limits limits_;
    services::VisorUptimes visors_;
    std::unordered_map<transport::TransportId, Slot> transports_seen_;
    /// How many new ones each visor has told of, on this day. One at least, so they are bounded.
    std::unordered_map<crypto::PublicKey, std::size_t> new_;
    Date new_on_{};
    Counter& left_out_;
    Transports transports_;
    SteadyTime transports_read_{};
};

}  // namespace skywire::tpd
