#pragma once

#include "http/router.hpp"
#include "net/context.hpp"
#include "net/network.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace skywire::http {

/// Limits of one server. Everything outside comes up against one of them and is counted.
struct ServerLimits {
    std::size_t connections_max = 10'000;
    std::size_t header_bytes_max = 16 * 1024;
    std::size_t body_bytes_max = 1024 * 1024;
    /// Requests answered on one connection before it is closed; 0 = no limit.
    std::size_t requests_per_connection_max = 0;
    /// From a request's first byte to its last: a slow sender is cut off here.
    std::chrono::milliseconds read_timeout{3'000};
    /// For one response to be taken by the peer.
    std::chrono::milliseconds write_timeout{3'000};
    /// Between requests.
    std::chrono::milliseconds idle_timeout{30'000};
};

/// An HTTP/1.1 server over any Listener: keep-alive, pipelining (answers in order), HEAD, chunked
/// requests, `Expect: 100-continue`, PROXY v1/v2 where enabled, gzip where enabled and asked for.
///
/// Refusals, each counted by reason in http_refused_total: malformed 400, header too large 431,
/// body too large 413 (`Request Entity Too Large`), slow 408, too many connections (closed).
/// Deadlines are kept by one sweep of all connections every 250 ms, not by a timer each.
class Server {
 public:
    struct Options {
        ServerLimits limits;
        /// Peers that may send a PROXY header; the header is accepted, never demanded.
        bool accept_proxy_header = false;
        /// Bodies from this size on are compressed for clients that accept gzip; 0 = never.
        std::size_t gzip_from_bytes = 0;
        /// Label `server` of this server's series, where a service has several.
        std::string name = "http";
    };

    /// `router` outlives the server.
    Server(const net::Context& context, const Router& router, Options options);
    ~Server();

    /// Serves this listener until drain or stop. Several listeners may be served. Runs on
    /// context.loop, as everything else here.
    void serve(std::unique_ptr<net::Listener> listener);

    /// Serves one stream made elsewhere (a dmsg stream, a test's pipe).
    void serve(std::unique_ptr<net::Stream> stream);

    /// The bound addresses, in order of `serve`.
    std::vector<net::Address> addresses() const;

    /// Stops accepting, closes idle connections, lets requests under way end with
    /// `Connection: close`. Returns when the last one has, or at the deadline.
    Task<> drain(SteadyTime deadline);

    /// Ends everything. Returns the names of what had not ended at the deadline.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

    std::size_t connections() const noexcept;
    std::size_t requests_under_way() const noexcept;

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::http
