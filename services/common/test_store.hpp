#pragma once

#include "base/temporary_folder.hpp"
#include "base/test.hpp"
#include "base/test_faults.hpp"
#include "net/test_loop.hpp"
#include "services/common/service_store.hpp"
#include "services/common/test_host.hpp"
#include "store/redis_server.hpp"

#include <memory>
#include <optional>
#include <string>

/// For tests of what services keep: a loop with a still clock, and stores of all kinds that outlast
/// the service on them.
namespace skywire::services {

/// A loop whose clock the test moves, with faults.
struct TestWorld {
    explicit TestWorld(WallTime wall = WallTime(std::chrono::seconds(1'700'000'000)))
        : clock(wall),
          loop(&clock),
          context(
              loop.ioc.get_executor(),
              clock,
              loop.random,
              loop.network,
              loop.workers,
              loop.metrics,
              faults,
              log::Logger()
          ),
          host(context, folder.path()) {}

    /// Moves the clock in steps, with everything due done after each.
    void pass(Duration duration, Duration step = std::chrono::seconds(5)) {
        while (duration > Duration(0)) {
            clock.advance(std::min(step, duration));
            duration -= step;
            loop.settle();
        }
    }

    std::uint64_t counted(std::string_view name, std::string_view label, std::string value) {
        return loop.metrics.counter(name, "", {{std::string(label), std::move(value)}}).value();
    }

    test::TemporaryFolder folder;
    ManualClock clock;
    net::TestLoop loop;
    TestFaults faults;
    net::Context context;
    TestHost host;
};

/// An opened store of a service; closed at its end, or dropped as by a kill.
class TestStore {
 public:
    TestStore(TestWorld& world, StoreConfig config)
        : world_(world), store_(std::make_unique<ServiceStore>(world.host, std::move(config))) {
        world_.loop.run(store_->open()).value();
    }
    ~TestStore() {
        if (store_) close();
    }
    TestStore(const TestStore&) = delete;
    TestStore& operator=(const TestStore&) = delete;

    ServiceStore& operator*() { return *store_; }
    ServiceStore* operator->() { return store_.get(); }
    store::Store& raw() { return store_->store(); }

    /// Waits until all calls so far have been answered, and those that follow from the answers:
    /// moving the clock would let them time out.
    void wait_idle() {
        for (int round = 0; round < 5; ++round) {
            world_.loop.run(store_->store().ping()).value();
            world_.loop.settle();
        }
    }

    void close() {
        const auto closed = world_.loop.run(store_->close(SteadyTime::max()));
        CHECK(closed);
        store_.reset();
    }

    static StoreConfig memory() { return {}; }
    static StoreConfig snapshot() {
        StoreConfig config;
        config.kind = StoreConfig::Kind::snapshot;
        return config;
    }
    static StoreConfig redis(const store::RedisServer& server) {
        StoreConfig config;
        config.kind = StoreConfig::Kind::redis;
        config.redis = store::RedisUrl::parse(server.url()).value();
        return config;
    }

 private:
    TestWorld& world_;
    std::unique_ptr<ServiceStore> store_;
};

}  // namespace skywire::services
