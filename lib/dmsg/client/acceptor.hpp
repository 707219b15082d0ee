#pragma once

#include "crypto/keys.hpp"
#include "dmsg/client/client_counters.hpp"
#include "dmsg/client/client_stream.hpp"
#include "dmsg/client/links.hpp"
#include "dmsg/client/listeners.hpp"
#include "net/context.hpp"
#include "net/scope.hpp"

#include <memory>
#include <string>
#include <vector>

namespace skywire::dmsg::detail {

/// Answers the streams that servers bring, and hands them to listeners. A stream for a port without
/// one, or whose listener has its hands full, is closed without a word, as the network does.
class Acceptor {
 public:
    Acceptor(
        const net::Context& context,
        crypto::KeyPair keys,
        Listeners& listeners,
        std::shared_ptr<OpenStreams> open,
        ClientCounters& counters
    );
    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;

    void take(LinkPtr link, Session& session, std::unique_ptr<mux::Stream> stream);

    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    using StreamHolder = std::shared_ptr<std::unique_ptr<mux::Stream>>;

    Task<> answer(LinkPtr link, Session& session, StreamHolder stream);

    net::Context context_;
    crypto::KeyPair keys_;
    Listeners& listeners_;
    std::shared_ptr<OpenStreams> open_;
    ClientCounters& counters_;
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
