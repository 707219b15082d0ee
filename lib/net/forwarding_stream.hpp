#pragma once

#include "net/stream.hpp"

namespace skywire::net {

/// A stream whose calls are another one's: the base of those that only hold it differently, or say
/// something else of it. The other one lives as long as this.
class ForwardingStream : public Stream {
 public:
    explicit ForwardingStream(Stream& to) noexcept : to_(to) {}
    ForwardingStream(const ForwardingStream&) = delete;
    ForwardingStream& operator=(const ForwardingStream&) = delete;

    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override {
        return to_.read_some(into);
    }
    Task<Result<>> write(ByteSpan head, ByteSpan tail) override { return to_.write(head, tail); }
    Task<Result<>> write_all(std::span<const ByteSpan> parts) override {
        return to_.write_all(parts);
    }
    Task<Result<>> wait_readable() override { return to_.wait_readable(); }
    void close() noexcept override { to_.close(); }
    const Address& local() const noexcept override { return to_.local(); }
    const Address& remote() const noexcept override { return to_.remote(); }

 private:
    Stream& to_;
};

}  // namespace skywire::net
