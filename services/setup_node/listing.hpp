#pragma once

#include "crypto/keys.hpp"
#include "http/client.hpp"
#include "net/context.hpp"
#include "router/route_setup.hpp"
#include "transport/view.hpp"

#include <memory>
#include <string>

namespace skywire::setup_node {

/// Whether transports are there, as far as the transport-discovery knows. Visors of 2024 that are
/// handed rules for a transport they do not have accept no more routes until they are restarted
/// (spec/visor.md section 7.2), so a setup-node asks before it hands them any.
class Listing {
 public:
    virtual ~Listing() = default;

    /// Whether the hop's transport is listed between its two ends. An Error: it cannot be told.
    virtual Task<Result<bool>> lists(router::Hop hop, SteadyTime deadline) = 0;

    /// Why it could not be told the last time; empty where it could.
    virtual std::string trouble() const = 0;
};

/// Asks a transport-discovery over HTTP, with signed requests (spec/services-http.md sections 2
/// and 4.1). `url` is "http://host:port" or "dmsg://KEY:PORT"; the context's network dials both.
/// errc::malformed for a URL that is none.
Result<std::unique_ptr<Listing>> make_http_listing(
    const net::Context& context, http::Client& http, const std::string& url, crypto::KeyPair keys
);

/// Looks into the list of the transport-discovery in the same process; as long as there is none, it
/// cannot be told.
std::unique_ptr<Listing> make_view_listing(
    const net::Context& context, std::shared_ptr<transport::TransportView> view
);

}  // namespace skywire::setup_node
