// Bytes from a server to the client, in pieces: every request ends, and no body passes its limit.

#include "http/client.hpp"
#include "net/test_loop.hpp"

#include <cstdlib>

namespace {

using namespace skywire;
using namespace skywire::http;

/// Dials pipes whose other end it keeps.
class PipeNetwork final : public net::Network {
 public:
    Result<std::unique_ptr<net::Listener>> listen(Executor, const net::Address&) override {
        return fail(errc::unsupported, "no listeners here");
    }
    Task<Result<std::unique_ptr<net::Stream>>> dial(Executor loop, net::Address) override {
        auto [ours, theirs] = net::make_pipe(loop);
        peers.push_back(std::move(theirs));
        co_return std::move(ours);
    }
    Result<std::unique_ptr<net::Datagram>> bind_udp(Executor, const net::Address&) override {
        return fail(errc::unsupported, "no datagrams here");
    }

    std::vector<std::unique_ptr<net::Stream>> peers;
};

constexpr std::size_t kResponseBytesMax = 1000;

Task<> write(net::Stream& peer, std::string bytes) {
    (void)co_await peer.write(as_bytes(bytes));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static ManualClock clock;
    static net::TestLoop loop(&clock);
    if (size < 2 || size > 8192) return 0;
    const std::size_t piece = 1 + data[0];
    const std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

    PipeNetwork network;
    net::Context context(
        loop.context.loop,
        clock,
        loop.random,
        network,
        loop.workers,
        loop.metrics,
        loop.faults,
        log::Logger()
    );
    Client client(context);
    ClientRequest request;
    request.method = static_cast<Method>(data[1] % 7);
    request.address = net::Address::tcp("192.0.2.1", 80);
    request.response_bytes_max = kResponseBytesMax;
    bool ended = false;
    asio::co_spawn(
        loop.ioc,
        client.send(std::move(request)),
        [&](std::exception_ptr error, Result<Response> answer) {
            if (error) std::abort();
            if (answer && answer->body.size() > kResponseBytesMax) std::abort();
            ended = true;
        }
    );
    loop.settle();
    net::Stream& peer = *network.peers.at(0);
    for (std::size_t from = 0; from < bytes.size(); from += piece) {
        asio::co_spawn(loop.ioc, write(peer, bytes.substr(from, piece)), [](std::exception_ptr) {});
        loop.settle();
    }
    // A read finds the end, or a kept connection that died is replaced by one that is closed, too.
    for (std::size_t i = 0; i < network.peers.size(); ++i) {
        network.peers[i]->close();
        loop.settle();
    }
    if (!ended) std::abort();
    client.close();
    loop.settle();
    return 0;
}
