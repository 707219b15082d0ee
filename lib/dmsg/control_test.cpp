#include "dmsg/control.hpp"

#include "base/test.hpp"
#include "dmsg/test_rig.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"

#include <deque>

namespace skywire::dmsg {
namespace {

using test::World;

/// Accepts what the test gives it.
class GivenStreams final : public net::Listener {
 public:
    explicit GivenStreams(Executor loop) : changed_(std::move(loop)) {}

    Task<Result<std::unique_ptr<net::Stream>>> accept() override {
        while (true) {
            if (closed_) co_return fail(skywire::errc::closed, {});
            if (!given_.empty()) {
                auto first = std::move(given_.front());
                given_.pop_front();
                co_return first;
            }
            const bool notified = co_await changed_.wait();
            if (!notified) co_return fail(skywire::errc::cancelled, {});
        }
    }
    const net::Address& local() const noexcept override { return address_; }
    void close() noexcept override {
        closed_ = true;
        changed_.notify();
    }

    /// The other end of a stream that is accepted next.
    std::unique_ptr<net::Stream> give(World& world) {
        auto [ours, theirs] = net::make_pipe(world.context.loop);
        given_.push_back(std::move(theirs));
        changed_.notify();
        return std::move(ours);
    }

 private:
    net::Event changed_;
    std::deque<std::unique_ptr<net::Stream>> given_;
    net::Address address_;
    bool closed_ = false;
};

struct Served : World {
    Served() : listener(std::make_shared<GivenStreams>(context.loop)), scope(context.loop) {
        scope.spawn("control", [this] { return serve_control(context, listener); });
        loop.settle();
    }

    std::shared_ptr<GivenStreams> listener;
    net::Scope scope;
};

TEST_CASE("control: pings are answered until the listener closes") {
    Served served;
    const auto stream = served.listener->give(served);
    CHECK(served.loop.run(ping_control(*stream, served.clock)).has_value());
    CHECK(served.loop.run(ping_control(*stream, served.clock)).has_value());
    served.listener->close();
    served.loop.settle();
    CHECK(served.scope.size() == 0);
    CHECK(served.loop.run(ping_control(*stream, served.clock)).has_error());
}

TEST_CASE("control: a cancellation that comes together with a stream is not lost") {
    for (int handlers = 0; handlers < 12; ++handlers) {
        Served served;
        const auto stream = served.listener->give(served);
        served.loop.ioc.restart();
        for (int i = 0; i < handlers; ++i)
            served.loop.ioc.poll_one();
        served.scope.cancel();
        served.loop.settle();
        INFO("behind " << handlers << " handlers");
        CHECK(served.scope.size() == 0);
        served.listener->close();
        served.loop.settle();
    }
}

}  // namespace
}  // namespace skywire::dmsg
