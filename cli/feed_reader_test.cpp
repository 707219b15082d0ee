// Readers of feeds in a command that is interrupted: whatever it was about, what was opened is
// closed.

#include "cli/feed_reader.hpp"

#include "base/assert.hpp"
#include "base/test.hpp"
#include "cli/test_run.hpp"
#include "cxo/feed.hpp"
#include "net/event_loops.hpp"
#include "net/scope.hpp"

#include <csignal>
#include <future>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <fmt/format.h>

namespace skywire::cli {
namespace {

/// A feed with one leaf over plain TCP, on a loop of its own.
class Publisher {
 public:
    Publisher() : loops_(1), workers_(1, 1) {
        loops_.start();
        on_loop([this] {
            node_.emplace(context_, cxo::NodeOptions(keys_));
            const auto any = net::Address::tcp("127.0.0.1", 0);
            node_->serve(network_.listen(context_.loop, any).value(), cxo::Carrier::plain);
            address_ = node_->addresses().front();
            feed_.emplace(context_, *node_, cxo::FeedOptions(keys_));
            SKY_ASSERT(feed_->put("a", Bytes(1)).has_value());
        });
    }
    ~Publisher() {
        asio::co_spawn(loops_.at(0), close(), asio::use_future).get();
        on_loop([this] {
            feed_.reset();
            node_.reset();
        });
        loops_.join();
    }
    Publisher(const Publisher&) = delete;
    Publisher& operator=(const Publisher&) = delete;

    net::Address address() const { return address_; }
    FeedPlace place() const {
        FeedPlace place;
        place.key = keys_.public_key;
        place.port = kPort;
        return place;
    }
    std::string name() const { return fmt::format("{}:{}", keys_.public_key, kPort); }

 private:
    static constexpr std::uint16_t kPort = 50;

    void on_loop(const std::function<void()>& work) {
        std::promise<void> done;
        asio::post(loops_.at(0), [&] {
            work();
            done.set_value();
        });
        done.get_future().get();
    }

    Task<> close() {
        const SteadyTime deadline = clock_.now() + std::chrono::seconds(10);
        co_await feed_->close(deadline);
        co_await node_->close(deadline);
    }

    crypto::KeyPair keys_ = crypto::deterministic_key_pair("publisher");
    net::EventLoops loops_;
    SystemClock clock_;
    SystemRandom random_;
    net::SystemNetwork network_;
    net::WorkerPool workers_;
    MetricRegistry metrics_;
    Faults faults_;
    net::Context context_{
        loops_.at(0), clock_, random_, network_, workers_, metrics_, faults_, log::Logger()
    };
    std::optional<cxo::Node> node_;
    std::optional<cxo::Feed> feed_;
    net::Address address_;
};

/// Reads, and is cancelled while it closes.
Task<Result<>> close_interrupted(DmsgWorld& world, const Publisher& publisher, bool& closed) {
    FeedReader reader(world, publisher.address());
    const auto reading = co_await reader.read_once(publisher.place(), world.deadline());
    if (!reading) co_return reading.error();
    net::Scope closing(world.context().loop);
    closing.spawn("closing", [&]() -> Task<> {
        co_await reader.close();
        closed = true;
    });
    SKY_ASSERT(!closed);
    closing.cancel();
    co_await closing.wait_empty();
    co_return Result<>();
}

/// Interrupted where it does not wait: its next wait throws.
Task<Result<>> follow_interrupted(
    DmsgWorld& world, FeedReader& reader, FeedPlace place, bool& live
) {
    const auto handle = co_await reader.follow(std::move(place), world.deadline());
    if (!handle) co_return handle.error();
    live = true;
    std::raise(SIGINT);
    while (true)
        co_await asio::post(world.context().loop, use_tuple);
}

}  // namespace

TEST_CASE("feed reader: an interrupt does not cut its closing short") {
    const Publisher publisher;
    const auto world = DmsgWorld::make({});
    REQUIRE(world);
    DmsgWorld& made = **world;
    bool closed = false;
    const auto done = made.run([&] { return close_interrupted(made, publisher, closed); });
    INFO((done ? std::string() : done.error().message()));
    CHECK(done);
    CHECK(closed);
}

TEST_CASE("feed reader: a command that an interrupt ends with an exception closes it all the same"
) {
    const Publisher publisher;
    const framework::ServiceRegistry registry = test_types();
    const Commands commands = all_commands();
    std::ostringstream out;
    std::ostringstream err;
    Session session{registry, {out, err}, commands};
    FeedOptions options;
    options.tcp = publisher.address().to_string();
    bool live = false;
    const int code = run_feed(
        session,
        *commands.front(),
        options,
        publisher.name(),
        [&](DmsgWorld& world, FeedReader& reader, FeedPlace place) {
            return follow_interrupted(world, reader, std::move(place), live);
        }
    );
    CHECK(live);
    CHECK(code == kFailed);
    CHECK(err.str().find("interrupted") != std::string::npos);
}

}  // namespace skywire::cli
