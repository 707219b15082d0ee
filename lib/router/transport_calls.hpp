#pragma once

#include "crypto/keys.hpp"
#include "gob/reader.hpp"
#include "rpc/message.hpp"
#include "transport/id.hpp"

#include <string>
#include <string_view>
#include <vector>

/// The calls by which a transport-setup node makes and removes transports of a visor.
/// spec/visor.md section 10.4; bytes: vectors/visor/gob_rpc.json.
namespace skywire::router {

using transport::TransportId;

/// The dmsg port of visors.
constexpr std::uint16_t kTransportSetupPort = 47;

/// TransportRequest -> TransportResponse.
constexpr std::string_view kAddTransport = "TransportGateway.AddTransport";
/// UuidRequest -> BoolResponse.
constexpr std::string_view kRemoveTransport = "TransportGateway.RemoveTransport";
/// rpc::Nothing -> TransportResponses.
constexpr std::string_view kGetTransports = "TransportGateway.GetTransports";

struct TransportRequest {
    crypto::PublicKey remote;
    /// "stcpr"
    std::string type;
};

struct TransportResponse {
    TransportId id;
    crypto::PublicKey local;
    crypto::PublicKey remote;
    std::string type;

    friend bool operator==(const TransportResponse&, const TransportResponse&) = default;
};

struct TransportResponses {
    std::vector<TransportResponse> transports;
};

struct UuidRequest {
    TransportId id;
};

struct BoolResponse {
    bool result = false;
};

}  // namespace skywire::router

namespace skywire::rpc {

template <>
struct Writes<router::TransportRequest> {
    static constexpr gob::TypeId kType = 76;
    static const Types& types();
    static void write(Bytes& out, const router::TransportRequest& value);
};

template <>
struct Writes<router::TransportResponse> {
    static constexpr gob::TypeId kType = 77;
    static const Types& types();
    static void write(Bytes& out, const router::TransportResponse& value);
};

template <>
struct Writes<router::UuidRequest> {
    static constexpr gob::TypeId kType = 78;
    static const Types& types();
    static void write(Bytes& out, const router::UuidRequest& value);
};

template <>
struct Writes<router::BoolResponse> {
    static constexpr gob::TypeId kType = 79;
    static const Types& types();
    static void write(Bytes& out, const router::BoolResponse& value);
};

template <>
struct Writes<router::TransportResponses> {
    static constexpr gob::TypeId kType = 80;
    static const Types& types();
    static void write(Bytes& out, const router::TransportResponses& value);
};

}  // namespace skywire::rpc

namespace skywire::gob {

template <>
struct Reads<router::TransportRequest> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, router::TransportRequest& into);
};

template <>
struct Reads<router::TransportResponse> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, router::TransportResponse& into);
};

template <>
struct Reads<router::UuidRequest> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, router::UuidRequest& into);
};

template <>
struct Reads<router::BoolResponse> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, router::BoolResponse& into);
};

/// At most 65536.
template <>
struct Reads<router::TransportResponses> {
    static constexpr Kind kKind = Kind::slice;
    static Result<> read(const Value& value, router::TransportResponses& into);
};

}  // namespace skywire::gob
