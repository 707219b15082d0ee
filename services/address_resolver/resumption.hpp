#pragma once

#include "base/clock.hpp"
#include "net/address.hpp"
#include "services/address_resolver/bindings.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

/// Visors of 2024 shake hands and bind once. After a restart of the resolver they go on in their
/// old conversation: without an answer for ever, and their binding ends. So what was held is kept
/// in the store, and who comes from the same address in the same conversation goes on.
///
/// Both must agree: the conversation is a random number that only who sees the visor's datagrams
/// knows, so that a forged source address does not do.
namespace skywire::resolver {

/// A store that others write to is read again after that long, when somebody unknown comes.
inline constexpr std::chrono::minutes kResumptionReadInterval{1};

/// Used on the store's event loop. Errors are the store's.
class Resumption {
 public:
    /// `bindings` and `clock` outlive it.
    Resumption(Bindings& bindings, Clock& clock, std::size_t sessions_max)
        : bindings_(bindings), clock_(clock), sessions_max_(sessions_max) {}

    /// Reads who was here; what was known before is forgotten. One at a time.
    Task<Result<>> load();

    /// Whether that conversation was held, as far as has been read.
    bool holds(const net::Address& from, std::uint32_t conversation) const;

    /// Whether it is time to read again what others have written.
    bool outdated() const;

    /// A session that has just ended without its visor's knowledge may go on.
    void hold(net::Address from, std::uint32_t conversation, const crypto::PublicKey& key);

    struct Found {
        crypto::PublicKey key;
        Binding binding;
    };
    /// The visor of that conversation, where the store still says so. It is not held any more.
    Task<Result<std::optional<Found>>> take(net::Address from, std::uint32_t conversation);

 private:
    using Place = std::pair<net::Address, std::uint32_t>;

    Bindings& bindings_;
    Clock& clock_;
    std::size_t sessions_max_;
    std::map<Place, crypto::PublicKey> held_;
    SteadyTime loaded_{};
    bool loading_ = false;
};

}  // namespace skywire::resolver
