#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace skywire::sim {

/// The seeds of a test: SKYWIRE_SIM_SEED alone where it is set; else 1 to `count`, and with
/// SKYWIRE_SIM_RUNS=N another N: from SKYWIRE_SIM_FROM on where that is set, else such as nobody
/// has seen before. Throws where a variable is no number.
std::vector<std::uint64_t> seeds(std::size_t count);

/// Tells how to run a failed seed again.
std::string replay_hint(std::uint64_t seed);

/// Prints a line about a seed's run where SKYWIRE_SIM_REPORT=1 asks for it: whether it was hard
/// enough, say.
void report(std::uint64_t seed, std::string_view what);

}  // namespace skywire::sim
