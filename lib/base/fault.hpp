#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"

#include <string_view>

namespace skywire {

/// Points at which a test makes the code fail. A point is named by what would go wrong there
/// ("bind", "store", "start", "stop", "crash"), its subject is the address or the service.
/// Safe to call from any thread.
class Faults {
 public:
    virtual ~Faults() = default;

    /// The failure a test has set here, or success. Production answers success without a look-up.
    virtual Result<> check(std::string_view, std::string_view) { return {}; }

    /// How long a test holds the code up here ("slow start", "slow stop"), or zero.
    virtual Duration delay(std::string_view, std::string_view) { return Duration(0); }
};

}  // namespace skywire
