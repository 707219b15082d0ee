#pragma once

#include "crypto/keys.hpp"
#include "net/context.hpp"
#include "store/store.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace skywire::services {

/// The number that each key's next signed request must carry; spec/services-http.md section 2. Kept
/// in the reference's layout: `PREFIX:nonces:KEY` is a number, the set `PREFIX:nonces` has the keys
/// that ever advanced.
///
/// Ours: a floor, which is the number of every key that is not kept or is below it. No number that
/// was used is ever due again: a start over an existing snapshot raises the floor by 2^20 above all
/// numbers and has that on disk before `open` returns, since a snapshot lags behind; a memory store
/// begins at its start time; and where a store of our own holds `keys_max` keys, the floor rises to
/// the highest number and all keys are forgotten (each client meets one mismatch and asks again).
/// In Redis, which others share, the floor stays 0 and its own limits hold.
class Nonces {
 public:
    struct Options {
        /// "transport-discovery"
        std::string prefix;
        /// A memory store begins at 0 instead of at the start time.
        bool testing = false;
        std::size_t keys_max = 100'000;
    };

    /// `context` and `store` outlive it.
    Nonces(const net::Context& context, store::Store& store, Options options);

    /// Sets the floor; before anything else. Errors: the store's, errc::unavailable where the floor
    /// does not reach the disk.
    Task<Result<>> open();

    /// The number due from a key, and what the store holds, for `advance`.
    struct Due {
        std::uint64_t number = 0;
        std::optional<std::string> stored;
    };
    Task<Result<Due>> due(crypto::PublicKey key);

    /// Makes `due.number + 1` the next number. False where somebody else has advanced it since
    /// (another service on the same Redis): it stands at theirs then. Of all who ask with the same
    /// `due` exactly one is told true.
    Task<Result<bool>> advance(crypto::PublicKey key, Due due);

    /// Undoes an `advance`: the number is due again, and the store is as it was, where nobody has
    /// gone on since. Only in a shared store.
    Task<Result<>> give_back(crypto::PublicKey key, Due due);

    /// Others write to the store, too.
    bool shared() const noexcept { return !own_; }

    std::uint64_t floor() const noexcept { return floor_; }

 private:
    std::string key_of(const crypto::PublicKey& key) const;
    Task<Result<>> open_snapshot();
    Task<Result<std::uint64_t>> highest_stored();
    Task<Result<>> raise_floor(std::uint64_t to);
    Task<Result<>> forget(std::span<const std::string> members, std::uint64_t floor);
    Task<Result<>> make_room();

    net::Context context_;
    store::Store& store_;
    Options options_;
    /// Keys and numbers are this process's alone.
    bool own_;
    std::string set_;
    std::string floor_key_;
    std::uint64_t floor_ = 0;
    std::uint64_t highest_ = 0;
    /// Whether keys are being forgotten: how often, which is once.
    std::size_t making_room_ = 0;
};

}  // namespace skywire::services
