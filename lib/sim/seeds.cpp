#include "sim/seeds.hpp"

#include "base/random.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

namespace skywire::sim {
namespace {

/// A number from the environment; throws where it is none.
std::optional<std::uint64_t> number_of(const char* variable) {
    const char* text = std::getenv(variable);
    if (text == nullptr || *text == '\0') return std::nullopt;
    std::uint64_t value = 0;
    const char* end = text + std::strlen(text);
    const auto [stopped, ec] = std::from_chars(text, end, value);
    if (ec != std::errc() || stopped != end) {
        throw std::runtime_error(fmt::format("{}={} is not a number", variable, text));
    }
    return value;
}

}  // namespace

std::vector<std::uint64_t> seeds(std::size_t count) {
    if (const auto one = number_of("SKYWIRE_SIM_SEED")) return {*one};
    std::vector<std::uint64_t> all;
    for (std::uint64_t seed = 1; seed <= count; ++seed)
        all.push_back(seed);
    SystemRandom random;
    const auto from = number_of("SKYWIRE_SIM_FROM");
    const std::uint64_t more = number_of("SKYWIRE_SIM_RUNS").value_or(0);
    for (std::uint64_t i = 0; i < more; ++i)
        all.push_back(from ? *from + i : random.next_u64());
    return all;
}

std::string replay_hint(std::uint64_t seed) {
    return fmt::format("SKYWIRE_SIM_SEED={} runs this again", seed);
}

void report(std::uint64_t seed, std::string_view what) {
    if (number_of("SKYWIRE_SIM_REPORT").value_or(0) == 0) return;
    fmt::print("seed {}: {}\n", seed, what);
}

}  // namespace skywire::sim
