#pragma once

#include "crypto/keys.hpp"
#include "dmsg/client.hpp"
#include "net/context.hpp"
#include "net/scope.hpp"

#include <functional>
#include <memory>
#include <string>

/// Whether the owners of records that are never renewed by themselves still live: signs of life, and
/// a probe for who gives none. spec/services-http.md section 13 item 3.
namespace skywire::services {

class Owners {
 public:
    struct Events {
        /// The owner gave a sign of life: what it holds may live on. At most once a minute per key.
        std::function<Task<>(const crypto::PublicKey&)> alive;
        /// Three probes at least 60 s apart failed while we had a session to one of its servers.
        std::function<Task<>(const crypto::PublicKey&)> gone;
    };

    /// `context`, `client` and `scope` outlive it; without a client nobody is ever found gone.
    Owners(const net::Context& context, dmsg::Client* client, net::Scope& scope, Events events);
    ~Owners();
    Owners(const Owners&) = delete;
    Owners& operator=(const Owners&) = delete;

    /// Spawns the probing on the scope.
    void start();

    /// How many held records a key owns from now on; 0 forgets the key.
    void set_records(const crypto::PublicKey& owner, std::size_t count);

    /// A sign of life. Costs nothing for keys without records.
    void seen(const crypto::PublicKey& owner);

    /// When the owner last gave a sign, as the records' expiry counts it.
    WallTime last_seen(const crypto::PublicKey& owner) const;

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::services
