#pragma once

#include "crypto/keys.hpp"
#include "net/context.hpp"
#include "services/common/timeline.hpp"
#include "store/store.hpp"

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

/// Which visors were there when: a service's own count of their heartbeats.
///
/// A visor's days lie under the network's `PREFIX:uptime:KEY:DATE:timeline` and its sets
/// `PREFIX:uptime:online:DATE`, its version and last heartbeat under `PREFIX:visor:KEY`, ours.
/// spec/services-http.md sections 4.3 and 5.4.
namespace skywire::services {

/// Who gives a sign every five minutes (a visor's own heartbeat, the owners of held records) is on
/// this long, as the uptime-tracker had it.
inline constexpr std::chrono::minutes kHeartbeatOn{6};

struct VisorUptime {
    crypto::PublicKey key;
    /// Empty where it never told.
    std::string version;
    /// Its first heartbeat in its last slot.
    WallTime last_seen{};
    Days days;
};

/// Used on the store's event loop. All errors are the store's.
class VisorUptimes {
 public:
    /// `store` outlives it.
    VisorUptimes(const net::Context& context, store::Store& store, std::string prefix);

    /// A heartbeat; costs nothing but the first time in a slot, and where the version is new. An
    /// empty version leaves the former one.
    Task<Result<>> seen(crypto::PublicKey key, std::string version);

    /// Sorted by key; read at most kAgeMax ago.
    static constexpr std::chrono::seconds kAgeMax{60};
    using Visors = std::shared_ptr<const std::vector<VisorUptime>>;
    Task<Result<Visors>> visors();

    /// Gave a heartbeat less than kHeartbeatOn ago.
    bool heard_of(const VisorUptime& visor) const;

    /// Takes days off that are past showing; once an hour.
    Task<Result<>> sweep();

 private:
    struct Seen {
        Slot slot = 0;
        std::string version;
        WallTime at{};
    };
    std::string timeline_key(std::string_view key, Date date) const;
    std::string online_key(Date date) const;
    std::string visor_key(const crypto::PublicKey& key) const;
    Task<Result<>> mark_slot(crypto::PublicKey key, Slot slot, Slot before, store::Batch batch);
    Task<Result<std::map<std::string, Days>>> read_days();
    Task<Result<>> forget_day(Date date);

    net::Context context_;
    store::Store& store_;
    std::string prefix_;
    std::unordered_map<crypto::PublicKey, Seen> seen_;
    Visors visors_;
    SteadyTime visors_read_{};
};

}  // namespace skywire::services
