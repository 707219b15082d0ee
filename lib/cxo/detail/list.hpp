#pragma once

#include "cxo/object.hpp"

#include <span>
#include <string_view>
#include <vector>

/// The left-packed list of a directory's entries, which is where a tree's costs are.
namespace skywire::cxo::detail {

/// The entry of that name, or null. `list` is a list or null (an empty directory).
const ObjectPtr* find_entry(const Object* list, std::string_view name) noexcept;

struct ListEdit {
    std::string_view name;
    /// Null: removed.
    ObjectPtr entry;
    /// Comes or goes, so that all behind it move.
    bool shifts = false;
};

/// The list after the edits, which are real changes, in order of names; null where nothing is left.
/// Puts what is new in it into `made`, children before parents (entries are the caller's).
///
/// Values replaced at their places cost the nodes above them. From the first shift on, all nodes
/// are built again, but the full ones before it are taken as they are, and behind it those that
/// come to stand as they stood.
ObjectPtr edit_list(
    ObjectIndex& index,
    const Object* list,
    std::span<const ListEdit> edits,
    std::vector<ObjectPtr>& made
);

}  // namespace skywire::cxo::detail
