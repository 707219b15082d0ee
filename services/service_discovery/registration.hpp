#pragma once

#include "services/service_discovery/entry.hpp"

#include <optional>
#include <string_view>

/// Which entries are taken: spec/services-http.md section 5.3. No I/O.
namespace skywire::service_discovery {

/// Why an entry is not taken.
struct RegistrationRefusal {
    /// As it is counted.
    std::string_view outcome;
    /// As it is answered.
    unsigned status = 0;
    std::string_view message;
};

/// What an entry may have at most, so that a key cannot fill the store: 16 KiB, with a type of 128
/// bytes.
bool too_large(const Entry& entry);

/// Judges the entry of `caller`, whose address as others see it is `ip`, once its place has been
/// looked up. Nothing: it may be stored.
std::optional<RegistrationRefusal> judge_registration(
    const Entry& entry, const crypto::PublicKey& caller, std::string_view ip
);

}  // namespace skywire::service_discovery
