#pragma once

#include "crypto/keys.hpp"
#include "transport/entry.hpp"

#include <string>

/// For tests: visors that always have the same keys.
namespace skywire::network_visualizer {

inline crypto::PublicKey visor(int number) {
    return crypto::deterministic_key_pair("visor " + std::to_string(number)).public_key;
}

inline std::string key_text(int number) {
    return visor(number).to_text();
}

inline transport::Entry joins(int a, int b) {
    return transport::make_entry(visor(a), visor(b), transport::kStcpr, transport::kLabelAutomatic);
}

}  // namespace skywire::network_visualizer
