#pragma once

#include "base/result.hpp"
#include "crypto/keys.hpp"
#include "router/transport_calls.hpp"

#include <string>
#include <string_view>

/// The bodies that transport-setup takes and gives, as JSON. No I/O. spec/services-http.md
/// section 9.
namespace skywire::transport_setup {

struct AddRequest {
    crypto::PublicKey from;
    crypto::PublicKey to;
    std::string type;
};

struct RemoveRequest {
    crypto::PublicKey from;
    router::TransportId id;
};

/// Members in any order and any letter case of their names, the last of several wins; unknown ones
/// are refused; what stands behind the object is not looked at. The error's `message()` is the text
/// that the network answers with: of its decoder, or of its check for what is missing.
Result<AddRequest> read_add(std::string_view body);
Result<RemoveRequest> read_remove(std::string_view body);

/// {"ID":...,"Local":...,"Remote":...,"Type":...}
std::string to_json(const router::TransportResponse& transport);
/// An array of those.
std::string to_json(const router::TransportResponses& transports);

}  // namespace skywire::transport_setup
