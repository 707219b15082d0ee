#pragma once

#include "cli/command.hpp"
#include "dmsg/client.hpp"
#include "dmsg/discovery_client.hpp"
#include "http/client.hpp"
#include "net/context.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace skywire::cli {

/// What all commands that speak dmsg are told.
struct DmsgOptions {
    /// "http://host:port" or "dmsg://KEY:PORT"; empty: the built-in deployment's, and none where
    /// servers are named.
    std::string discovery;
    std::string secret_key;
    std::string key_file;
    /// "KEY@host:port" of servers to begin with; a discovery over dmsg is reached through them.
    std::vector<std::string> servers;
    std::string timeout = "20s";

    /// --disc, --sk, --keyfile, --server, --timeout
    std::vector<Option> options();
    /// --disc, --server and --timeout, for what needs no key.
    std::vector<Option> discovery_options();
};

/// An event loop with a dmsg client on it, for the life of one command. SIGINT and SIGTERM cancel
/// what runs, and the client leaves in order.
class DmsgWorld {
 public:
    /// errc::malformed where the options make no sense.
    static Result<std::unique_ptr<DmsgWorld>> make(const DmsgOptions& options);
    ~DmsgWorld();
    DmsgWorld(const DmsgWorld&) = delete;
    DmsgWorld& operator=(const DmsgWorld&) = delete;

    /// Runs to the end of `work`, then stops the client.
    Result<> run(std::function<Task<Result<>>()> work);

    const net::Context& context() const noexcept;
    dmsg::Client& client() noexcept;
    dmsg::DiscoveryClient& discovery() noexcept;
    /// Before `discovery` is asked: connects where it is reached over dmsg.
    Task<Result<>> reach_discovery();
    /// It is, and so `keys` have a session with a server.
    bool discovery_on_dmsg() const noexcept;
    /// Reaches keys over dmsg, and everything else over TCP.
    http::Client& http() noexcept;
    const crypto::KeyPair& keys() const noexcept;
    Duration timeout() const noexcept;
    /// timeout() from now on.
    SteadyTime deadline() const;

    /// Starts the client, once, and waits for its first session.
    Task<Result<>> connect();

 private:
    struct Impl;
    explicit DmsgWorld(std::unique_ptr<Impl> impl);
    static Result<std::unique_ptr<dmsg::DiscoveryClient>> make_discovery(
        Impl& impl, const DmsgOptions& options, dmsg::ClientOptions& client
    );
    std::unique_ptr<Impl> impl_;
};

/// "KEY:PORT", "dmsg://KEY:PORT", or a key alone with `default_port`.
/// The key that `text` says; errc::malformed quotes what does not.
Result<crypto::PublicKey> parse_key(std::string_view text);

Result<dmsg::Address> parse_dmsg_address(std::string_view text, std::uint16_t default_port);

/// "0.53 ms"
std::string format_milliseconds(Duration duration);

/// A whole number within the bounds; errc::malformed names the option.
Result<std::uint64_t> parse_number(
    std::string_view option, std::string_view text, std::uint64_t min, std::uint64_t max
);

/// Runs `work` in a world made of `options` and turns its end into an exit code.
int run_dmsg(
    Session& session,
    const Command& command,
    const DmsgOptions& options,
    std::function<Task<Result<>>(DmsgWorld&)> work
);

}  // namespace skywire::cli
