#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "net/address.hpp"
#include "net/task.hpp"

#include <span>
#include <string>

namespace skywire::net {

/// A reliable, ordered byte stream: TCP, a unix socket, later a dmsg stream or a simulated link.
/// Used on one event loop; one read and one write may be under way at a time. Destroying it with an
/// operation under way is a bug: close it and await the operation.
class Stream {
 public:
    virtual ~Stream() = default;

    /// Reads 1 to into.size() bytes; 0 means the peer has ended its side. Cancelled: nothing read
    /// is lost. Errors: errc::closed after `close`, else the carrier's own code.
    virtual Task<Result<std::size_t>> read_some(std::span<std::byte> into) = 0;

    /// Writes all of `head`, then all of `tail`, in one gathered call where possible. The views
    /// must live until it ends. Cancelled or failed: an unknown part is written; close the stream.
    virtual Task<Result<>> write(ByteSpan head, ByteSpan tail = {}) = 0;

    /// Writes all of the parts in order, in as few calls as possible; otherwise as `write`. The
    /// default writes them one after another.
    virtual Task<Result<>> write_all(std::span<const ByteSpan> parts);

    /// Waits, without holding a buffer, until a read would not wait; the next `read_some` tells
    /// what there is. For owners of many idle streams. The default returns at once.
    virtual Task<Result<>> wait_readable();

    /// Ends both directions at once; operations under way end with errc::closed. Idempotent.
    virtual void close() noexcept = 0;

    virtual const Address& local() const noexcept = 0;
    /// The peer; a PROXY header may have replaced what the socket says.
    virtual const Address& remote() const noexcept = 0;
};

}  // namespace skywire::net
