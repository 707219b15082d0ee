#pragma once

#include "net/forwarding_stream.hpp"

#include <memory>
#include <utility>

namespace skywire::cxo {

/// A stream that somebody else may close, too, as long as it lives: who waits in a carrier's
/// handshake can be hung up on.
class SharedStream final : public net::ForwardingStream {
 public:
    explicit SharedStream(std::shared_ptr<net::Stream> stream)
        : ForwardingStream(*stream), stream_(std::move(stream)) {}

 private:
    std::shared_ptr<net::Stream> stream_;
};

}  // namespace skywire::cxo
