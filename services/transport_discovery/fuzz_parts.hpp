#pragma once

#include "net/test_loop.hpp"
#include "services/common/service_store.hpp"
#include "services/common/test_host.hpp"
#include "services/transport_discovery/routes.hpp"
#include "services/transport_discovery/traffic.hpp"
#include "services/transport_discovery/transports.hpp"
#include "services/transport_discovery/uptimes.hpp"

namespace skywire::tpd {

/// For fuzz targets: what a transport-discovery knows, over a store in memory, with a clock that
/// the target holds.
struct FuzzParts {
    explicit FuzzParts(Duration entry_timeout)
        : loop(&clock),
          host(loop.context),
          store(host, {}),
          opened(loop.run(store.open())),
          answers(loop.metrics, {}),
          transports(
              loop.context,
              store.store(),
              {{entry_timeout, std::chrono::hours(1)}, /*shared=*/false}
          ),
          uptimes(loop.context, store.store()),
          traffic(loop.context, store.store(), transports, {}) {
        loop.run(transports.open()).value();
    }
    ~FuzzParts() { (void)loop.run(store.close(SteadyTime::max())); }
    FuzzParts(const FuzzParts&) = delete;
    FuzzParts& operator=(const FuzzParts&) = delete;

    ManualClock clock{WallTime(std::chrono::seconds(1'795'167'603))};
    net::TestLoop loop;
    services::TestHost host;
    services::ServiceStore store;
    Result<> opened;
    Answers answers;
    Transports transports;
    Uptimes uptimes;
    Traffic traffic;
};

}  // namespace skywire::tpd
