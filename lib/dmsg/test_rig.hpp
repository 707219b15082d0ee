#pragma once

#include "crypto/keys.hpp"
#include "dmsg/handshake.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

#include <array>
#include <deque>
#include <memory>
#include <optional>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

/// For tests of handshakes, sessions and streams: a still clock, recorded random bytes, and a peer
/// that says byte by byte what it is told to.
namespace skywire::dmsg::test {

/// Hands out recorded secret keys, one for each 32 bytes asked for; after them bytes of a seed.
class RecordedRandom final : public Random {
 public:
    void fill(std::span<std::byte> into) override {
        if (keys_.empty() || into.size() != crypto::SecretKey::kSize) return seeded_.fill(into);
        std::copy_n(keys_.front().begin(), into.size(), into.begin());
        keys_.pop_front();
    }

    void next(Bytes secret_key) { keys_.push_back(std::move(secret_key)); }
    /// Drops those that were not asked for.
    void forget() { keys_.clear(); }

 private:
    std::deque<Bytes> keys_;
    SeededRandom seeded_{7};
};

inline crypto::KeyPair pair_of(ByteSpan secret) {
    const auto secret_key = crypto::SecretKey::from_bytes(secret).value();
    return {crypto::public_key_of(secret_key), secret_key};
}

/// The other end of a connection. Reads all the time.
class WirePeer {
 public:
    WirePeer(net::TestLoop& loop, std::unique_ptr<net::Stream> stream)
        : loop_(loop), state_(std::make_shared<State>()) {
        state_->stream = std::move(stream);
        asio::co_spawn(loop.ioc, read(state_), [](std::exception_ptr) {});
        loop.settle();
    }
    WirePeer(const WirePeer&) = delete;
    WirePeer& operator=(const WirePeer&) = delete;
    ~WirePeer() {
        state_->stream->close();
        loop_.settle();
    }

    /// Sends pieces of at most `piece` bytes, each of which the other side sees by itself.
    void send(Bytes bytes, std::size_t piece = SIZE_MAX) {
        for (std::size_t from = 0; from < bytes.size();) {
            const std::size_t size = std::min(piece, bytes.size() - from);
            const auto begin = bytes.begin() + std::ptrdiff_t(from);
            asio::co_spawn(
                loop_.ioc,
                write(state_, Bytes(begin, begin + std::ptrdiff_t(size))),
                [](std::exception_ptr) {}
            );
            loop_.settle();
            from += size;
        }
    }

    void close() {
        state_->stream->close();
        loop_.settle();
    }

    /// All that has come so far.
    const Bytes& received() const { return state_->received; }
    /// What has come since the last call.
    Bytes take() { return std::exchange(state_->received, {}); }
    /// The other side has closed the connection.
    bool ended() const { return state_->ended; }

 private:
    struct State {
        std::unique_ptr<net::Stream> stream;
        Bytes received;
        bool ended = false;
    };

    static Task<> read(std::shared_ptr<State> state) {
        Bytes buffer(65536);
        for (;;) {
            const auto count = co_await state->stream->read_some(buffer);
            if (!count || *count == 0) break;
            state->received.insert(
                state->received.end(), buffer.begin(), buffer.begin() + std::ptrdiff_t(*count)
            );
        }
        state->ended = true;
    }

    static Task<> write(std::shared_ptr<State> state, Bytes bytes) {
        (void)co_await state->stream->write(bytes);
    }

    net::TestLoop& loop_;
    std::shared_ptr<State> state_;
};

/// A task under way, whose result or end is looked at later; cancellable.
template <class T>
class Started {
 public:
    Started(net::TestLoop& loop, Task<T> task) : loop_(loop), state_(std::make_shared<State>()) {
        asio::co_spawn(
            loop.ioc,
            keep(state_, std::move(task)),
            asio::bind_cancellation_slot(
                state_->signal.slot(), [state = state_](std::exception_ptr) { state->ended = true; }
            )
        );
        loop.settle();
    }

    void cancel() {
        state_->signal.emit(asio::cancellation_type::terminal);
        loop_.settle();
    }

    bool ended() const { return state_->ended; }
    bool has_result() const { return state_->result.has_value(); }

    /// The result, once it is there.
    T& wait() {
        loop_.run_until([&] { return state_->ended; });
        std::optional<T>& result = state_->result;
        if (!result) throw std::runtime_error("the task ended without a result");
        return *result;
    }

 private:
    struct State {
        asio::cancellation_signal signal;
        std::optional<T> result;
        bool ended = false;
    };

    static Task<> keep(std::shared_ptr<State> state, Task<T> task) {
        state->result.emplace(co_await std::move(task));
    }

    net::TestLoop& loop_;
    std::shared_ptr<State> state_;
};

/// A loop on a still clock, with a Context whose random bytes may be recorded ones.
struct World {
    explicit World(WallTime now = WallTime(std::chrono::seconds(1'700'000'000)))
        : clock(now),
          loop(&clock),
          context(
              loop.ioc.get_executor(),
              clock,
              random,
              loop.network,
              loop.workers,
              loop.metrics,
              loop.faults,
              log::Logger()
          ) {}

    void advance(Duration by) {
        clock.advance(by);
        loop.settle();
    }

    ManualClock clock;
    RecordedRandom random;
    net::TestLoop loop;
    net::Context context;
};

}  // namespace skywire::dmsg::test
