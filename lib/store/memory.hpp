#pragma once

#include "net/context.hpp"
#include "store/store.hpp"

#include <memory>

namespace skywire::store {

struct MemoryLimits {
    /// Keys, set members and counters together; a change beyond it answers errc::limit_reached.
    std::size_t entries_max = 1'000'000;
};

/// A Store in memory, on context.loop. Expired keys are gone for readers at once and are freed
/// little by little as the store is used. The fault point "store" fails its calls.
std::unique_ptr<Store> make_memory_store(const net::Context& context, MemoryLimits limits = {});

}  // namespace skywire::store
