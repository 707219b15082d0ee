#pragma once

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/metrics.hpp"
#include "base/random.hpp"
#include "dmsg/session.hpp"
#include "dmsg/stream.hpp"
#include "net/event_loops.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

/// What the load generators share: event loops of their own, and clients that are nothing but a
/// session with one server. A load generator that fails says so and ends the process.
namespace skywire::bench {

[[noreturn]] inline void give_up(std::string_view what, std::string_view why) {
    std::fprintf(
        stderr,
        "%.*s: %.*s\n",
        static_cast<int>(what.size()),
        what.data(),
        static_cast<int>(why.size()),
        why.data()
    );
    std::_Exit(1);
}

template <class R>
decltype(auto) need(R&& result, std::string_view what) {
    if (!result) give_up(what, result.error().message());
    if constexpr (!std::is_void_v<typename std::remove_cvref_t<R>::value_type>)
        return std::move(*result);
}

inline double seconds_of(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}
inline double wall_seconds() {
    return seconds_of(CLOCK_MONOTONIC);
}

/// Everything a Context refers to, with one thread per loop.
struct World {
    explicit World(std::size_t threads) : loops(threads), workers(1, 16) { loops.start(); }
    ~World() { loops.join(); }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    net::Context context(std::size_t loop) {
        return {loops.at(loop), clock, random, network, workers, metrics, faults, log::Logger()};
    }
    /// Runs the task on a loop and waits for it; not on one of the loops' threads.
    template <class T>
    T run(std::size_t loop, Task<T> task) {
        return asio::co_spawn(loops.at(loop), std::move(task), asio::use_future).get();
    }

    net::EventLoops loops;
    net::WorkerPool workers;
    SystemClock clock;
    SystemRandom random;
    net::SystemNetwork network;
    MetricRegistry metrics;
    Faults faults;
};

/// CPU time of the thread of the loop it runs on.
inline Task<double> thread_cpu() {
    co_return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

struct Target {
    crypto::PublicKey key;
    net::Address address;

    /// "KEY@HOST:PORT"
    static Target parse(std::string_view text) {
        const std::size_t at = std::min(text.find('@'), text.size() - 1);
        const auto key = crypto::PublicKey::from_text_not_null(text.substr(0, at));
        const auto address = net::Address::parse(text.substr(at + 1));
        if (!key || !address) give_up("server", "expected KEY@HOST:PORT");
        return {*key, *address};
    }
};

/// A client with one session; belongs to a loop. Streams dialled to it on any port go to `serve`.
class Peer final : private dmsg::Session::Owner {
 public:
    using StreamPtr = std::unique_ptr<dmsg::Stream>;
    using Serve = std::function<Task<>(std::shared_ptr<dmsg::Stream>)>;

    explicit Peer(const net::Context& context, Serve serve = {})
        : context_(context),
          keys_(crypto::generate_key_pair(context.random)),
          serve_(std::move(serve)),
          scope_(context.loop) {}
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    ~Peer() override = default;

    const crypto::PublicKey& key() const { return keys_.public_key; }
    net::Scope& scope() { return scope_; }
    dmsg::Session& session() { return *session_; }

    Task<> connect(Target server) {
        auto carrier = co_await context_.network.dial(context_.loop, server.address);
        auto handshaken = co_await dmsg::handshake_as_client(
            context_, need(std::move(carrier), "connect"), keys_, server.key
        );
        dmsg::Session::Owner& owner = *this;
        session_ = std::make_unique<dmsg::Session>(
            context_,
            need(std::move(handshaken), "handshake"),
            dmsg::Session::Options{.streams_max = 4096},
            owner
        );
    }

    Task<StreamPtr> dial(crypto::PublicKey to) {
        auto stream = co_await dmsg::open_stream(
            context_,
            *session_,
            keys_,
            {keys_.public_key, next_port_++},
            {to, 80},
            context_.clock.now() + std::chrono::seconds(20)
        );
        co_return need(std::move(stream), "stream");
    }

    /// The session's time limits and pings from now on; a crowd of peers is ticked by its owner.
    void keep_alive() {
        scope_.spawn("tick", [this]() -> Task<> {
            do {
                session_->mux().tick(context_.clock.now());
            } while (co_await net::sleep_for(context_.clock, kTick));
        });
    }

    Task<> close() {
        closing_ = true;
        if (session_) co_await session_->mux().close();
        const auto now = context_.clock.now();
        co_await scope_.close(context_.clock, now, now + std::chrono::seconds(10));
        session_.reset();
    }

    static constexpr std::chrono::milliseconds kTick{250};

 private:
    void on_stream(dmsg::Session&, std::unique_ptr<mux::Stream> stream) override {
        const auto held = std::make_shared<std::unique_ptr<mux::Stream>>(std::move(stream));
        scope_.spawn("answer", [this, held] { return answer(std::move(*held)); });
    }
    void on_go_away(dmsg::Session&) override {}
    void on_end(dmsg::Session&, const Error& reason) override {
        if (!closing_) give_up("session", reason.message());
    }

    Task<> answer(std::unique_ptr<mux::Stream> carrier) {
        auto stream = co_await dmsg::answer_stream(
            context_,
            *session_,
            std::move(carrier),
            keys_,
            [this](std::uint16_t) { return serve_ != nullptr; },
            context_.clock.now() + std::chrono::seconds(20)
        );
        if (!stream) co_return;
        co_await serve_(std::shared_ptr<dmsg::Stream>(std::move(*stream)));
    }

    net::Context context_;
    crypto::KeyPair keys_;
    Serve serve_;
    std::unique_ptr<dmsg::Session> session_;
    std::uint16_t next_port_ = 49'153;
    bool closing_ = false;
    /// Last: its coroutines use all of the above.
    net::Scope scope_;
};

}  // namespace skywire::bench
