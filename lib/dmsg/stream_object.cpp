#include "dmsg/stream_object.hpp"

#include "base/assert.hpp"
#include "gob/decoder.hpp"
#include "gob/reader.hpp"
#include "gob/writer.hpp"

namespace skywire::gob {

template <>
struct Reads<crypto::PublicKey> {
    static constexpr Kind kKind = Kind::opaque;
    static Result<> read(const Value& value, crypto::PublicKey& into) {
        const auto key = crypto::PublicKey::from_bytes(*value.as_opaque());
        if (!key) return key.error();
        into = *key;
        return {};
    }
};

template <>
struct Reads<dmsg::Address> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, dmsg::Address& into) {
        StructReader in(value);
        in.field("PK", into.pk);
        in.field("Port", into.port);
        return in.finish();
    }
};

template <>
struct Reads<dmsg::StreamRequest> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, dmsg::StreamRequest& into) {
        StructReader in(value);
        in.field("Timestamp", into.timestamp);
        in.field("SrcAddr", into.source);
        in.field("DstAddr", into.destination);
        in.field("IPinfo", into.ip_info);
        in.field("GeoInfo", into.geo_info);
        in.field("NoiseMsg", into.noise_message);
        return in.finish();
    }
};

template <>
struct Reads<dmsg::StreamResponse> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, dmsg::StreamResponse& into) {
        StructReader in(value);
        in.field("ReqHash", into.request_hash);
        in.field("Accepted", into.accepted);
        in.field("IP", into.ip);
        in.field("GeoCountry", into.geo_country);
        in.field("GeoRegion", into.geo_region);
        in.field("GeoLat", into.geo_latitude);
        in.field("GeoLon", into.geo_longitude);
        in.field("ErrCode", into.error_code);
        in.field("NoiseMsg", into.noise_message);
        return in.finish();
    }
};

template <>
struct Reads<dmsg::PeerAnnounce> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, dmsg::PeerAnnounce& into) {
        StructReader in(value);
        in.field("Timestamp", into.timestamp);
        in.field("SrcPK", into.source);
        return in.finish();
    }
};

}  // namespace skywire::gob

