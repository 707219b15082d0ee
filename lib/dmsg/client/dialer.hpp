#pragma once

#include "crypto/keys.hpp"
#include "dmsg/address.hpp"
#include "dmsg/client/client_counters.hpp"
#include "dmsg/client/client_stream.hpp"
#include "dmsg/client/directory.hpp"
#include "dmsg/client/links.hpp"
#include "dmsg/client/ports.hpp"
#include "net/context.hpp"
#include "net/stream.hpp"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace skywire::dmsg::detail {

/// Opens streams: finds the servers that may reach a key, and tries them, several at a time where
/// the first does not answer soon. spec/dmsg.md section 10.
class Dialer {
 public:
    struct Options {
        explicit Options(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

        crypto::KeyPair keys;
        /// Never looked up; delegated to the configured servers, else to all connected ones.
        std::set<crypto::PublicKey> direct_keys;
        Duration timeout{std::chrono::seconds(20)};
    };

    Dialer(
        const net::Context& context,
        Options options,
        Directory& directory,
        Links& links,
        std::shared_ptr<Ports> ports,
        std::shared_ptr<OpenStreams> open,
        ClientCounters& counters
    );

    /// Errors as Client::dial; the message names every try.
    Task<Result<std::unique_ptr<net::Stream>>> dial(Address to);
    Task<Result<std::unique_ptr<net::Stream>>> dial_through(crypto::PublicKey server, Address to);

 private:
    using StreamPtr = std::unique_ptr<net::Stream>;

    /// Servers to try, in this order; sessions are made where there are none.
    struct Plan {
        std::vector<crypto::PublicKey> routes;
        /// What was wrong with the entry: said where all routes fail.
        std::optional<Error> why;
        /// It rests on an answer that may have changed meanwhile.
        bool kept = false;
    };
    struct Race;

    Task<Result<StreamPtr>> find_and_dial(Address to, SteadyTime deadline);
    Task<Plan> plan(crypto::PublicKey key, SteadyTime deadline);
    /// The keys of the servers that a key's entry names.
    Task<std::vector<crypto::PublicKey>> delegated(
        Plan& plan, crypto::PublicKey key, SteadyTime deadline
    );
    std::vector<crypto::PublicKey> in_order(
        const crypto::PublicKey& to, const std::vector<crypto::PublicKey>& delegated
    ) const;
    Task<Result<StreamPtr>> race(Plan plan, Address to, SteadyTime deadline);
    Task<> run_try(Race& race, crypto::PublicKey server, Address to, SteadyTime deadline);
    Task<Result<StreamPtr>> open(crypto::PublicKey server, Address to, SteadyTime deadline);
    Result<StreamPtr> counted(Result<StreamPtr> outcome, const Address& to, SteadyTime began);

    net::Context context_;
    Options options_;
    Directory& directory_;
    Links& links_;
    std::shared_ptr<Ports> ports_;
    std::shared_ptr<OpenStreams> open_;
    ClientCounters& counters_;
};

}  // namespace skywire::dmsg::detail
