#pragma once

#include "dmsg/server/admission.hpp"
#include "dmsg/server/protocol_lookup.hpp"
#include "dmsg/server/server_counters.hpp"
#include "dmsg/server/session_directory.hpp"
#include "dmsg/server_options.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <vector>

namespace skywire::dmsg::detail {

class Shard;

/// What all shards of a server share: what never changes, what is safe to use from any thread, and
/// a few calls that are made on the first shard's loop alone, where the server itself lives.
struct ServerCore {
    ServerCore(Metrics& metrics, ServerOptions options_in)
        : options(std::move(options_in)), counters(metrics), admission(options.limits) {
        for (const ServerPeer& peer : options.peers)
            peer_keys.insert(peer.key);
    }

    const ServerOptions options;
    std::set<crypto::PublicKey> peer_keys;
    /// Filled before anything runs, emptied when nothing does any more.
    std::vector<std::shared_ptr<Shard>> shards;

    ServerCounters counters;
    Admission admission;
    /// Sessions of clients; those that other servers opened, and those that we opened to them.
    SessionDirectory clients;
    SessionDirectory accepted_peers;
    SessionDirectory dialed_peers;
    std::atomic<bool> draining{false};
    /// Sessions are cut off: what a relay says to its other end now would be taken for an orderly
    /// end of the stream.
    std::atomic<bool> stopping{false};
    /// Bridged streams, now and ever.
    std::atomic<std::size_t> relays{0};
    std::atomic<std::uint64_t> streams_relayed{0};

    // On the first shard's loop.
    ProtocolLookup* protocols = nullptr;
    std::function<void()> sessions_changed;
    std::function<void()> relays_gone;
};

}  // namespace skywire::dmsg::detail
