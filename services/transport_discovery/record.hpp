#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "transport/entry.hpp"

#include <string>
#include <string_view>

/// A transport as it is stored, and the keys it is stored under: the reference's layout, so that a
/// program of the existing network can share the database. spec/services-http.md section 4.3.
namespace skywire::tpd {

/// The value of `:tp:<uuid>`: a JSON object with id, edge_a, edge_b, type, label and last_update,
/// and our own `held`, which others pass over.
struct StoredTransport {
    transport::Entry entry;
    /// Of the last write, or sign of life of a held record; whole seconds.
    WallTime last_update{};
    bool held = false;

    bool operator==(const StoredTransport&) const = default;
};

std::string to_text(const StoredTransport& stored);

/// Reads what ours or the network's services have stored; members it does not know are passed over.
/// errc::malformed, also for an entry whose id is not that of its edges and type.
Result<StoredTransport> stored_transport(std::string_view text);

inline constexpr std::string_view kPrefix = "transport-discovery";

std::string transport_key(const transport::TransportId& id);
std::string edge_key(const crypto::PublicKey& edge);
/// The set of all ids.
std::string index_key();

}  // namespace skywire::tpd
