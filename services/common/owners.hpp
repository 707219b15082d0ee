#pragma once

#include "crypto/keys.hpp"
#include "dmsg/client.hpp"
#include "net/context.hpp"
#include "net/scope.hpp"
#include "services/common/owner_probe.hpp"
#include "store/store.hpp"

#include <functional>
#include <memory>
#include <string>

/// Whether the owners of records that are never renewed by themselves still live: signs of life, a
/// probe for who gives none, and the end after a long silence. spec/services-http.md section 13
/// item 3.
///
/// A service with held records: `open`, `set_records` for each owner it has loaded, `start`; then
/// `seen` for each accepted request, `set_records` whenever an owner's count changes. It drops the
/// owner's records when told `gone`. Held records need no lifetime of their own but in Redis, where
/// they live for `held_timeout` and `alive` renews that.
namespace skywire::services {

class Owners {
 public:
    struct Events {
        /// The owner gave a sign of life: what it holds may live on. At most once a minute per key.
        std::function<Task<>(const crypto::PublicKey&)> alive;
        /// Three probes at least 60 s apart failed while we had a session to one of its servers, or
        /// there was no sign for `held_timeout`. Told again after 5 min while it has records.
        std::function<Task<>(const crypto::PublicKey&)> gone;
    };

    struct Options {
        /// Where last signs are kept, as `PREFIX:owners:KEY`: they outlast a restart, whose time
        /// does not count, and services on one Redis share them. Null: in memory alone.
        store::Store* store = nullptr;
        std::string prefix;
        /// Zero: never.
        Duration held_timeout = std::chrono::hours(24);
    };

    /// `context`, `client`, `scope` and the options' store outlive it; without a client nobody is
    /// ever found gone before `held_timeout`.
    Owners(
        const net::Context& context,
        dmsg::Client* client,
        net::Scope& scope,
        Events events,
        Options options
    );
    /// In memory, with the default of `held_timeout`.
    Owners(const net::Context& context, dmsg::Client* client, net::Scope& scope, Events events);
    /// With another way to ask; null: nobody is asked.
    Owners(
        const net::Context& context,
        std::unique_ptr<Prober> prober,
        net::Scope& scope,
        Events events,
        Options options
    );
    ~Owners();
    Owners(const Owners&) = delete;
    Owners& operator=(const Owners&) = delete;

    /// Reads the last signs of the time before. Errors: the store's.
    Task<Result<>> open();

    /// Spawns the probing on the scope.
    void start();

    /// How many held records a key owns from now on; 0 forgets the key. A key not known before has
    /// given a sign just now, or its last one before the restart.
    void set_records(const crypto::PublicKey& owner, std::size_t count);

    /// A sign of life. Costs next to nothing for keys without records.
    void seen(const crypto::PublicKey& owner);

    /// When the owner last gave a sign; the epoch for a key without records.
    WallTime last_seen(const crypto::PublicKey& owner) const;

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::services
