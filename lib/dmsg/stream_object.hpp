#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "crypto/hash.hpp"
#include "crypto/keys.hpp"
#include "crypto/signature.hpp"
#include "dmsg/address.hpp"
#include "dmsg/code.hpp"

#include <cstdint>
#include <string>
#include <string_view>

/// The objects that set a stream up: one request, one response, each a gob value with a signature
/// before it. spec/dmsg.md sections 7, 8 and 14. A core: no I/O, no clock, no sessions.
///
/// A receiver keeps the bytes: hashing and forwarding take them as they came. Hence SignedObject
/// holds bytes, and requests and responses are read out of it.
namespace skywire::dmsg {

/// A signature and what it covers.
class SignedObject {
 public:
    /// Signs `payload`.
    static SignedObject sign(ByteSpan payload, const crypto::SecretKey& secret_key);

    /// Received bytes, as they are. Code::signed_object_invalid where nothing stands behind the
    /// signature.
    static Result<SignedObject> from_bytes(Bytes bytes);

    /// What travels.
    const Bytes& bytes() const noexcept { return bytes_; }
    ByteSpan payload() const noexcept { return ByteSpan(bytes_).subspan(crypto::Signature::kSize); }
    crypto::Signature signature() const;

    /// SHA-256 of all bytes: what a response calls the request's hash.
    crypto::Digest hash() const { return crypto::sha256(bytes_); }

    /// Success where `signer` signed the payload; crypto's errors. About 42 us.
    [[nodiscard]] Result<> verify(const crypto::PublicKey& signer) const;

    friend bool operator==(const SignedObject&, const SignedObject&) = default;

 private:
    explicit SignedObject(Bytes bytes) : bytes_(std::move(bytes)) {}

    Bytes bytes_;
};

/// Which members a written object declares. Readers take either and any other.
enum class Layout {
    /// Of 2023 and 2025.
    basic,
    /// Of 2026: IP look-ups and their answers.
    with_ip,
};

/// Asks the destination for a stream, or (with `ip_info`) a server for the address it sees us at.
struct StreamRequest {
    /// Nanoseconds since 1970.
    std::int64_t timestamp = 0;
    Address source;
    Address destination;
    bool ip_info = false;
    /// With `ip_info`: the place of that address too.
    bool geo_info = false;
    /// Message 1 of the KK handshake.
    Bytes noise_message;

    /// The layout its members need.
    Layout layout() const noexcept { return ip_info || geo_info ? Layout::with_ip : Layout::basic; }

    friend bool operator==(const StreamRequest&, const StreamRequest&) = default;
};

struct StreamResponse {
    /// SignedObject::hash of the request.
    crypto::Digest request_hash{};
    bool accepted = false;
    /// Of an answer to an IP look-up: 4 or 16 bytes; a peer may send any number.
    Bytes ip;
    std::string geo_country;
    std::string geo_region;
    double geo_latitude = 0;
    double geo_longitude = 0;
    /// A `Code` where the request is refused; 0: no reason given.
    std::uint16_t error_code = 0;
    /// Message 2 of the KK handshake.
    Bytes noise_message;

    Layout layout() const noexcept;

    friend bool operator==(const StreamResponse&, const StreamResponse&) = default;
};

/// A server tells the server it has dialled that it is one. Section 14.
struct PeerAnnounce {
    std::int64_t timestamp = 0;
    crypto::PublicKey source;

    friend bool operator==(const PeerAnnounce&, const PeerAnnounce&) = default;
};

/// The payload to sign. `layout` must have room for the members that are set.
Bytes encode(const StreamRequest& request, Layout layout);
Bytes encode(const StreamResponse& response, Layout layout);
Bytes encode(const PeerAnnounce& announce);

/// In the layout that the members need.
inline Bytes encode(const StreamRequest& request) {
    return encode(request, request.layout());
}
inline Bytes encode(const StreamResponse& response) {
    return encode(response, response.layout());
}

/// Payloads of any vintage: members are found by name, in any order, unknown ones passed over,
/// missing ones zero. gob's errors, crypto's for a key that is no point. Signatures are not looked
/// at: that is what the checks below do.
Result<StreamRequest> decode_request(ByteSpan payload);
Result<StreamResponse> decode_response(ByteSpan payload);
/// Ordinary requests are announcements with a null key: check before believing.
Result<PeerAnnounce> decode_announce(ByteSpan payload);

/// Whom a server got the request from.
struct RequestOrigin {
    /// The session's key.
    crypto::PublicKey session_key;
    /// The session is another server's: requests are its clients'.
    bool peer_server = false;
};

/// What a server demands before it forwards or answers, in the network's order:
/// Code::request_source_key, request_source_port, request_destination_key,
/// request_destination_port, request_timestamp, request_signature, and at last
/// request_source_key again where the source is not the session's key. `request` is read from
/// `object`.
[[nodiscard]] Result<> check_request_at_server(
    const SignedObject& object, const StreamRequest& request, const RequestOrigin& origin
);

/// What a responder demands: the same, and at last Code::request_destination_key where the
/// destination is not `own_key`.
[[nodiscard]] Result<> check_request_at_responder(
    const SignedObject& object, const StreamRequest& request, const crypto::PublicKey& own_key
);

/// Of what the response is the answer to.
struct ResponseOrigin {
    /// SignedObject::hash of the request.
    crypto::Digest request_hash{};
    /// The request's destination.
    crypto::PublicKey signer;
};

/// What a dialer and a server between demand, in the network's order: Code::response_hash,
/// response_signature, and for a refusal its own error code or response_rejected.
[[nodiscard]] Result<> check_response(
    const SignedObject& object, const StreamResponse& response, const ResponseOrigin& origin
);

/// Success where the object is `session_key`'s announcement; Code::request_source_key,
/// request_timestamp, request_signature.
[[nodiscard]] Result<> check_announce(
    const SignedObject& object, const PeerAnnounce& announce, const crypto::PublicKey& session_key
);

/// The `reason` label for an object that was refused by any function above: of Code or of gob's
/// errors, "invalid_key" for a key that is no point.
std::string_view refusal_reason(const ErrorCode& code) noexcept;

}  // namespace skywire::dmsg
