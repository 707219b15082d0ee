#pragma once

#include "http/message.hpp"
#include "net/context.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace skywire::http {

/// What a client sends; Host, Content-Length and Connection are added.
struct ClientRequest {
    Method method = Method::get;
    /// Where to connect: "host:port" or "unix:PATH".
    net::Address address;
    /// Path and query.
    std::string target = "/";
    Fields fields;
    std::string body;
    std::chrono::milliseconds timeout{10'000};
    std::size_t response_bytes_max = 16 * 1024 * 1024;
};

/// An "http://host[:port]/path" URL cut into an address and a target.
struct Url {
    net::Address address;
    std::string target;
    static Result<Url> parse(std::string_view text);
};

/// An HTTP/1.1 client with kept connections, per event loop. Safe to have many requests under way.
class Client {
 public:
    struct Options {
        std::size_t idle_per_address_max = 4;
        /// Shorter than the 30 s after which the servers of the network close: no request goes out
        /// on a connection that is about to be closed.
        std::chrono::milliseconds idle_timeout{20'000};
    };

    explicit Client(const net::Context& context, Options options);
    explicit Client(const net::Context& context);
    ~Client();

    /// Sends the request and reads the whole answer. A kept connection that turns out dead before
    /// the first byte of the answer is replaced once by a fresh one (idempotent methods only).
    /// Errors: errc::timed_out, errc::closed, errc::malformed, errc::limit_reached, the dialer's.
    Task<Result<Response>> send(ClientRequest request);

    /// Closes the kept connections; requests under way end with errc::closed.
    void close();

 private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace skywire::http
