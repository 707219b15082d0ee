#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"
#include "net/address.hpp"

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace skywire::dmsg {

/// How many of what a server takes. 0 is "no limit" where it says so.
struct ServerLimits {
    /// Sessions of clients; a client that comes back takes its old place.
    std::size_t sessions_max = 2048;
    /// Connections of one IP address (of a /64 of IPv6), with or without a session; 0: no limit.
    std::size_t sessions_per_ip_max = 1024;
    /// New connections of one address, on average and at once; 0: no limit.
    std::size_t new_sessions_per_ip_per_minute = 2400;
    /// New sessions of one key, on average and at once; 0: no limit.
    std::size_t new_sessions_per_key_per_minute = 60;
    /// Connections whose session has not begun yet, in all and of one address.
    std::size_t handshakes_max = 1024;
    std::size_t handshakes_per_ip_max = 256;
    /// Streams of one session at one time, both sides' together.
    std::size_t streams_per_session_max = 2048;
    /// Streams of one session that are being set up, from it or towards it.
    std::size_t setups_per_session_max = 256;
};

namespace detail {

/// Why a connection or session is not taken.
enum class Refusal {
    none,
    /// As many handshakes as may be are under way.
    handshakes,
    handshakes_of_ip,
    /// The address has as many connections as it may have.
    sessions_of_ip,
    /// The address, or the key, comes too often.
    rate_of_ip,
    rate_of_key,
    /// The server is full.
    sessions,
};
inline constexpr std::size_t kRefusals = 7;
std::string_view refusal_name(Refusal refusal) noexcept;

/// Keeps a server's limits on connections and sessions. Safe to call from any thread; asked when
/// one begins or ends.
class Admission {
 public:
    explicit Admission(const ServerLimits& limits) : limits_(limits) {}
    Admission(const Admission&) = delete;
    Admission& operator=(const Admission&) = delete;

    /// What one connection takes of the limits, until it is destroyed. The Admission outlives it.
    class Place {
     public:
        Place() = default;
        ~Place() { release(); }
        Place(Place&& other) noexcept { *this = std::move(other); }
        Place& operator=(Place&& other) noexcept;

     private:
        friend class Admission;
        void release() noexcept;

        Admission* admission_ = nullptr;
        /// Under which it is counted; empty: it has no limits per address.
        std::string address_;
        bool connection_ = false;
        bool handshake_ = false;
        bool session_ = false;
    };

    /// A connection has come from there, which may be a proxy: its handshake counts for it until
    /// the peer's own address is known. One without an IP (a pipe, a unix socket) has no limits.
    Refusal connected(Place& place, const net::Address& from = {});
    /// Its peer's address is known.
    Refusal addressed(Place& place, const net::Address& address, SteadyTime now);
    /// Its handshake has ended. `replaces`: the key has a session, which this one takes over.
    Refusal authenticated(
        Place& place, const crypto::PublicKey& key, bool replaces, SteadyTime now
    );

    /// Sessions of clients now.
    std::size_t sessions() const;
    /// What a discovery is told: how many more there may be.
    std::size_t available() const;
    std::size_t handshakes() const;

 private:
    /// A bucket that is full at first and fills in a minute.
    struct Bucket {
        double tokens = -1;
        SteadyTime at{};
    };
    struct PerAddress {
        std::size_t connections = 0;
        std::size_t handshakes = 0;
        Bucket bucket;
    };

    static bool take(Bucket& bucket, std::size_t per_minute, SteadyTime now);
    template <class Map, class Idle>
    static void bound(Map& map, std::size_t per_minute, SteadyTime now, Idle idle);
    bool take_handshake(Place& place, std::string counted);
    void end_handshake(Place& place) noexcept;
    void forget_address(Place& place) noexcept;
    void release(Place& place) noexcept;

    ServerLimits limits_;
    mutable std::mutex mutex_;
    std::size_t handshakes_ = 0;
    std::size_t sessions_ = 0;
    std::unordered_map<std::string, PerAddress> addresses_;
    std::unordered_map<crypto::PublicKey, Bucket> keys_;
};

}  // namespace detail
}  // namespace skywire::dmsg
