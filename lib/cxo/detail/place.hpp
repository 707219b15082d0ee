#pragma once

#include "cxo/object.hpp"
#include "cxo/tree.hpp"

#include <string>
#include <string_view>

/// Places in a tree of objects.
namespace skywire::cxo::detail {

/// The list of a directory, which is a node or its entry; null where it is empty, and for a leaf.
const Object* list_of(const Object& object) noexcept;

/// The entry at the path, the root itself for "", or null.
const Object* find_place(const Object& root, std::string_view path) noexcept;

/// All leaves at or below, with `path` in front of their names, which is left as it was. False once
/// the visitor has had enough.
bool walk_list(const Object& list, std::string& path, const Tree::Visit& visit);

/// A prefix without the '/' that it may end with.
std::string_view without_slash(std::string_view path) noexcept;

}  // namespace skywire::cxo::detail
