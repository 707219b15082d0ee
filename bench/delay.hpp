#pragma once

#include "bench/load.hpp"
#include "net/event.hpp"

#include <deque>
#include <list>
#include <utility>

/// A long way between two parties of one machine.
namespace skywire::bench {

/// Accepts TCP connections and passes what comes on to another address, either way so much later as
/// one way of the network would take, and as fast as loopback otherwise: at most kHeldMax bytes are
/// on their way in each direction (at 12.5 ms 1.3 GB/s), then it does not read. What the way does
/// not show: loss, and TCP that begins slowly, since both ends' kernels talk with a neighbour. The
/// round trip in which a connection is made is waited for. One loop.
class LongWay {
 public:
    LongWay(const net::Context& context, net::Address to, Duration one_way)
        : context_(context),
          to_(std::move(to)),
          one_way_(one_way),
          listener_(need(
              context.network.listen(context.loop, net::Address::tcp("127.0.0.1", 0)), "listen"
          )),
          scope_(context.loop) {
        scope_.spawn("accept", [this] { return accept(); });
    }
    LongWay(const LongWay&) = delete;
    LongWay& operator=(const LongWay&) = delete;
    ~LongWay() = default;

    const net::Address& address() const { return listener_->local(); }

    Task<> close() {
        listener_->close();
        for (Pair& pair : pairs_)
            pair.close();
        const SteadyTime now = context_.clock.now();
        co_await scope_.close(context_.clock, now, now + std::chrono::seconds(5));
    }

 private:
    static constexpr std::size_t kHeldMax = std::size_t{16} << 20;
    static constexpr std::size_t kPiece = std::size_t{128} << 10;

    struct Held {
        SteadyTime due;
        Bytes bytes;
    };
    /// One direction.
    struct Lane {
        explicit Lane(const Executor& loop) : changed(loop) {}
        net::Stream* from = nullptr;
        net::Stream* to = nullptr;
        std::deque<Held> held;
        std::size_t bytes = 0;
        bool ended = false;
        net::Event changed;
    };
    struct Pair {
        explicit Pair(const Executor& loop) : there(loop), back(loop) {}
        void close() const {
            if (dialled) dialled->close();
            if (accepted) accepted->close();
        }
        std::unique_ptr<net::Stream> accepted;
        std::unique_ptr<net::Stream> dialled;
        Lane there;
        Lane back;
    };

    Task<> accept() {
        for (;;) {
            auto stream = co_await listener_->accept();
            if (!stream) co_return;
            Pair& pair = pairs_.emplace_back(context_.loop);
            pair.accepted = std::move(*stream);
            scope_.spawn("connect", [this, &pair] { return connect(pair); });
        }
    }

    Task<> connect(Pair& pair) {
        co_await net::sleep_for(context_.clock, 2 * one_way_);
        pair.dialled = need(co_await context_.network.dial(context_.loop, to_), "dial");
        pair.there.from = pair.back.to = pair.accepted.get();
        pair.there.to = pair.back.from = pair.dialled.get();
        for (Lane* const lane : {&pair.there, &pair.back}) {
            scope_.spawn("in", [this, lane] { return read(*lane); });
            scope_.spawn("out", [this, lane, &pair] { return write(*lane, pair); });
        }
    }

    Task<> read(Lane& lane) {
        Bytes room(kPiece);
        for (;;) {
            while (lane.bytes > kHeldMax && !lane.ended)
                co_await lane.changed.wait();
            const auto size = co_await lane.from->read_some(room);
            if (lane.ended || !size || *size == 0) break;
            const ByteSpan got = ByteSpan(room).first(*size);
            lane.held.push_back({context_.clock.now() + one_way_, Bytes(got.begin(), got.end())});
            lane.bytes += got.size();
            lane.changed.notify();
        }
        lane.ended = true;
        lane.changed.notify();
    }

    Task<> write(Lane& lane, Pair& pair) {
        while (!lane.ended || !lane.held.empty()) {
            if (lane.held.empty()) {
                co_await lane.changed.wait();
                continue;
            }
            const Held next = std::move(lane.held.front());
            lane.held.pop_front();
            if (context_.clock.now() < next.due)
                co_await net::sleep_until(context_.clock, next.due);
            const auto written = co_await lane.to->write(next.bytes);
            if (!written) break;
            lane.bytes -= next.bytes.size();
            lane.changed.notify();
        }
        lane.ended = true;
        lane.changed.notify();
        pair.close();
    }

    net::Context context_;
    net::Address to_;
    Duration one_way_;
    std::unique_ptr<net::Listener> listener_;
    std::list<Pair> pairs_;
    net::Scope scope_;
};

}  // namespace skywire::bench
