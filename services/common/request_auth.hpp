#pragma once

#include "crypto/keys.hpp"
#include "http/router.hpp"
#include "services/common/service_store.hpp"

#include <functional>
#include <memory>
#include <string>

/// Who sent a request: the SW headers and their nonces, or the key of a dmsg stream.
/// spec/services-http.md sections 2 and 2.1.
namespace skywire::services {

class RequestAuth {
 public:
    struct Options {
        /// Of the store's keys: "transport-discovery".
        std::string prefix;
        /// A memory store without a snapshot begins at nonce 0 instead of at the start time.
        bool testing = false;
        /// Keys whose holders may deregister (header NM-PK), as text.
        std::vector<std::string> whitelist;
    };

    /// Told of every accepted request, before its handler runs: a sign of life of that key.
    using OnAccepted = std::function<void(const crypto::PublicKey&)>;
    using SignedHandler =
        std::function<Task<http::Response>(http::Request&, const crypto::PublicKey& caller)>;

    /// `context` and `store` outlive it.
    RequestAuth(const net::Context& context, ServiceStore& store, Options options);
    ~RequestAuth();
    RequestAuth(const RequestAuth&) = delete;
    RequestAuth& operator=(const RequestAuth&) = delete;

    /// Raises the floor of the nonces; before the first request. Errors: the store's.
    Task<Result<>> open();

    void on_accepted(OnAccepted accepted);

    /// Hangs GET /security/nonces/{pk} on the router.
    void add_to(http::Router& router);

    /// Runs `handler` for requests that are signed or came over dmsg, and advances the nonce after
    /// a 200; answers 401 to all others, counted by reason.
    http::Handler signed_by_anyone(SignedHandler handler);

    /// Runs `handler` for requests that a whitelisted network monitor signed (section 2.1); 403 and
    /// 400, empty, to all others, counted by reason.
    http::Handler network_monitor(http::Handler handler);

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::services
