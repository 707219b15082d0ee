#pragma once

#include "gob/reader.hpp"
#include "router/route_setup.hpp"
#include "rpc/message.hpp"

#include <string_view>
#include <vector>

/// The calls of route set-up as they travel: visors to setup-nodes, setup-nodes to visors.
/// spec/visor.md section 10.4; bytes: vectors/visor/gob_rpc.json.
namespace skywire::router {

/// dmsg ports.
constexpr std::uint16_t kSetupNodePort = 36;
constexpr std::uint16_t kVisorSetupPort = 136;

/// Served by setup-nodes: BidirectionalRoute -> EdgeRules (the initiator's).
constexpr std::string_view kDialRouteGroup = "SetupRPCGateway.DialRouteGroup";

/// Served by visors. uint64 (at most 255) -> RouteIds.
constexpr std::string_view kReserveIds = "RPCGateway.ReserveIDs";
/// IntermediaryRules -> bool.
constexpr std::string_view kAddIntermediaryRules = "RPCGateway.AddIntermediaryRules";
/// EdgeRules (the responder's) -> bool.
constexpr std::string_view kAddEdgeRules = "RPCGateway.AddEdgeRules";
/// RouteIds -> bool. Visors of 2024 do not have it.
constexpr std::string_view kDelRules = "RPCGateway.DelRules";

struct RouteIds {
    std::vector<RouteId> ids;
};

struct IntermediaryRules {
    std::vector<IntermediaryRule> rules;
};

}  // namespace skywire::router

namespace skywire::rpc {

template <>
struct Writes<router::RouteIds> {
    static constexpr gob::TypeId kType = 66;
    static const Types& types();
    static void write(Bytes& out, const router::RouteIds& value);
};

template <>
struct Writes<router::IntermediaryRules> {
    static constexpr gob::TypeId kType = 67;
    static const Types& types();
    static void write(Bytes& out, const router::IntermediaryRules& value);
};

template <>
struct Writes<router::EdgeRules> {
    static constexpr gob::TypeId kType = 68;
    static const Types& types();
    static void write(Bytes& out, const router::EdgeRules& value);
};

template <>
struct Writes<router::BidirectionalRoute> {
    static constexpr gob::TypeId kType = 71;
    static const Types& types();
    static void write(Bytes& out, const router::BidirectionalRoute& value);
};

}  // namespace skywire::rpc

namespace skywire::gob {

/// At most 255, as many as can be asked for at once.
template <>
struct Reads<router::RouteIds> {
    static constexpr Kind kKind = Kind::slice;
    static Result<> read(const Value& value, router::RouteIds& into);
};

/// At most 255.
template <>
struct Reads<router::IntermediaryRules> {
    static constexpr Kind kKind = Kind::slice;
    static Result<> read(const Value& value, router::IntermediaryRules& into);
};

template <>
struct Reads<router::EdgeRules> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, router::EdgeRules& into);
};

/// As sent: `router::check_route` judges it. At most 1000 hops each way.
template <>
struct Reads<router::BidirectionalRoute> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, router::BidirectionalRoute& into);
};

}  // namespace skywire::gob
