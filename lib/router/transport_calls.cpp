#include "router/transport_calls.hpp"

#include "router/detail/wire.hpp"

namespace skywire::gob {
namespace {

using router::detail::WireId;
using router::detail::WireKey;

constexpr std::size_t kTransportsMax = 65536;

}  // namespace

Result<> Reads<router::TransportRequest>::read(const Value& value, router::TransportRequest& into) {
    WireKey remote;
    StructReader in(value);
    in.field("RemotePK", remote);
    in.field("Type", into.type);
    into.remote = remote.key;
    return in.finish();
}

Result<> Reads<router::TransportResponse>::read(
    const Value& value, router::TransportResponse& into
) {
    WireId id;
    WireKey local;
    WireKey remote;
    StructReader in(value);
    in.field("ID", id);
    in.field("Local", local);
    in.field("Remote", remote);
    in.field("Type", into.type);
    into.id = id.id;
    into.local = local.key;
    into.remote = remote.key;
    return in.finish();
}

Result<> Reads<router::UuidRequest>::read(const Value& value, router::UuidRequest& into) {
    WireId id;
    StructReader in(value);
    in.field("ID", id);
    into.id = id.id;
    return in.finish();
}

Result<> Reads<router::BoolResponse>::read(const Value& value, router::BoolResponse& into) {
    StructReader in(value);
    in.field("Result", into.result);
    return in.finish();
}

Result<> Reads<router::TransportResponses>::read(
    const Value& value, router::TransportResponses& into
) {
    const std::size_t count = value.elements()->left();
    if (count > kTransportsMax)
        return Error(errc::out_of_range, fmt::format("a list of {} transports", count));
    return Reads<std::vector<router::TransportResponse>>::read(value, into.transports);
}

}  // namespace skywire::gob

namespace skywire::rpc {

using namespace router::detail;

namespace {

gob::Type response_type() {
    return structure(
        "TransportResponse",
        {{"ID", kUuidType}, {"Local", kKeyType}, {"Remote", kKeyType}, {"Type", gob::kString}}
    );
}

}  // namespace

const Types& Writes<router::TransportRequest>::types() {
    static const Types types{
        {kType, structure("TransportRequest", {{"RemotePK", kKeyType}, {"Type", gob::kString}})},
        {kKeyType, opaque("PubKey")},
    };
    return types;
}

void Writes<router::TransportRequest>::write(Bytes& out, const router::TransportRequest& value) {
    gob::StructWriter fields(out);
    key_field(fields, 0, value.remote);
    fields.text_field(1, value.type);
    fields.finish();
}

const Types& Writes<router::TransportResponse>::types() {
    static const Types types{
        {kType, response_type()},
        {kUuidType, opaque("UUID")},
        {kKeyType, opaque("PubKey")},
    };
    return types;
}

void Writes<router::TransportResponse>::write(Bytes& out, const router::TransportResponse& value) {
    gob::StructWriter fields(out);
    id_field(fields, 0, value.id);
    key_field(fields, 1, value.local);
    key_field(fields, 2, value.remote);
    fields.text_field(3, value.type);
    fields.finish();
}

const Types& Writes<router::UuidRequest>::types() {
    static const Types types{
        {kType, structure("UUIDRequest", {{"ID", kUuidType}})},
        {kUuidType, opaque("UUID")},
    };
    return types;
}

void Writes<router::UuidRequest>::write(Bytes& out, const router::UuidRequest& value) {
    gob::StructWriter fields(out);
    id_field(fields, 0, value.id);
    fields.finish();
}

const Types& Writes<router::BoolResponse>::types() {
    static const Types types{{kType, structure("BoolResponse", {{"Result", gob::kBool}})}};
    return types;
}

void Writes<router::BoolResponse>::write(Bytes& out, const router::BoolResponse& value) {
    gob::StructWriter fields(out);
    fields.bool_field(0, value.result);
    fields.finish();
}

const Types& Writes<router::TransportResponses>::types() {
    static const Types types{
        {kType, list_of(Writes<router::TransportResponse>::kType)},
        {Writes<router::TransportResponse>::kType, response_type()},
        {kUuidType, opaque("UUID")},
        {kKeyType, opaque("PubKey")},
    };
    return types;
}

void Writes<router::TransportResponses>::write(
    Bytes& out, const router::TransportResponses& value
) {
    gob::write_uint(out, value.transports.size());
    for (const router::TransportResponse& transport : value.transports)
        Writes<router::TransportResponse>::write(out, transport);
}

}  // namespace skywire::rpc
