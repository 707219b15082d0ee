#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "dmsg/entry.hpp"

#include <string_view>

/// What a discovery asks of an entry before it stores or deletes one. Pure functions; each returns
/// the first rule that is broken, in the network's order. spec/dmsg.md section 11.
namespace skywire::dmsg {

/// How far an entry's timestamp may lie from now, where it is compared.
inline constexpr Duration kEntryAgeMax = std::chrono::seconds(60);
inline constexpr Duration kEntryAheadMax = std::chrono::seconds(5);

struct EntryRules {
    WallTime now;
    /// Loopback addresses of servers pass.
    bool test_mode = false;
    /// Neither timestamps nor signatures are looked at.
    bool load_testing = false;
};

/// What holds without knowing the stored entry: loopback address, version, signature present,
/// static key, role, server address, timestamp (only where there is no client part), signature.
/// errc:: loopback_address, no_version, no_signature, no_static_key, no_role, no_server_address,
/// outdated_timestamp, invalid_signature.
[[nodiscard]] Result<> check_entry(const ReceivedEntry& received, const EntryRules& rules);

/// What an entry must have above the one that is stored under its key: a larger sequence, and a
/// timestamp not below. errc::wrong_sequence, older_timestamp.
[[nodiscard]] Result<> check_update(const Entry& stored, const Entry& next);

/// The host of "host:port" is empty or a loopback IP literal. Names, and texts that are no
/// "host:port", are not.
bool is_loopback_address(std::string_view address);

}  // namespace skywire::dmsg
