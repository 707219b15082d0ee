#include "cxo/tree.hpp"

#include "cxo/detail/list.hpp"
#include "cxo/detail/place.hpp"

namespace skywire::cxo {
namespace detail {

bool walk_list(const Object& list, std::string& path, const Tree::Visit& visit) {
    for (const ObjectPtr& child : list.children()) {
        if (child->kind() != Kind::entry) {
            if (!walk_list(*child, path, visit)) return false;
            continue;
        }
        const std::size_t above = path.size();
        const EntryView entry = entry_of(*child);
        if (above > 0) path += '/';
        path += entry.name;
        const Object* const inside = list_of(*child);
        const bool goes_on =
            inside == nullptr ? visit(path, entry.leaf) : walk_list(*inside, path, visit);
        if (!goes_on) return false;
        path.resize(above);
    }
    return true;
}

const Object* list_of(const Object& object) noexcept {
    const Object* const node =
        object.kind() == Kind::node
            ? &object
            : (object.children().empty() ? nullptr : object.children().front().get());
    if (node == nullptr || node->children().empty()) return nullptr;
    return node->children().front().get();
}

std::string_view without_slash(std::string_view path) noexcept {
    if (path.ends_with('/')) path.remove_suffix(1);
    return path;
}

const Object* find_place(const Object& root, std::string_view path) noexcept {
    const Object* at = &root;
    while (!path.empty()) {
        const std::size_t size = std::min(path.find('/'), path.size());
        const ObjectPtr* const entry = find_entry(list_of(*at), path.substr(0, size));
        if (entry == nullptr) return nullptr;
        at = entry->get();
        path.remove_prefix(size);
        // A segment has to follow.
        if (path.size() == 1) return nullptr;
        if (!path.empty()) path.remove_prefix(1);
    }
    return at;
}

}  // namespace detail

Tree::Tree(ObjectIndex& index)
    : index_(&index), root_(index.make(Kind::node, write_node(kNil), {})) {}

Tree::Tree(ObjectIndex& index, ObjectPtr root) : index_(&index), root_(std::move(root)) {}

std::optional<ByteSpan> Tree::get(std::string_view path) const {
    const Object* const place = detail::find_place(*root_, path);
    if (place == nullptr || place->kind() != Kind::entry || !place->children().empty())
        return std::nullopt;
    return entry_of(*place).leaf;
}

void Tree::walk(std::string_view prefix, const Visit& visit) const {
    prefix = detail::without_slash(prefix);
    const Object* const place = detail::find_place(*root_, prefix);
    if (place == nullptr) return;
    std::string path(prefix);
    if (const Object* const list = detail::list_of(*place))
        detail::walk_list(*list, path, visit);
    else if (place->kind() == Kind::entry)
        visit(path, entry_of(*place).leaf);
}

bool is_below(std::string_view path, std::string_view prefix) noexcept {
    prefix = detail::without_slash(prefix);
    return prefix.empty() || (path.starts_with(prefix) &&
                              (path.size() == prefix.size() || path[prefix.size()] == '/'));
}

}  // namespace skywire::cxo
