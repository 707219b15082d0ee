#pragma once

#include "framework/block.hpp"
#include "framework/service.hpp"
#include "framework/service_type.hpp"
#include "store/redis.hpp"
#include "store/snapshot.hpp"
#include "store/store.hpp"

#include <memory>
#include <optional>
#include <string>

namespace skywire::services {

/// Where a block keeps its data (spec/framework.md section 13, "Store of a block"): `redis` set is
/// Redis; else `testing` is memory and nothing on disk; else memory with an SQLite snapshot in the
/// deployment's state folder, LABEL.sqlite.
struct StoreConfig {
    enum class Kind { memory, snapshot, redis };
    Kind kind = Kind::memory;
    /// Set for Kind::redis; REDIS_PASSWORD of the environment is in it.
    std::optional<store::RedisUrl> redis;
    /// Of the others.
    store::MemoryLimits limits = {};
};

/// The rule of `redis`: a URL that store::RedisUrl takes (no rediss://).
void check_store(const framework::Block& block, framework::Problems& problems);

/// Decodes a block that `check_store` has passed.
StoreConfig store_config(const framework::Block& block);

/// Redis as a thing outside that the block needs before it can start; nothing for other stores.
std::vector<framework::External> store_externals(const framework::Block& block);

/// A service's store and what is known of its health. Used on the service's loop; `close` comes
/// before the end of its life, whether or not `open` has succeeded.
class ServiceStore {
 public:
    /// Does no I/O. `host` outlives the store.
    ServiceStore(framework::ServiceHost& host, StoreConfig config);

    /// Opens it and says in one log line which it is. Errors: Redis does not answer, the state
    /// folder cannot be written. Cancelled or failed: `close` takes down what there is.
    Task<Result<>> open();

    /// After `open`.
    store::Store& store() noexcept { return *store_; }

    /// Asks the store once a second whether it answers, until cancelled.
    Task<> watch();

    /// A call of the store failed just now: health knows before the next ping does.
    void failed(const Error& error);

    /// Check "store": fail while Redis does not answer, warn while a snapshot cannot be written or
    /// after a damaged one was set aside.
    framework::Check check() const;

    /// Writes what is pending and ends; nothing to do where it was never opened.
    Task<Result<>> close(SteadyTime deadline);

    /// "redis://host:6379/0", "/var/lib/skywire/dmsgd.sqlite" or "memory".
    const std::string& place() const noexcept { return place_; }

 private:
    Task<Result<>> open_snapshot();

    framework::ServiceHost& host_;
    StoreConfig config_;
    net::Context context_;
    std::unique_ptr<store::Store> store_;
    /// The same object where it is a snapshot store.
    store::SnapshotStore* snapshot_ = nullptr;
    std::string place_;
    /// Why the last call or ping failed; empty while all is well.
    std::string failure_;
};

}  // namespace skywire::services
