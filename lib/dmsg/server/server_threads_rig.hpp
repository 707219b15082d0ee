#pragma once

#include "dmsg/server/server_rig.hpp"
#include "net/event_loops.hpp"

#include <functional>
#include <future>
#include <memory>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

namespace skywire::dmsg::test {

/// Starts a coroutine on another thread's loop.
template <class T>
std::future<T> start_there(const Executor& loop, std::function<Task<T>()> work) {
    struct Call {
        std::function<Task<T>()> work;
        std::promise<T> promise;
    };
    const auto call = std::make_shared<Call>(Call{std::move(work), {}});
    auto future = call->promise.get_future();
    asio::post(loop, [loop, call] {
        asio::co_spawn(loop, call->work(), [call](std::exception_ptr error, T value) {
            if (error) {
                call->promise.set_exception(error);
            } else {
                call->promise.set_value(std::move(value));
            }
        });
    });
    return future;
}

/// A server of kServerKeys on several event loops, each with a thread of its own. Clients are on
/// the test's loop and come over loopback, in turn to each of the server's loops.
class ThreadsRig {
 public:
    explicit ThreadsRig(std::size_t loop_count, ServerOptions options = server_options())
        : loops(loop_count) {
        loops.start();
        for (std::size_t i = 0; i < loops.size(); ++i)
            options.loops.push_back(loops.at(i));
        start_there<bool>(loops.at(0), [this, &options] {
            return begin(std::move(options));
        }).get();
    }
    ~ThreadsRig() {
        for (const auto& client : clients)
            loop.run(client->close());
        CHECK(stop().get().empty());
        start_there<bool>(loops.at(0), [this] { return end(); }).get();
        loops.join();
    }
    ThreadsRig(const ThreadsRig&) = delete;
    ThreadsRig& operator=(const ThreadsRig&) = delete;

    /// A connection to the server.
    Task<std::unique_ptr<net::Stream>> carrier() {
        auto stream = co_await loop.context.network.dial(loop.context.loop, address);
        if (!stream) throw ErrorException(stream.error());
        co_return std::move(*stream);
    }

    /// A client with a session.
    TestClient& add(std::string_view seed) {
        clients.push_back(std::make_unique<TestClient>(loop.context, seed));
        loop.run(join(*clients.back()));
        return *clients.back();
    }

    /// The names of what had not ended in time.
    std::future<std::vector<std::string>> stop() {
        return start_there<std::vector<std::string>>(loops.at(0), [this] {
            return server->stop(loop.context.clock.now() + std::chrono::seconds(20));
        });
    }

    net::TestLoop loop;
    net::EventLoops loops;
    DiscoveryState discovery;
    net::Address address;
    std::optional<Server> server;
    std::vector<std::unique_ptr<TestClient>> clients;

 private:
    Task<bool> begin(ServerOptions options) {
        net::Context context = loop.context;
        context.loop = loops.at(0);
        auto listener =
            context.network.listen(context.loop, net::Address::tcp("127.0.0.1", 0)).value();
        address = listener->local();
        server.emplace(context, std::move(options), std::make_unique<FakeDiscovery>(discovery));
        server->start([] {});
        server->serve(std::move(listener));
        co_return true;
    }

    Task<bool> end() {
        server.reset();
        co_return true;
    }

    Task<> join(TestClient& client) {
        auto stream = co_await carrier();
        const auto connected = co_await client.connect(std::move(stream), kServerKeys.public_key);
        CHECK(connected);
        // The server enters the session a moment after the client's handshake has ended.
        while ((co_await client.session().mux().ping()).has_error())
            if (client.ended()) break;
    }
};

}  // namespace skywire::dmsg::test
