#pragma once

#include "dmsg/discovery_client.hpp"
#include "mux/core.hpp"
#include "net/context.hpp"
#include "net/scope.hpp"

#include <deque>
#include <functional>
#include <string>
#include <vector>

namespace skywire::dmsg::detail {

/// Which multiplexer a client speaks that has not said a byte yet: what its entry in the discovery
/// says (spec/dmsg.md section 4), yamux where there is no entry, no answer in time, or too much to
/// ask. One event loop, the discovery client's.
class ProtocolLookup {
 public:
    using Answer = std::function<void(mux::Protocol)>;

    /// `discovery` outlives it.
    ProtocolLookup(const net::Context& context, DiscoveryClient& discovery);

    /// `answer` is called on this loop, once; never where `close` comes first.
    void ask(const crypto::PublicKey& key, Answer answer);

    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    struct Question {
        crypto::PublicKey key;
        Answer answer;
    };

    Task<> work();
    Task<mux::Protocol> look_up(crypto::PublicKey key);

    net::Context context_;
    DiscoveryClient& discovery_;
    Counter& failures_;
    std::deque<Question> waiting_;
    std::size_t workers_ = 0;
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
