#pragma once

#include "net/scope.hpp"
#include "sim/world.hpp"

#include <memory>
#include <string>

/// For this folder's tests: two nodes with a connection between them.
namespace skywire::sim::test {

class Pair {
 public:
    explicit Pair(std::uint64_t seed = 1, const LinkOptions& links = {}) : world(seed) {
        world.set_links(links);
        listener = b.context().network.listen(world.loop(), b.at(80)).value();
        world.run(connect());
    }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    ~Pair() {
        near->close();
        far->close();
        const auto now = world.clock().now();
        world.run(scope.close(world.clock(), now, now + std::chrono::minutes(1)));
    }

    /// `near` and `far` become the ends of a new connection.
    Task<> connect() {
        near = (co_await a.context().network.dial(world.loop(), b.at(80))).value();
        far = (co_await listener->accept()).value();
    }

    /// Reads until the end, an error (its message in brackets) or `bytes_max`.
    static Task<std::string> read(net::Stream& stream, std::size_t bytes_max = SIZE_MAX) {
        std::string all;
        Bytes buffer(5000);
        while (all.size() < bytes_max) {
            const std::size_t room = std::min(buffer.size(), bytes_max - all.size());
            const auto size = co_await stream.read_some(std::span(buffer).first(room));
            if (!size) co_return all + "[" + size.error().message() + "]";
            if (*size == 0) co_return all + "[end]";
            all += as_text(ByteSpan(buffer).first(*size));
        }
        co_return all;
    }

    static Task<Result<>> write(net::Stream& stream, std::string text) {
        co_return co_await stream.write(as_bytes(text));
    }

    World world;
    Node& a = world.node("a");
    Node& b = world.node("b");
    net::Scope scope{world.loop()};
    std::unique_ptr<net::Listener> listener;
    std::unique_ptr<net::Stream> near;
    std::unique_ptr<net::Stream> far;
};

}  // namespace skywire::sim::test
