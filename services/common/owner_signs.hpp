#pragma once

#include "crypto/keys.hpp"
#include "net/context.hpp"
#include "store/store.hpp"

#include <optional>
#include <string>
#include <unordered_map>

namespace skywire::services {

/// The owners' last signs of life in a store: `PREFIX:owners:KEY` is a time in Unix seconds. In a
/// store of our own the set `PREFIX:owners` names the keys, and `PREFIX:owners:clock` is when the
/// service ran last. Services on one Redis share the signs, which end there by themselves.
///
/// A sign that is not written is missed after a restart, and another one follows in minutes:
/// failures are said in the log alone. Used on one event loop.
class OwnerSigns {
 public:
    /// `store` outlives it; null: nothing is kept. `lifetime` is that of a sign in Redis.
    OwnerSigns(
        const net::Context& context, store::Store* store, std::string prefix, Duration lifetime
    );

    /// Whether other services write signs, too.
    bool shared() const noexcept { return shared_; }
    /// Whether they outlast this process alone.
    bool own() const noexcept { return store_ != nullptr && !shared_; }

    /// Those of before a restart, moved on by the time that the service was down, in the store too;
    /// empty where they are shared. Errors: the store's.
    Task<Result<std::unordered_map<crypto::PublicKey, WallTime>>> load();

    Task<> write(crypto::PublicKey owner, WallTime sign);
    Task<> erase(crypto::PublicKey owner);
    /// What stands in the store.
    Task<std::optional<WallTime>> read(crypto::PublicKey owner);
    /// The service runs.
    Task<> write_clock();

 private:
    std::string key_of(const crypto::PublicKey& key) const { return set_ + ":" + key.to_text(); }
    Task<> apply(store::Batch batch);

    net::Context context_;
    store::Store* store_;
    bool shared_;
    std::string set_;
    Duration lifetime_;
};

}  // namespace skywire::services
