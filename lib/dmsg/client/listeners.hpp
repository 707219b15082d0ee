#pragma once

#include "crypto/keys.hpp"
#include "dmsg/client/ports.hpp"
#include "net/network.hpp"

#include <cstdint>
#include <map>
#include <memory>

namespace skywire::dmsg::detail {

/// The ports a key listens at, each with the streams that wait to be accepted. One event loop.
class Listeners {
 public:
    /// Streams that a listener keeps waiting: at most `backlog_max`.
    Listeners(
        Executor loop,
        const crypto::PublicKey& key,
        std::shared_ptr<Ports> ports,
        std::size_t backlog_max
    );
    ~Listeners();
    Listeners(const Listeners&) = delete;
    Listeners& operator=(const Listeners&) = delete;

    /// Port 0: a free one. Code::port_occupied, errc::closed after `close_all`.
    Result<std::unique_ptr<net::Listener>> listen(std::uint16_t port);

    enum class State { none, open, full };
    /// Whether a stream for this port would be taken.
    State at(std::uint16_t port) const;

    /// Queues a stream for `accept`; closes it where nobody listens or the queue is full.
    State deliver(std::uint16_t port, std::unique_ptr<net::Stream> stream);

    /// Ends all listeners, which may live on.
    void close_all();

 private:
    class Backlog;
    class Handle;

    Executor loop_;
    crypto::PublicKey key_;
    std::shared_ptr<Ports> ports_;
    std::size_t backlog_max_;
    std::map<std::uint16_t, std::shared_ptr<Backlog>> backlogs_;
    bool closed_ = false;
};

}  // namespace skywire::dmsg::detail
