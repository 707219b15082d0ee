#include "dmsg/stream.hpp"

#include "base/assert.hpp"
#include "dmsg/detail/frame_reader.hpp"
#include "dmsg/detail/frame_writer.hpp"

#include <array>
#include <utility>

namespace skywire::dmsg {
namespace {

net::Address net_address(const Address& address) {
    return net::Address::tcp(address.pk.to_text(), address.port);
}

}  // namespace

struct Stream::State {
    State(
        std::unique_ptr<mux::Stream> carrier_in,
        const noise::TransportKeys& keys,
        const Address& local_in,
        const Address& remote_in
    )
        : carrier(std::move(carrier_in)),
          sealer(keys.send),
          reader(keys.receive),
          local(local_in),
          remote(remote_in),
          net_local(net_address(local_in)),
          net_remote(net_address(remote_in)) {
        carrier->end_with_peer();
    }

    /// More bytes for the reader; false at the peer's end.
    Task<Result<bool>> receive();
    Task<Result<>> send(detail::Parts parts);

    std::unique_ptr<mux::Stream> carrier;
    noise::RecordSealer sealer;
    detail::FrameReader reader;
    Address local;
    Address remote;
    net::Address net_local;
    net::Address net_remote;
    bool closed = false;
};

Task<Result<bool>> Stream::State::receive() {
    auto bytes = co_await carrier->read_queue();
    if (!bytes) co_return bytes.error();
    if (bytes->empty()) co_return false;
    reader.append(std::move(*bytes));
    co_return true;
}

Task<Result<>> Stream::State::send(detail::Parts parts) {
    while (!parts.empty()) {
        if (closed) co_return fail(skywire::errc::closed, {});
        auto sealed = detail::seal_chunk(parts, sealer);
        if (!sealed) co_return sealed.error();
        mux::ByteQueue queue;
        queue.append(std::move(*sealed));
        const auto written = co_await carrier->write(std::move(queue));
        if (!written) co_return written.error();
    }
    co_return Result<>();
}

Stream::Stream(
    const net::Context&,
    std::unique_ptr<mux::Stream> carrier,
    const noise::TransportKeys& keys,
    const Address& local,
    const Address& remote
)
    : state_(std::make_unique<State>(std::move(carrier), keys, local, remote)) {}

Stream::~Stream() = default;

Task<Result<std::size_t>> Stream::read_some(std::span<std::byte> into) {
    SKY_ASSERT(!into.empty());
    while (true) {
        if (state_->closed) co_return fail(skywire::errc::closed, {});
        const auto count = state_->reader.read(into);
        if (!count) co_return count.error();
        if (*count > 0) co_return *count;
        const auto more = co_await state_->receive();
        if (!more) co_return more.error();
        if (!*more) {
            const auto whole = state_->reader.end();
            if (!whole) co_return whole.error();
            co_return std::size_t{0};
        }
    }
}

Task<Result<>> Stream::wait_readable() {
    while (!state_->closed && !state_->reader.readable()) {
        const auto more = co_await state_->receive();
        if (!more) co_return more.error();
        if (!*more) break;
    }
    co_return Result<>();
}

Task<Result<>> Stream::write(ByteSpan head, ByteSpan tail) {
    const std::array parts{head, tail};
    co_return co_await state_->send(detail::Parts(parts));
}

Task<Result<>> Stream::write_all(std::span<const ByteSpan> parts) {
    return state_->send(detail::Parts(parts));
}

void Stream::close() noexcept {
    if (state_->closed) return;
    state_->closed = true;
    state_->reader.clear();
    state_->carrier->close();
}

const net::Address& Stream::local() const noexcept {
    return state_->net_local;
}

const net::Address& Stream::remote() const noexcept {
    return state_->net_remote;
}

const Address& Stream::local_address() const noexcept {
    return state_->local;
}

const Address& Stream::remote_address() const noexcept {
    return state_->remote;
}

}  // namespace skywire::dmsg
