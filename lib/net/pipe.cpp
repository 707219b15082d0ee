// Two ends of a stream inside one event loop.

#include "base/assert.hpp"
#include "net/event.hpp"
#include "net/network.hpp"

#include <algorithm>

namespace skywire::net {
namespace {

/// One direction. Both ends hold it, so that what was written before a close can still be read.
struct Direction {
    Direction(Executor executor, std::size_t room)
        : buffer(room), readable(executor), writable(executor) {}

    /// Copies as much as fits, and says how much.
    std::size_t put(ByteSpan bytes) {
        const std::size_t size = std::min(bytes.size(), buffer.size() - filled);
        for (std::size_t done = 0; done < size;) {
            const std::size_t at = (start + filled) % buffer.size();
            const std::size_t run = std::min(size - done, buffer.size() - at);
            std::copy_n(bytes.data() + done, run, buffer.data() + at);
            filled += run;
            done += run;
        }
        if (size > 0) readable.notify();
        return size;
    }

    std::size_t take(std::span<std::byte> into) {
        const std::size_t size = std::min(into.size(), filled);
        for (std::size_t done = 0; done < size;) {
            const std::size_t run = std::min(size - done, buffer.size() - start);
            std::copy_n(buffer.data() + start, run, into.data() + done);
            start = (start + run) % buffer.size();
            filled -= run;
            done += run;
        }
        if (size > 0) writable.notify();
        return size;
    }

    Bytes buffer;
    std::size_t start = 0;
    std::size_t filled = 0;
    Event readable;
    Event writable;
    /// The writing end is closed: after what is buffered comes the end.
    bool ended = false;
    /// The reading end is closed: nobody will ever read.
    bool abandoned = false;
};

class PipeEnd final : public Stream {
 public:
    PipeEnd(
        std::shared_ptr<Direction> incoming, std::shared_ptr<Direction> outgoing, const char* name
    )
        : incoming_(std::move(incoming)),
          outgoing_(std::move(outgoing)),
          address_(Address::unix_path(name)) {}
    ~PipeEnd() override { PipeEnd::close(); }
    PipeEnd(const PipeEnd&) = delete;
    PipeEnd& operator=(const PipeEnd&) = delete;

    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override {
        SKY_ASSERT(!into.empty());
        while (true) {
            if (closed_) co_return fail(errc::closed, {});
            if (incoming_->filled > 0) co_return incoming_->take(into);
            if (incoming_->ended) co_return std::size_t{0};
            const bool notified = co_await incoming_->readable.wait();
            if (!notified) co_return fail(errc::cancelled, {});
        }
    }

    Task<Result<>> write(ByteSpan head, ByteSpan tail) override {
        while (true) {
            if (closed_) co_return fail(errc::closed, {});
            if (outgoing_->abandoned) co_return fail(errc::closed, "the other end is closed");
            head = head.subspan(outgoing_->put(head));
            if (head.empty()) tail = tail.subspan(outgoing_->put(tail));
            if (head.empty() && tail.empty()) co_return Result<>();
            const bool notified = co_await outgoing_->writable.wait();
            if (!notified) co_return fail(errc::cancelled, {});
        }
    }

    void close() noexcept override {
        if (closed_) return;
        closed_ = true;
        incoming_->abandoned = true;
        outgoing_->ended = true;
        for (Direction* direction : {incoming_.get(), outgoing_.get()}) {
            direction->readable.notify();
            direction->writable.notify();
        }
    }

    const Address& local() const noexcept override { return address_; }
    const Address& remote() const noexcept override { return address_; }

 private:
    std::shared_ptr<Direction> incoming_;
    std::shared_ptr<Direction> outgoing_;
    Address address_;
    bool closed_ = false;
};

}  // namespace

std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> make_pipe(
    Executor loop, std::size_t buffer_bytes
) {
    SKY_ASSERT(buffer_bytes > 0);
    const auto there = std::make_shared<Direction>(loop, buffer_bytes);
    const auto back = std::make_shared<Direction>(loop, buffer_bytes);
    return {
        std::make_unique<PipeEnd>(back, there, "pipe"),
        std::make_unique<PipeEnd>(there, back, "pipe")
    };
}

}  // namespace skywire::net
