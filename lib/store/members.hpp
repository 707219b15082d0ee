#pragma once

#include "store/store.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

/// The network's way to keep a list: a set of names, and a value for each name under a key of its
/// own, which may end by itself. Work on a whole list is done in pieces (pieces.hpp), between which
/// others on the loop have their turn. `store` outlives the tasks; their errors are the store's.
namespace skywire::store {

/// The key of a member's value.
using KeyOfMember = std::function<std::string(std::string_view member)>;

/// Told of a member and its value; nothing where there is none.
using TakeMember = std::function<void(std::string member, std::optional<std::string> value)>;

/// Reads the values of all members. Where it fails some have been taken.
Task<Result<>> read_members(Store& store, std::string set, KeyOfMember key_of, TakeMember take);

/// Takes the members without a value off the set, unless they get one meanwhile; how many have one.
Task<Result<std::size_t>> sweep_members(Store& store, std::string set, KeyOfMember key_of);

}  // namespace skywire::store
