#pragma once

#include "net/context.hpp"
#include "services/address_resolver/binding.hpp"
#include "store/store.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

/// The bindings in a store that replicas and programs of the network may share:
/// spec/services-http.md section 6.3. `address-resolver:TYPE:KEY` is a binding, the set
/// `address-resolver:TYPE:_index` has the keys. Ours: `address-resolver:session:KEY` is a kept UDP
/// session, with a set like the others.
namespace skywire::resolver {

inline constexpr std::string_view kPrefix = "address-resolver";
/// A sudph binding lives a while longer in the store than it is written often.
inline constexpr std::chrono::minutes kStoreLifetime{4};
/// How long a silent UDP session is kept, in memory and in the store.
inline constexpr std::chrono::hours kSessionTimeout{1};

/// Used on the store's event loop. Errors are the store's.
class Bindings {
 public:
    struct Options {
        /// Of refreshing records.
        Duration entry_timeout = std::chrono::minutes(5);
        /// Of held ones in Redis; elsewhere their owners' silence ends them. Zero: never.
        Duration held_timeout = std::chrono::hours(24);
        /// Whether UDP sessions are kept: of no use where the store ends with the process.
        bool keep_sessions = true;
    };

    /// How many held records a key has from now on.
    using OnHeld = std::function<void(const crypto::PublicKey&, std::size_t)>;

    /// `store` outlives it.
    Bindings(store::Store& store, Options options);

    void on_held(OnHeld on_held) { on_held_ = std::move(on_held); }

    /// Told of each visor of whom something was written or removed here.
    using OnWritten = std::function<void(const crypto::PublicKey&)>;
    void on_written(OnWritten on_written) { on_written_ = std::move(on_written); }

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
    /// All of a type, in no particular order; unreadable ones are left out.
    using All = std::vector<std::pair<crypto::PublicKey, Binding>>;
    Task<Result<All>> all(Type type);

    /// Stores a UDP session and its binding, for kSessionTimeout and kStoreLifetime. `erase` of the
    /// binding ends both.
    Task<Result<>> put_session(crypto::PublicKey key, KeptSession session);
    Task<Result<std::optional<KeptSession>>> session(crypto::PublicKey key);
    /// The first `count_max` of them in no particular order.
    using Sessions = std::vector<std::pair<crypto::PublicKey, KeptSession>>;
    Task<Result<Sessions>> sessions(std::size_t count_max);

    /// Whether others write to the store, too.
    bool shared() const noexcept { return shared_; }

    /// The owner gave a sign of life: its held records live on.
    Task<Result<>> renew(crypto::PublicKey owner);
    /// The owner is gone: its held records end.
    Task<Result<>> drop(crypto::PublicKey owner);

 private:
    Duration lifetime_of(const Binding& binding) const;
    void note(Type type, const crypto::PublicKey& key, bool held);
    void tell_written(const crypto::PublicKey& key) const {
        if (on_written_) on_written_(key);
    }
    using Take = std::function<void(const crypto::PublicKey& key, const std::string& text)>;
    Task<Result<>> read(Type type, Take take);
    /// Takes keys without a value off their set.
    Task<Result<>> tidy(std::string_view kind, std::vector<std::string> expired);

    store::Store& store_;
    Options options_;
    bool shared_;
    OnHeld on_held_;
    OnWritten on_written_;
    /// Types of held records, by owner, as far as this process has seen them.
    std::unordered_map<crypto::PublicKey, std::set<Type>> held_;
};

}  // namespace skywire::resolver
