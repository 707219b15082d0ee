#pragma once

#include "cxo/node.hpp"

#include <string_view>

/// Between a node's connections and who follows a feed through one of them: RemoteFeed and
/// Aggregator. Users of those need none of it.
namespace skywire::cxo {

/// A connection through which a feed is followed, as its follower sees it: from `on_begun` until
/// `on_ended`, or until it detaches. Only hang_up and detach may be called before `on_attached` and
/// from inside the other callbacks, but for on_settled.
class Following {
 public:
    virtual const Peer& peer() const noexcept = 0;
    virtual void subscribe(const crypto::PublicKey& feed) = 0;
    virtual void unsubscribe(const crypto::PublicKey& feed) = 0;
    /// Objects that may be asked for now.
    virtual std::size_t window() const noexcept = 0;
    virtual void request(const Hash& hash) = 0;
    /// When bytes of an object that was asked for last came: a large one may be long under way.
    virtual SteadyTime progress() const noexcept = 0;
    /// Bytes of its buffers.
    virtual std::size_t memory() const noexcept = 0;
    /// Ends the connection. `on_ended` comes later.
    virtual void hang_up(std::string_view reason) = 0;
    /// The same, and the follower is told nothing any more: it may die.
    virtual void detach(std::string_view reason) = 0;

 protected:
    ~Following() = default;
};

/// Told what comes on a connection; one connection at a time.
class Follower {
 public:
    virtual ~Follower() = default;

    /// There is a connection.
    virtual void on_begun(Following& following) = 0;
    /// The peer has said who it is; an error refuses it.
    virtual Result<> admit(const Peer& peer) = 0;
    /// The handshake is done.
    virtual void on_attached() = 0;

    virtual void on_subscribed() = 0;
    virtual void on_refused(std::string_view why) = 0;
    virtual void on_root(const SignedRoot& root) = 0;
    virtual void on_object(const Hash& hash, ByteSpan bytes, bool asked) = 0;
    virtual void on_no_object(const Hash& hash) = 0;
    /// All that was read at once has been told of, or there is room to ask for more.
    virtual void on_settled() = 0;
    /// The connection is gone: the last that is told of it.
    virtual void on_ended(const Error& why) = 0;
};

}  // namespace skywire::cxo
