#pragma once

#include "base/test.hpp"
#include "net/test_loop.hpp"
#include "store/store.hpp"

#include <functional>

namespace skywire::store {

/// What every Store does alike. `store` is empty before; each test uses keys of its own.
void check_store_behaviour(net::TestLoop& loop, Store& store);

/// One change that must be applied.
void must_apply(net::TestLoop& loop, Store& store, Change change);

/// A batch of one value.
Batch one_value(std::string key, std::string value, Duration ttl = Duration(0));

/// Sets faults by the name of their point.
class TestFaults : public Faults {
 public:
    Result<> check(std::string_view point, std::string_view subject) override {
        if (point != failing_point) return {};
        seen_subject = subject;
        return fail(errc::injected, "a test says no");
    }
    std::string failing_point;
    std::string seen_subject;
};

}  // namespace skywire::store