namespace skywire::dmsg {
namespace {

// The numbers we give to types: what a fresh process of the network uses.
constexpr gob::TypeId kObject = 64;
constexpr gob::TypeId kObjectPart = 65;
constexpr gob::TypeId kPublicKey = 66;

/// An object fits into one record of a session; it needs four types today.
constexpr gob::Limits kLimits{
    .message_bytes = 65535,
    .nesting = 8,
    .values = 4096,
    .types = 32,
    .fields = 256,
    .name_bytes = 128,
};

gob::Type structure(std::string name, std::vector<gob::Field> fields) {
    gob::Type type;
    type.name = std::move(name);
    type.fields = std::move(fields);
    return type;
}

gob::Type public_key_type() {
    gob::Type type;
    type.kind = gob::Kind::opaque;
    type.name = "PubKey";
    return type;
}

Bytes request_definitions(Layout layout) {
    std::vector<gob::Field> fields{
        {"Timestamp", gob::kInt}, {"SrcAddr", kObjectPart}, {"DstAddr", kObjectPart}
    };
    if (layout == Layout::with_ip) {
        fields.push_back({"IPinfo", gob::kBool});
        fields.push_back({"GeoInfo", gob::kBool});
    }
    fields.push_back({"NoiseMsg", gob::kBytes});
    Bytes out;
    gob::write_definition(out, kObject, structure("StreamRequest", std::move(fields)));
    gob::write_definition(
        out, kObjectPart, structure("Addr", {{"PK", kPublicKey}, {"Port", gob::kUint}})
    );
    gob::write_definition(out, kPublicKey, public_key_type());
    return out;
}

Bytes response_definitions(Layout layout) {
    std::vector<gob::Field> fields{{"ReqHash", kObjectPart}, {"Accepted", gob::kBool}};
    if (layout == Layout::with_ip) {
        fields.push_back({"IP", gob::kBytes});
        fields.push_back({"GeoCountry", gob::kString});
        fields.push_back({"GeoRegion", gob::kString});
        fields.push_back({"GeoLat", gob::kFloat});
        fields.push_back({"GeoLon", gob::kFloat});
    }
    fields.push_back({"ErrCode", gob::kUint});
    fields.push_back({"NoiseMsg", gob::kBytes});
    gob::Type hash;
    hash.kind = gob::Kind::array;
    hash.name = "SHA256";
    hash.element = gob::kUint;
    hash.length = std::tuple_size_v<crypto::Digest>;
    Bytes out;
    gob::write_definition(out, kObject, structure("StreamResponse", std::move(fields)));
    gob::write_definition(out, kObjectPart, hash);
    return out;
}

Bytes announce_definitions() {
    Bytes out;
    gob::write_definition(
        out, kObject, structure("PeerAnnounce", {{"Timestamp", gob::kInt}, {"SrcPK", kObjectPart}})
    );
    gob::write_definition(out, kObjectPart, public_key_type());
    return out;
}

/// The null key is left out, as any zero.
ByteSpan key_bytes(const crypto::PublicKey& key) {
    return key.is_null() ? ByteSpan() : ByteSpan(key.bytes());
}

void write_address(Bytes& out, const Address& address) {
    gob::StructWriter fields(out);
    fields.bytes_field(0, key_bytes(address.pk));
    fields.uint_field(1, address.port);
    fields.finish();
}

template <class T>
Result<T> decode(ByteSpan payload, std::string_view what) {
    gob::Decoder decoder(kLimits);
    const auto value = decoder.first(payload);
    if (!value) return value.error().within(what);
    T object;
    if (auto done = gob::read(*value, object); !done) return done.error().within(what);
    return object;
}

Error refusal(Code code, std::string_view what) {
    return Error(code, fmt::format("{}: {}", make_error_code(code).message(), what));
}

Result<> check_members(const SignedObject& object, const StreamRequest& request) {
    if (request.source.pk.is_null()) return refusal(Code::request_source_key, "null");
    if (request.source.port == 0) return refusal(Code::request_source_port, "0");
    if (request.destination.pk.is_null()) return refusal(Code::request_destination_key, "null");
    if (request.destination.port == 0) return refusal(Code::request_destination_port, "0");
    if (request.timestamp <= 0) {
        return refusal(Code::request_timestamp, std::to_string(request.timestamp));
    }
    if (auto valid = object.verify(request.source.pk); !valid) {
        return refusal(Code::request_signature, valid.error().message());
    }
    return {};
}

}  // namespace

SignedObject SignedObject::sign(ByteSpan payload, const crypto::SecretKey& secret_key) {
    SKY_ASSERT(!payload.empty());
    const auto signature = crypto::sign(secret_key, payload);
    Bytes bytes;
    bytes.reserve(crypto::Signature::kSize + payload.size());
    bytes.insert(bytes.end(), signature.bytes().begin(), signature.bytes().end());
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return SignedObject(std::move(bytes));
}

Result<SignedObject> SignedObject::from_bytes(Bytes bytes) {
    if (bytes.size() <= crypto::Signature::kSize) {
        return refusal(Code::signed_object_invalid, fmt::format("{} bytes", bytes.size()));
    }
    return SignedObject(std::move(bytes));
}

crypto::Signature SignedObject::signature() const {
    return *crypto::Signature::from_bytes(ByteSpan(bytes_).first(crypto::Signature::kSize));
}

Result<> SignedObject::verify(const crypto::PublicKey& signer) const {
    return crypto::verify(signer, payload(), signature());
}

Layout StreamResponse::layout() const noexcept {
    const bool basic = ip.empty() && geo_country.empty() && geo_region.empty() &&
                       geo_latitude == 0 && geo_longitude == 0;
    return basic ? Layout::basic : Layout::with_ip;
}

Bytes encode(const StreamRequest& request, Layout layout) {
    SKY_ASSERT(layout == Layout::with_ip || request.layout() == Layout::basic);
    static const Bytes basic = request_definitions(Layout::basic);
    static const Bytes with_ip = request_definitions(Layout::with_ip);
    Bytes body;
    gob::StructWriter fields(body);
    fields.int_field(0, request.timestamp);
    fields.begin(1);
    write_address(body, request.source);
    fields.begin(2);
    write_address(body, request.destination);
    if (layout == Layout::with_ip) {
        fields.bool_field(3, request.ip_info);
        fields.bool_field(4, request.geo_info);
    }
    fields.bytes_field(layout == Layout::with_ip ? 5 : 3, request.noise_message);
    fields.finish();
    Bytes out = layout == Layout::with_ip ? with_ip : basic;
    gob::write_value(out, kObject, body);
    return out;
}

Bytes encode(const StreamResponse& response, Layout layout) {
    SKY_ASSERT(layout == Layout::with_ip || response.layout() == Layout::basic);
    static const Bytes basic = response_definitions(Layout::basic);
    static const Bytes with_ip = response_definitions(Layout::with_ip);
    Bytes body;
    gob::StructWriter fields(body);
    fields.begin(0);
    gob::write_byte_array(body, response.request_hash);
    fields.bool_field(1, response.accepted);
    if (layout == Layout::with_ip) {
        fields.bytes_field(2, response.ip);
        fields.text_field(3, response.geo_country);
        fields.text_field(4, response.geo_region);
        fields.float_field(5, response.geo_latitude);
        fields.float_field(6, response.geo_longitude);
    }
    fields.uint_field(layout == Layout::with_ip ? 7 : 2, response.error_code);
    fields.bytes_field(layout == Layout::with_ip ? 8 : 3, response.noise_message);
    fields.finish();
    Bytes out = layout == Layout::with_ip ? with_ip : basic;
    gob::write_value(out, kObject, body);
    return out;
}

Bytes encode(const PeerAnnounce& announce) {
    static const Bytes definitions = announce_definitions();
    Bytes body;
    gob::StructWriter fields(body);
    fields.int_field(0, announce.timestamp);
    fields.bytes_field(1, key_bytes(announce.source));
    fields.finish();
    Bytes out = definitions;
    gob::write_value(out, kObject, body);
    return out;
}

Result<StreamRequest> decode_request(ByteSpan payload) {
    return decode<StreamRequest>(payload, "stream request");
}

Result<StreamResponse> decode_response(ByteSpan payload) {
    return decode<StreamResponse>(payload, "stream response");
}

Result<PeerAnnounce> decode_announce(ByteSpan payload) {
    return decode<PeerAnnounce>(payload, "peer announcement");
}

Result<> check_request_at_server(
    const SignedObject& object, const StreamRequest& request, const RequestOrigin& origin
) {
    if (auto right = check_members(object, request); !right) return right;
    if (!origin.peer_server && request.source.pk != origin.session_key) {
        return refusal(
            Code::request_source_key,
            fmt::format("{} in a session of {}", request.source.pk, origin.session_key)
        );
    }
    return {};
}

Result<> check_request_at_responder(
    const SignedObject& object, const StreamRequest& request, const crypto::PublicKey& own_key
) {
    if (auto right = check_members(object, request); !right) return right;
    if (request.destination.pk != own_key) {
        return refusal(
            Code::request_destination_key,
            fmt::format("{} where {} is", request.destination.pk, own_key)
        );
    }
    return {};
}

Result<> check_response(
    const SignedObject& object, const StreamResponse& response, const ResponseOrigin& origin
) {
    if (response.request_hash != origin.request_hash) {
        return refusal(
            Code::response_hash,
            fmt::format(
                "{} to request {}", to_hex(response.request_hash), to_hex(origin.request_hash)
            )
        );
    }
    if (auto valid = object.verify(origin.signer); !valid) {
        return refusal(Code::response_signature, valid.error().message());
    }
    if (response.accepted) return {};
    // A number that is not in the table is still the peer's answer: printed as it is.
    if (response.error_code != 0) return Error(static_cast<Code>(response.error_code));
    return Error(Code::response_rejected);
}

Result<> check_announce(
    const SignedObject& object, const PeerAnnounce& announce, const crypto::PublicKey& session_key
) {
    if (announce.source.is_null() || announce.source != session_key) {
        return refusal(
            Code::request_source_key,
            fmt::format("{} in a session of {}", announce.source, session_key)
        );
    }
    if (announce.timestamp <= 0) {
        return refusal(Code::request_timestamp, std::to_string(announce.timestamp));
    }
    if (auto valid = object.verify(session_key); !valid) {
        return refusal(Code::request_signature, valid.error().message());
    }
    return {};
}

std::string_view refusal_reason(const ErrorCode& code) noexcept {
    if (code.category() == code_category()) return reason(static_cast<Code>(code.value()));
    if (code.category() == gob::gob_category()) {
        return gob::reason(static_cast<gob::errc>(code.value()));
    }
    if (code.category() == crypto::crypto_category()) return "invalid_key";
    return "unknown";
}

}  // namespace skywire::dmsg
