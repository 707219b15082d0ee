#pragma once

#include "base/clock.hpp"
#include "gob/type.hpp"
#include "net/context.hpp"
#include "net/network.hpp"
#include "rpc/methods.hpp"

#include <memory>
#include <string>
#include <vector>

namespace skywire::rpc {

/// Answers calls that come over streams, each stream's side by side. Used on context.loop.
///
/// A stream is closed: with the first bytes that cannot be read as a call, after `idle_timeout`
/// without a whole call, and where an answer is not taken within `write_timeout`. When a caller
/// goes away, what it has asked for is cancelled.
class Server {
 public:
    struct Options {
        /// Label `server` of this server's series.
        std::string name = "rpc";
        std::size_t connections_max = 1024;
        /// Of one host, which on dmsg is a key.
        std::size_t connections_per_caller_max = 16;
        /// More are answered with an error.
        std::size_t calls_per_connection_max = 8;
        std::chrono::milliseconds idle_timeout{30'000};
        std::chrono::milliseconds call_timeout{30'000};
        std::chrono::milliseconds write_timeout{5'000};
        gob::Limits limits = {};
    };

    /// `methods` outlives it.
    Server(const net::Context& context, const Methods& methods, Options options);
    /// `stop` has been awaited.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void serve(std::unique_ptr<net::Listener> listener);
    void serve(std::unique_ptr<net::Stream> stream);

    std::size_t connections() const noexcept;
    std::size_t calls_under_way() const noexcept;

    /// Accepts no more, closes idle streams, and the others once their calls are answered. Returns
    /// then, or at the deadline.
    Task<> drain(SteadyTime deadline);

    /// Ends everything; the names of what had not ended at the deadline.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::rpc
