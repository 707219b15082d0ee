#pragma once

#include "base/metrics.hpp"
#include "dmsg/client/ports.hpp"
#include "dmsg/stream.hpp"
#include "net/forwarding_stream.hpp"

#include <list>
#include <memory>

namespace skywire::dmsg::detail {

/// The streams a client has given out. Shared with them: they may outlive it.
class OpenStreams {
 public:
    explicit OpenStreams(Gauge& count) : count_(count) {}

    /// Closes all that live; who holds one finds it closed.
    void close_all() {
        for (net::Stream* stream : streams_)
            stream->close();
    }

 private:
    friend class ClientStream;

    std::list<net::Stream*> streams_;
    Gauge& count_;
};

/// A stream as a client gives it out: known to its client, and the holder of its local port where
/// that is its own.
class ClientStream final : public net::ForwardingStream {
 public:
    ClientStream(
        std::shared_ptr<OpenStreams> open, std::unique_ptr<dmsg::Stream> stream, PortLease port = {}
    )
        : ForwardingStream(*stream),
          open_(std::move(open)),
          port_(std::move(port)),
          stream_(std::move(stream)) {
        place_ = open_->streams_.insert(open_->streams_.end(), this);
        open_->count_.add(1);
    }
    ~ClientStream() override {
        open_->streams_.erase(place_);
        open_->count_.add(-1);
    }
    ClientStream(const ClientStream&) = delete;
    ClientStream& operator=(const ClientStream&) = delete;

 private:
    std::shared_ptr<OpenStreams> open_;
    std::list<net::Stream*>::iterator place_;
    PortLease port_;
    std::unique_ptr<dmsg::Stream> stream_;
};

}  // namespace skywire::dmsg::detail
