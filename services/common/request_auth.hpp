#pragma once

#include "crypto/keys.hpp"
#include "http/router.hpp"
#include "services/common/service_store.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// Who sent a request: the SW headers and their nonces, or the key of a dmsg stream.
/// spec/services-http.md sections 2 and 2.1.
///
/// Over dmsg the stream's handshake has proved the caller: a request without SW headers is the
/// stream key's, whatever its nonce. With SW headers it is checked as over TCP and must name the
/// stream's key.
///
/// From the look at the nonce until its handler has ended and the nonce has advanced a key has one
/// request under way: another one with the same nonce is refused as a mismatch, so that of two
/// equal requests at the same time exactly one is accepted. Services on one Redis do not see each
/// other's requests under way: there the nonce advances before the handler runs, in one step with
/// the look whether it still stands where it stood, and goes back where the answer is no 200.
namespace skywire::services {

/// The key of the dmsg stream that a request came on; nothing over TCP.
std::optional<crypto::PublicKey> stream_key(const http::Request& request);

/// The "remote address" of section 1.1: the caller's IP without a port; over dmsg the header
/// SW-PublicIP as it is, or an empty text.
std::string caller_ip(const http::Request& request);

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

    /// A handler's status for "wrote neither status nor body": the caller gets an empty 200 and the
    /// nonce stays.
    static constexpr unsigned kNothingWritten = 0;

    /// Told of every accepted request, before its handler runs: a sign of life of that key.
    using OnAccepted = std::function<void(const crypto::PublicKey&)>;
    using SignedHandler =
        std::function<Task<http::Response>(http::Request&, const crypto::PublicKey& caller)>;

    /// Whether a route's success uses up the nonce: not where it is a 201.
    enum class Success { uses_nonce, leaves_nonce };

    /// `context` and `store` outlive it; the store has been opened.
    RequestAuth(const net::Context& context, ServiceStore& store, Options options);
    ~RequestAuth();
    RequestAuth(const RequestAuth&) = delete;
    RequestAuth& operator=(const RequestAuth&) = delete;

    /// Raises the floor of the nonces (nonces.hpp); before the first request. Errors: the store's.
    Task<Result<>> open();

    void on_accepted(OnAccepted accepted);

    /// Hangs GET /security/nonces/{pk} on the router.
    void add_to(http::Router& router);

    /// Runs `handler` for requests that are signed or came over dmsg, and advances the nonce after
    /// a 200; answers 401 to all others, counted by reason, and 500 while the store does not
    /// answer.
    http::Handler signed_by_anyone(SignedHandler handler, Success success = Success::uses_nonce);

    /// Runs `handler` for requests that a whitelisted network monitor signed (section 2.1); 403 and
    /// 400, empty, to all others, counted by reason.
    http::Handler network_monitor(http::Handler handler);

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::services
