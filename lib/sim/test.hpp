#pragma once

#include "base/test.hpp"
#include "sim/seeds.hpp"
#include "sim/world.hpp"

namespace skywire::sim {

/// Calls `run(seed)` for each of `seeds(count)`. A failed check shows its seed.
template <class Run>
void for_each_seed(std::size_t count, Run&& run) {
    for (const std::uint64_t seed : seeds(count)) {
        INFO(replay_hint(seed));
        run(seed);
    }
}

}  // namespace skywire::sim
