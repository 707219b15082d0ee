#pragma once

#include "http/router.hpp"
#include "services/common/request_auth.hpp"
#include "services/transport_discovery/list_body.hpp"
#include "services/transport_discovery/rate_limit.hpp"
#include "services/transport_discovery/transports.hpp"
#include "services/transport_discovery/uptimes.hpp"

#include <array>
#include <functional>
#include <string>
#include <string_view>

/// The routes that write and read transports: spec/services-http.md sections 4.1 and 4.2. Existing
/// clients tell answers apart by status and text: keep them byte for byte. The others are in
/// reports.hpp.
namespace skywire::tpd {

/// Why a request is refused: the value of a counter's `reason` label.
enum class Refused {
    json_syntax,
    json_type,
    bad_id,
    bad_key,
    bad_query,
    not_found,
    not_an_edge,
    rate_limit,
    store_unavailable,
    /// Too much for one answer.
    too_large,
    /// Too many such answers are being made.
    busy,
};
inline constexpr std::array kRefused{
    Refused::json_syntax,
    Refused::json_type,
    Refused::bad_id,
    Refused::bad_key,
    Refused::bad_query,
    Refused::not_found,
    Refused::not_an_edge,
    Refused::rate_limit,
    Refused::store_unavailable,
    Refused::too_large,
    Refused::busy,
};
std::string_view reason(Refused why) noexcept;

/// What all routes share.
class Answers {
 public:
    using OnStoreFailure = std::function<void(const Error&)>;

    Answers(Metrics& metrics, OnStoreFailure on_store_failure);

    void count(Refused why);
    /// 500, and the store's health knows.
    http::Response store_failed(const Error& error);
    /// Notes that the store failed where the request is answered all the same.
    void note_failure(const Error& error);

 private:
    std::array<Counter*, kRefused.size()> refused_{};
    OnStoreFailure on_store_failure_;
};

class Routes {
 public:
    /// All outlive the routes.
    struct Parts {
        const net::Context& context;
        Transports& transports;
        Uptimes& uptimes;
        services::RequestAuth& auth;
        Answers& answers;
        RateLimit& rate_limit;
    };

    explicit Routes(const Parts& parts);

    /// Hangs its routes and the rate limit on a router. The routes outlive it.
    void add_to(http::Router& router);

 private:
    using Caller = const crypto::PublicKey&;

    Task<http::Response> limited(http::Request& request, const http::Handler& next);
    Task<http::Response> post_signed(http::Request& request, Caller caller);
    Task<http::Response> post_bare(http::Request& request, Caller caller);
    Task<http::Response> get_one(http::Request& request);
    Task<http::Response> get_by_id(http::Request& request, Caller caller);
    Task<http::Response> get_by_edge(http::Request& request, Caller caller);
    Task<http::Response> get_by_edge_v3(http::Request& request);
    Task<http::Response> post_edges(http::Request& request);
    Task<http::Response> delete_one(http::Request& request);
    Task<http::Response> delete_by_id(http::Request& request, Caller caller);
    Task<http::Response> delete_batch(http::Request& request, Caller caller);
    Task<http::Response> deregister(http::Request& request);
    Task<http::Response> all(http::Request& request);
    Task<http::Response> update(http::Request& request, Caller caller);

    http::Response malformed(const Error& error, bool style_c);
    Task<> seen(
        crypto::PublicKey caller,
        std::string version,
        std::vector<transport::TransportId> transports
    );

    net::Context context_;
    Transports& transports_;
    Uptimes& uptimes_;
    services::RequestAuth& auth_;
    Answers& answers_;
    RateLimit& rate_limit_;
    ListBody list_;
    /// Of ETags: two processes number their versions each on its own.
    std::string instance_;
    http::Handler get_by_id_;
    http::Handler get_by_edge_;
    http::Handler delete_by_id_;
};

}  // namespace skywire::tpd
