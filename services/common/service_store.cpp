#include "services/common/service_store.hpp"

#include "base/assert.hpp"
#include "net/timer.hpp"
#include "store/memory.hpp"

#include <cstdlib>

namespace skywire::services {
namespace {

constexpr std::chrono::seconds kPingInterval{1};

store::RedisUrl with_password(store::RedisUrl url) {
    // As the reference does: the environment's password replaces that of the URL.
    const char* password = std::getenv("REDIS_PASSWORD");
    if (password != nullptr && *password != '\0') url.password = password;
    return url;
}

store::RedisOptions redis_options(const store::RedisUrl& url) {
    store::RedisOptions options;
    options.url = url;
    return options;
}

}  // namespace

void check_store(const framework::Block& block, framework::Problems& problems) {
    if (!block.has("redis")) return;
    if (const auto url = store::RedisUrl::parse(block.text("redis")); !url)
        problems.push_back(block.problem("redis", "redis: " + url.error().message()));
}

StoreConfig store_config(const framework::Block& block) {
    StoreConfig config;
    if (block.has("redis")) {
        auto url = store::RedisUrl::parse(block.text("redis"));
        SKY_ASSERT(url.has_value());
        config.kind = StoreConfig::Kind::redis;
        config.redis = with_password(std::move(*url));
    } else if (!block.boolean("testing")) {
        config.kind = StoreConfig::Kind::snapshot;
    }
    return config;
}

std::vector<framework::External> store_externals(const framework::Block& block) {
    const StoreConfig config = store_config(block);
    if (!config.redis) return {};
    framework::External redis;
    redis.name = config.redis->to_string();
    redis.kind = "redis";
    redis.probe = [options = redis_options(*config.redis)](net::Context context) {
        return store::probe_redis(context, options);
    };
    return {std::move(redis)};
}

ServiceStore::ServiceStore(framework::ServiceHost& host, StoreConfig config)
    : host_(host), config_(std::move(config)), context_(host.context()) {
    switch (config_.kind) {
        case StoreConfig::Kind::memory:
            place_ = "memory";
            break;
        case StoreConfig::Kind::snapshot:
            place_ = host.state_dir() + "/" + host.label() + ".sqlite";
            break;
        case StoreConfig::Kind::redis:
            SKY_ASSERT(config_.redis);
            place_ = config_.redis->to_string();
            break;
    }
}

Task<Result<>> ServiceStore::open_snapshot() {
    auto opened = co_await store::open_snapshot_store(context_, place_, config_.limits);
    if (!opened) co_return opened.error();
    snapshot_ = opened->get();
    store_ = std::move(*opened);
    const store::SnapshotReport report = snapshot_->report();
    log::info(
        context_.logger,
        "store.loaded",
        log::kv("entries", report.loaded),
        log::kv("expired", report.expired)
    );
    if (!report.set_aside.empty())
        log::error(context_.logger, "store.damaged", log::kv("set_aside", report.set_aside));
    co_return Result<>();
}

Task<Result<>> ServiceStore::open() {
    switch (config_.kind) {
        case StoreConfig::Kind::memory:
            store_ = store::make_memory_store(context_, config_.limits);
            break;
        case StoreConfig::Kind::snapshot: {
            const auto opened = co_await open_snapshot();
            if (!opened) co_return opened.error().within(place_);
            break;
        }
        case StoreConfig::Kind::redis:
            SKY_ASSERT(config_.redis);
            store_ = store::make_redis_store(context_, redis_options(*config_.redis));
            break;
    }
    const Result<> answered = co_await store_->ping();
    if (!answered) co_return answered.error().within(place_);
    log::info(
        context_.logger, "store.opened", log::kv("kind", store_->kind()), log::kv("place", place_)
    );
    host_.note("store", fmt::format("{} {}", store_->kind(), place_));
    co_return Result<>();
}

Task<> ServiceStore::watch() {
    while (true) {
        const bool slept = co_await net::sleep_for(context_.clock, kPingInterval);
        if (!slept) co_return;
        const Result<> answered = co_await store_->ping();
        if (!answered) {
            failed(answered.error());
        } else if (!failure_.empty()) {
            log::info(context_.logger, "store.back", log::kv("place", place_));
            failure_.clear();
        }
    }
}

void ServiceStore::failed(const Error& error) {
    if (failure_.empty()) {
        log::warn(
            context_.logger,
            "store.unavailable",
            log::kv("place", place_),
            log::kv("error", error.message())
        );
    }
    failure_ = error.message();
}

framework::Check ServiceStore::check() const {
    using Status = framework::Check::Status;
    if (!failure_.empty()) return {"store", Status::fail, place_ + ": " + failure_};
    if (snapshot_ == nullptr) return {"store", Status::pass, {}};
    const store::SnapshotReport report = snapshot_->report();
    if (!report.write_error.empty())
        return {"store", Status::warn, place_ + ": not written: " + report.write_error};
    if (!report.set_aside.empty())
        return {"store", Status::warn, "damaged data was set aside as " + report.set_aside};
    return {"store", Status::pass, {}};
}

Task<Result<>> ServiceStore::close(SteadyTime deadline) {
    if (!store_) co_return Result<>();
    co_return co_await store_->close(deadline);
}

}  // namespace skywire::services
