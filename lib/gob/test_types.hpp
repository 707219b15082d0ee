#pragma once

#include "gob/type.hpp"

#include <string>
#include <utility>
#include <vector>

/// Types as a peer defines them, for tests.
namespace skywire::gob::test {

inline Type structure(std::string name, std::vector<gob::Field> fields) {
    Type type;
    type.name = std::move(name);
    type.fields = std::move(fields);
    return type;
}

inline Type list_of(TypeId element) {
    Type type;
    type.kind = Kind::slice;
    type.element = element;
    return type;
}

inline Type map_of(TypeId key, TypeId element) {
    Type type;
    type.kind = Kind::map;
    type.key = key;
    type.element = element;
    return type;
}

inline Type array_of(TypeId element, std::uint64_t length) {
    Type type;
    type.kind = Kind::array;
    type.element = element;
    type.length = length;
    return type;
}

}  // namespace skywire::gob::test
