#pragma once

#include "framework/deployment_config.hpp"
#include "framework/signal.hpp"
#include "net/context.hpp"

#include <string>

namespace skywire::framework {

/// Watches one thing outside of this process: a Redis, or a block that another process runs. Tries
/// at once, then again and again: 250 ms growing to 2 s while it is missing, every 2 s once it is
/// there. One try takes at most 2 s.
class Probe {
 public:
    Probe(net::Context context, External external)
        : context_(std::move(context)), external_(std::move(external)) {}

    /// Runs until cancelled; `changed` is called when the answer changes.
    Task<> run(std::function<void()> changed);

    const External& external() const noexcept { return external_; }
    /// There as of the last try.
    bool there() const noexcept { return there_; }
    /// Why not, and since when; before the first answer "not tried yet".
    const std::string& reason() const noexcept { return reason_; }
    WallTime since() const noexcept { return since_; }

 private:
    net::Context context_;
    External external_;
    bool there_ = false;
    bool tried_ = false;
    std::string reason_ = "not tried yet";
    WallTime since_{};
};

/// A try of a block that another process runs: GET /health where it has an address for that, else
/// nothing to try (the External's probe is empty then).
External external_of_block(const BlockConfig& block);

}  // namespace skywire::framework
