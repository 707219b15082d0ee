#pragma once

#include "net/context.hpp"
#include "net/scope.hpp"
#include "services/stun_server/config.hpp"
#include "services/stun_server/stun_message.hpp"

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace skywire::stun {

/// Drives the rules of stun_message.hpp over four UDP sockets: reads a request on one, sends the
/// answer from the one the request asked for. Used on one event loop, context.loop.
///
/// Counts stun_requests_total, stun_ignored_total{reason} (what is no request) and
/// stun_send_errors_total (answers the system refused, an unreachable client for example: the
/// client asks again).
class Server {
 public:
    Server(const net::Context& context, Config config);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Binds all four sockets, or none. The message names the key and the address, and says so
    /// where this machine does not have it.
    Result<> bind();

    /// Begins to answer; after `bind`. `on_failure` is called, once, when a socket breaks.
    void serve(std::function<void(Error)> on_failure);

    /// Closes the sockets; the names of what had not ended at `deadline`.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

    /// The bound addresses and ports.
    const ServerAddresses& addresses() const noexcept { return addresses_; }

    bool serving() const noexcept { return serving_; }

 private:
    using Sockets = std::array<std::unique_ptr<net::Datagram>, 4>;

    Result<std::unique_ptr<net::Datagram>> bind_one(Socket which, std::uint16_t port);
    Result<> bind_port(bool second_port);
    Task<> answer_requests(Socket received_on);
    Task<> answer_one(Socket received_on, ByteSpan datagram, net::Address client);
    void ignored(const ErrorCode& reason);
    void broke(Error error);

    net::Context context_;
    Config config_;
    ServerAddresses addresses_;
    Sockets sockets_;
    Counter& requests_;
    Counter& send_errors_;
    std::map<int, Counter*> ignored_;
    std::function<void(Error)> on_failure_;
    bool serving_ = false;
    /// Last: its coroutines use all of the above.
    net::Scope scope_;
};

}  // namespace skywire::stun
