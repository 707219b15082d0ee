#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"

#include <cstddef>
#include <deque>
#include <map>

namespace skywire::setup_node {

/// Leaves destinations in peace that fail again and again: after so many failures in a while they
/// are not asked for some time, and for twice as long where the next try fails, too. No I/O.
/// spec/visor.md section 10.5.
class Breakers {
 public:
    struct Options {
        std::size_t failures = 5;
        Duration within{std::chrono::minutes(5)};
        Duration open_min{std::chrono::seconds(60)};
        Duration open_max{std::chrono::minutes(10)};
        /// Destinations that are remembered; the one that failed longest ago is forgotten first.
        std::size_t destinations_max = 512;
    };

    explicit Breakers(Options options) : options_(options) {}
    Breakers() : Breakers(Options()) {}

    /// Whether this destination is not to be asked now.
    bool open(const crypto::PublicKey& destination, SteadyTime now) const;

    void failed(const crypto::PublicKey& destination, SteadyTime now);
    void succeeded(const crypto::PublicKey& destination) { states_.erase(destination); }

    std::size_t size() const noexcept { return states_.size(); }

 private:
    struct State {
        /// Of failures, the oldest first.
        std::deque<SteadyTime> failures;
        SteadyTime open_until{};
        Duration next_open{0};
    };

    void make_room();

    Options options_;
    std::map<crypto::PublicKey, State> states_;
};

}  // namespace skywire::setup_node
