#pragma once

#include "base/test.hpp"
#include "mux/session.hpp"
#include "mux/yamux.hpp"
#include "net/event.hpp"
#include "net/test_loop.hpp"

#include <deque>

/// Sessions on the test bench.
namespace skywire::mux::test {

using namespace std::chrono_literals;

/// An owner that keeps everything it is told.
class Peer final : public Session::Owner {
 public:
    explicit Peer(net::TestLoop& loop) : changed_(loop.ioc.get_executor()) {}

    void on_stream(std::unique_ptr<Stream> stream) override {
        if (!refuse) streams.push_back(std::move(stream));
        changed_.notify();
    }
    void on_refused(std::size_t count) override { refused += count; }
    void on_go_away() override { ++go_aways; }
    void on_end(const Error& reason) override {
        ++ends;
        end = reason;
        changed_.notify();
    }

    Task<std::unique_ptr<Stream>> accept() {
        while (streams.empty())
            co_await changed_.wait();
        auto stream = std::move(streams.front());
        streams.pop_front();
        co_return stream;
    }
    Task<> ended() {
        while (ends == 0)
            co_await changed_.wait();
    }

    std::deque<std::unique_ptr<Stream>> streams;
    std::size_t refused = 0;
    int go_aways = 0;
    int ends = 0;
    Error end;
    /// Drops what the peer opens.
    bool refuse = false;

 private:
    net::Event changed_;
};

/// A client and a server, or one of them and a raw stream for the other end.
struct Pair {
    explicit Pair(ManualClock* clock = nullptr) : loop(clock), client(loop), server(loop) {}
    ~Pair() { close(); }

    std::unique_ptr<Session> make(
        Role role, std::unique_ptr<net::Stream> carrier, Session::Options options, Peer& owner
    ) {
        options.core.role = role;
        return std::make_unique<Session>(
            loop.context, std::move(carrier), std::move(options), owner
        );
    }
    void start(Session::Options options = {}, std::size_t room = 65536) {
        auto [a, b] = net::make_pipe(loop.ioc.get_executor(), room);
        near = make(Role::client, std::move(a), options, client);
        far = make(Role::server, std::move(b), options, server);
    }
    void start_tcp(Session::Options options = {}) {
        const auto work = [&]() -> Task<> {
            auto listener =
                loop.network.listen(loop.ioc.get_executor(), net::Address::tcp("127.0.0.1", 0))
                    .value();
            auto a = co_await loop.network.dial(loop.ioc.get_executor(), listener->local());
            auto b = co_await listener->accept();
            near = make(Role::client, std::move(a.value()), options, client);
            far = make(Role::server, std::move(b.value()), options, server);
        };
        loop.run(work());
    }
    /// The server alone, with the other end of its carrier in `raw`.
    void start_raw(Session::Options options = {}, std::size_t room = 65536) {
        auto [a, b] = net::make_pipe(loop.ioc.get_executor(), room);
        raw = std::move(a);
        far = make(Role::server, std::move(b), options, server);
        loop.settle();
    }
    /// Near's end and far's of a new stream.
    std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> open() {
        auto here = near->open().value();
        auto there = loop.run(server.accept());
        return {std::move(here), std::move(there)};
    }
    void tick() {
        if (near) near->tick(loop.context.clock.now());
        if (far) far->tick(loop.context.clock.now());
        loop.settle();
    }
    void close() {
        client.streams.clear();
        server.streams.clear();
        for (auto* session : {&near, &far}) {
            if (*session) loop.run((*session)->close());
            session->reset();
        }
    }

    /// What a peer of raw frames says.
    void say(ByteSpan bytes) {
        const auto work = [&]() -> Task<> {
            const auto written = co_await raw->write(bytes);
            CHECK(written);
        };
        loop.run(work());
        loop.settle();
    }
    void say(yamux::Type type, std::uint16_t flags, StreamId id, std::uint32_t length) {
        say(yamux::encode({type, flags, id, length}));
    }
    /// All that has come for it, in hex.
    std::string heard() {
        Bytes all;
        const auto work = [&]() -> Task<> {
            Bytes buffer(65536);
            const auto size = co_await raw->read_some(buffer);
            if (size) all.assign(buffer.begin(), buffer.begin() + static_cast<long>(*size));
        };
        loop.run(work());
        return to_hex(all);
    }

    net::TestLoop loop;
    Peer client;
    Peer server;
    std::unique_ptr<net::Stream> raw;
    std::unique_ptr<Session> near;
    std::unique_ptr<Session> far;
};

/// Bytes that tell their own place.
inline Bytes pattern(std::size_t size, std::uint32_t seed = 0) {
    Bytes bytes(size);
    std::uint32_t state = seed * 2654435761U + 12345;
    for (std::byte& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<std::byte>(state >> 24);
    }
    return bytes;
}

/// Writes `bytes` in pieces of random size.
inline Task<> write_all_of(net::Stream& stream, Bytes bytes, Random& random, std::size_t piece) {
    ByteSpan left = bytes;
    while (!left.empty()) {
        const std::size_t size = std::min<std::size_t>(left.size(), 1 + random.below(piece));
        const auto written =
            co_await stream.write(left.first(size / 2), left.subspan(size / 2, size - size / 2));
        REQUIRE(written);
        left = left.subspan(size);
    }
}

/// Reads until the end, in pieces of random size.
inline Task<Bytes> read_all_of(net::Stream& stream, Random& random, std::size_t piece) {
    Bytes all;
    while (true) {
        Bytes buffer(1 + random.below(piece));
        const auto size = co_await stream.read_some(buffer);
        REQUIRE(size);
        if (*size == 0) co_return all;
        all.insert(all.end(), buffer.begin(), buffer.begin() + static_cast<long>(*size));
    }
}

}  // namespace skywire::mux::test
