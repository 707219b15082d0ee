// Streams of a session: as a net::Stream, and by reference.

#include "base/assert.hpp"
#include "mux/detail/session_state.hpp"

namespace skywire::mux {

std::optional<Error> Stream::Impl::refusal() const {
    if (closed) return fail(skywire::errc::closed, {});
    if (lost.code()) return lost;
    return std::nullopt;
}

Task<Result<>> Stream::Impl::wait_received(std::shared_ptr<Impl> stream) {
    while (!stream->something_to_read()) {
        stream->reading = true;
        const bool notified = co_await stream->can_read.get(stream->session->executor).wait();
        stream->reading = false;
        if (!notified && !stream->something_to_read()) {
            co_return fail(skywire::errc::cancelled, {});
        }
    }
    if (stream->closed) co_return fail(skywire::errc::closed, {});
    if (stream->received.empty() && !stream->finished) co_return stream->lost;
    co_return Result<>();
}

Task<Result<>> Stream::Impl::wait_sent(std::shared_ptr<Impl> stream) {
    // The parts belong to the caller, who may be gone before the stream.
    struct Guard {
        ~Guard() {
            stream.parts = {};
            stream.parts_size = 0;
        }
        Impl& stream;
    } guard{*stream};
    while (true) {
        if (auto refused = stream->refusal()) co_return std::move(*refused);
        if (stream->unsent() == 0) co_return Result<>();
        if (stream->ended_by_peer()) {
            // What is left would wait for a window, and hold the stream open meanwhile.
            stream->queued.clear();
            co_return fail(skywire::errc::closed, "the peer has closed the stream");
        }
        bool notified = false;
        try {
            notified = co_await stream->can_write.get(stream->session->executor).wait();
        } catch (...) {
            // Cancelled already when it began to wait.
            stream->session->reset_stream(*stream);
            throw;
        }
        if (!notified && stream->unsent() > 0 && !stream->refusal()) {
            stream->session->reset_stream(*stream);
            co_return fail(skywire::errc::cancelled, {});
        }
    }
}

Stream::Stream(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Stream::~Stream() {
    impl_->observer = nullptr;
    if (!impl_->closed) impl_->session->reset_stream(*impl_);
}

StreamId Stream::id() const noexcept {
    return impl_->id;
}

Task<Result<std::size_t>> Stream::read_some(std::span<std::byte> into) {
    SKY_ASSERT(!into.empty());
    const std::shared_ptr<Impl> stream = impl_;
    if (stream->closed || stream->received.empty()) {
        const auto ready = co_await Impl::wait_received(stream);
        if (!ready) co_return ready.error();
    }
    const std::size_t size = stream->received.read(into);
    stream->received.compact();
    stream->session->consumed(*stream, size);
    co_return size;
}

Task<Result<ByteQueue>> Stream::read_queue() {
    const std::shared_ptr<Impl> stream = impl_;
    if (stream->closed || stream->received.empty()) {
        const auto ready = co_await Impl::wait_received(stream);
        if (!ready) co_return ready.error();
    }
    ByteQueue bytes = std::exchange(stream->received, {});
    stream->session->consumed(*stream, bytes.size());
    co_return bytes;
}

Task<Result<>> Stream::wait_readable() {
    return Impl::wait_received(impl_);
}

Task<Result<>> Stream::write(ByteSpan head, ByteSpan tail) {
    const std::array<ByteSpan, 2> parts{head, tail};
    co_return co_await write_all(parts);
}

Task<Result<>> Stream::write_all(std::span<const ByteSpan> parts) {
    const std::shared_ptr<Impl> stream = impl_;
    if (auto refused = stream->refusal()) co_return std::move(*refused);
    SKY_ASSERT(stream->unsent() == 0);
    stream->parts = parts;
    stream->part_done = 0;
    for (const ByteSpan part : parts)
        stream->parts_size += part.size();
    stream->session->send_directly(*stream);
    if (stream->unsent() == 0) co_return Result<>();
    co_return co_await Impl::wait_sent(stream);
}

Task<Result<>> Stream::write(ByteQueue bytes) {
    const std::shared_ptr<Impl> stream = impl_;
    if (auto refused = stream->refusal()) co_return std::move(*refused);
    SKY_ASSERT(stream->unsent() == 0);
    stream->queued.append(std::move(bytes));
    stream->session->send_directly(*stream);
    if (stream->unsent() == 0) co_return Result<>();
    co_return co_await Impl::wait_sent(stream);
}

void Stream::close() noexcept {
    impl_->session->close_stream(*impl_);
}

void Stream::end_with_peer() noexcept {
    impl_->ends_with_peer = true;
}

const net::Address& Stream::local() const noexcept {
    return impl_->session->carrier->local();
}

const net::Address& Stream::remote() const noexcept {
    return impl_->session->carrier->remote();
}

void Stream::observe(Observer* observer) {
    impl_->observer = observer;
    if (observer == nullptr || impl_->closed) return;
    // Told of what it missed.
    impl_->taken = 0;
    impl_->readable = !impl_->received.empty() || impl_->finished;
    if (!impl_->readable && !impl_->lost.code()) return;
    impl_->session->tell(*impl_);
    impl_->session->schedule();
}

std::size_t Stream::received() const noexcept {
    return impl_->received.size();
}

ByteQueue Stream::take_received() {
    return std::exchange(impl_->received, {});
}

void Stream::consumed(std::size_t bytes) {
    impl_->session->consumed(*impl_, bytes);
}

bool Stream::finished() const noexcept {
    return impl_->finished && impl_->received.empty();
}

void Stream::push(ByteQueue bytes) {
    if (impl_->closed || !impl_->known) return;
    impl_->queued.append(std::move(bytes));
    impl_->session->send(*impl_);
}

void Stream::reset() noexcept {
    impl_->session->reset_stream(*impl_);
}

}  // namespace skywire::mux
