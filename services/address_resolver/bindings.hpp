#pragma once

#include "net/context.hpp"
#include "services/address_resolver/binding.hpp"
#include "store/store.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

/// The bindings in a store that replicas and programs of the network may share:
/// spec/services-http.md section 6.3. `address-resolver:TYPE:KEY` is a binding, the set
/// `address-resolver:TYPE:_index` has the keys.
namespace skywire::resolver {

inline constexpr std::string_view kPrefix = "address-resolver";

/// Used on the store's event loop. Errors are the store's.
class Bindings {
 public:
    struct Options {
        /// Of refreshing records.
        Duration entry_timeout = std::chrono::minutes(5);
        /// Of held ones in Redis; elsewhere their owners' silence ends them. Zero: never.
        Duration held_timeout = std::chrono::hours(24);
    };

    /// How many held records a key has from now on.
    using OnHeld = std::function<void(const crypto::PublicKey&, std::size_t)>;

    /// `store` outlives it.
    Bindings(store::Store& store, Options options);

    void on_held(OnHeld on_held) { on_held_ = std::move(on_held); }

    /// Finds the held records of the time before.
    Task<Result<>> open();

    /// Stores a binding; its lifetime is its class's, or `lifetime` where that is set.
    Task<Result<>> put(
        Type type, crypto::PublicKey key, Binding binding, Duration lifetime = Duration(0)
    );
    /// A text in the store that is no binding counts as none.
    Task<Result<std::optional<Binding>>> get(Type type, crypto::PublicKey key);
    Task<Result<>> erase(Type type, crypto::PublicKey key);
    /// The keys with a binding, in order; keys of expired ones are taken off the set.
    Task<Result<std::vector<crypto::PublicKey>>> list(Type type);

    /// The owner gave a sign of life: its held records live on.
    Task<Result<>> renew(crypto::PublicKey owner);
    /// The owner is gone: its held records end.
    Task<Result<>> drop(crypto::PublicKey owner);

 private:
    Duration lifetime_of(const Binding& binding) const;
    void note(Type type, const crypto::PublicKey& key, bool held);
    Task<Result<>> tidy(Type type, std::vector<std::string> expired);

    store::Store& store_;
    Options options_;
    bool shared_;
    OnHeld on_held_;
    /// Types of held records, by owner, as far as this process has seen them.
    std::unordered_map<crypto::PublicKey, std::set<Type>> held_;
};

}  // namespace skywire::resolver
