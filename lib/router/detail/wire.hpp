#pragma once

#include "crypto/keys.hpp"
#include "gob/reader.hpp"
#include "gob/writer.hpp"
#include "rpc/message.hpp"
#include "transport/id.hpp"

#include <algorithm>

/// Keys and ids as values with an encoder of their own, and the types that several calls share.
namespace skywire::router::detail {

using transport::TransportId;

/// Null where it is not sent.
struct WireKey {
    crypto::PublicKey key;
};
struct WireId {
    TransportId id;
};

constexpr gob::TypeId kDescriptorType = 69;
constexpr gob::TypeId kHopType = 72;
constexpr gob::TypeId kUuidType = 73;
constexpr gob::TypeId kKeyType = 74;
constexpr gob::TypeId kHopsType = 75;

inline gob::Type structure(std::string name, std::vector<gob::Field> fields) {
    gob::Type type;
    type.name = std::move(name);
    type.fields = std::move(fields);
    return type;
}

inline gob::Type list_of(gob::TypeId element, std::string name = {}) {
    gob::Type type;
    type.kind = gob::Kind::slice;
    type.name = std::move(name);
    type.element = element;
    return type;
}

inline gob::Type opaque(std::string name) {
    gob::Type type;
    type.kind = gob::Kind::opaque;
    type.name = std::move(name);
    return type;
}

inline void key_field(gob::StructWriter& fields, std::size_t index, const crypto::PublicKey& key) {
    if (!key.is_null()) fields.bytes_field(index, key.bytes());
}

inline void id_field(gob::StructWriter& fields, std::size_t index, const TransportId& id) {
    if (id != TransportId()) fields.bytes_field(index, id.bytes);
}

}  // namespace skywire::router::detail

namespace skywire::gob {

template <>
struct Reads<router::detail::WireKey> {
    static constexpr Kind kKind = Kind::opaque;
    static Result<> read(const Value& value, router::detail::WireKey& into) {
        const auto key = crypto::PublicKey::from_bytes(*value.as_opaque());
        if (!key) return key.error();
        into.key = *key;
        return {};
    }
};

template <>
struct Reads<router::detail::WireId> {
    static constexpr Kind kKind = Kind::opaque;
    static Result<> read(const Value& value, router::detail::WireId& into) {
        const ByteSpan bytes = *value.as_opaque();
        if (bytes.size() != into.id.bytes.size())
            return Error(errc::out_of_range, fmt::format("a UUID of {} bytes", bytes.size()));
        std::copy(bytes.begin(), bytes.end(), into.id.bytes.begin());
        return {};
    }
};

}  // namespace skywire::gob
