#pragma once

#include "http/server.hpp"
#include "net/test_loop.hpp"

#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>

/// For tests of a Server: one on a pipe network with a still clock, and peers that talk to it byte
/// by byte.
namespace skywire::http::test {

/// The other end of a connection. Reads all the time, unless told not to.
class Peer {
 public:
    Peer(net::TestLoop& loop, std::unique_ptr<net::Stream> stream, bool reads = true)
        : loop_(loop), state_(std::make_shared<State>()) {
        state_->stream = std::move(stream);
        if (reads) asio::co_spawn(loop.ioc, read(state_), [](std::exception_ptr) {});
        loop.settle();
    }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    ~Peer() {
        state_->stream->close();
        loop_.settle();
    }

    /// Sends pieces of at most `piece` bytes, each of which the server sees by itself.
    void send(const std::string& bytes, std::size_t piece = std::string::npos) {
        for (std::size_t from = 0; from < bytes.size(); from += std::min(piece, bytes.size())) {
            asio::co_spawn(
                loop_.ioc, write(state_, bytes.substr(from, piece)), [](std::exception_ptr) {}
            );
            loop_.settle();
        }
    }

    void close() {
        state_->stream->close();
        loop_.settle();
    }

    /// What has come since the last call.
    std::string take() { return std::exchange(state_->received, {}); }

    std::string talk(const std::string& bytes, std::size_t piece = std::string::npos) {
        send(bytes, piece);
        return take();
    }

    /// The server has closed the connection.
    bool ended() const { return state_->ended; }
    std::size_t bytes_sent() const { return state_->sent; }

 private:
    struct State {
        std::unique_ptr<net::Stream> stream;
        std::string received;
        std::size_t sent = 0;
        bool ended = false;
    };

    static Task<> read(std::shared_ptr<State> state) {
        std::array<std::byte, 4096> buffer;
        for (;;) {
            const auto count = co_await state->stream->read_some(buffer);
            if (!count || *count == 0) break;
            state->received += as_text(std::span(buffer).first(*count));
        }
        state->ended = true;
    }

    static Task<> write(std::shared_ptr<State> state, std::string bytes) {
        const auto sent = co_await state->stream->write(as_bytes(bytes));
        if (sent) state->sent += bytes.size();
    }

    net::TestLoop& loop_;
    std::shared_ptr<State> state_;
};

class Rig {
 public:
    explicit Rig(Server::Options options = {}) : loop(&clock), options_(std::move(options)) {}
    ~Rig() {
        if (server_) loop.run(server_->stop(clock.now() + std::chrono::seconds(10)));
    }

    /// Made at the first call, when the routes are there.
    Server& server() {
        if (!server_) server_ = std::make_unique<Server>(loop.context, router, options_);
        return *server_;
    }

    std::unique_ptr<Peer> connect(bool reads = true, std::size_t pipe_bytes = 65536) {
        auto [ours, theirs] = net::make_pipe(loop.context.loop, pipe_bytes);
        server().serve(std::move(theirs));
        return std::make_unique<Peer>(loop, std::move(ours), reads);
    }

    void advance(Duration by) {
        clock.advance(by);
        loop.settle();
    }

    std::uint64_t refused(const std::string& reason) {
        return loop.metrics
            .counter("http_refused_total", "", {{"server", options_.name}, {"reason", reason}})
            .value();
    }

    ManualClock clock;
    net::TestLoop loop;
    Router router;

 private:
    Server::Options options_;
    std::unique_ptr<Server> server_;
};

}  // namespace skywire::http::test
