#include "cxo/detail/list.hpp"
#include "cxo/tree.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

/// A change with its path checked.
struct Edit {
    enum class What {
        put,
        remove,
        /// A directory too.
        remove_below,
    };
    std::string_view path;
    What what = What::remove;
    ByteSpan value;
    /// Its place among the changes.
    std::size_t order = 0;
};

Error fail_at(std::string_view path, errc code, std::string_view why) {
    return fail(code, fmt::format("{}: {}", quote_peer_text(path), why));
}

Result<> check_path(std::string_view path) {
    std::size_t segments = 0;
    std::string_view rest = path;
    while (true) {
        const std::size_t size = std::min(rest.find('/'), rest.size());
        if (size == 0) return fail_at(path, errc::malformed, "an empty segment");
        if (size > kNameMax) return fail_at(path, errc::malformed, "a segment is too long");
        if (++segments > kSegmentsMax) return fail_at(path, errc::malformed, "too many segments");
        if (size == rest.size()) return {};
        rest.remove_prefix(size + 1);
    }
}

/// By segments: what is below a path comes right behind it.
bool is_before(std::string_view a, std::string_view b) noexcept {
    const auto [at_a, at_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
    if (at_a == a.end() || at_b == b.end()) return at_a == a.end() && at_b != b.end();
    if (*at_a == '/' || *at_b == '/') return *at_a == '/';
    return static_cast<unsigned char>(*at_a) < static_cast<unsigned char>(*at_b);
}

Result<std::vector<Edit>> check_changes(const std::vector<Change>& changes) {
    std::vector<Edit> edits;
    edits.reserve(changes.size());
    for (const Change& change : changes) {
        if (auto checked = check_path(change.path); !checked) return checked.error();
        Edit edit{change.path, Edit::What::remove, {}, edits.size()};
        if (change.value) {
            if (change.value->empty() || change.value->size() > kLeafMax)
                return fail_at(
                    change.path,
                    errc::out_of_range,
                    fmt::format("a leaf of {} bytes", change.value->size())
                );
            edit.what = Edit::What::put;
            edit.value = *change.value;
        }
        edits.push_back(edit);
    }
    // Of several for one path the last comes first, and it alone counts.
    std::ranges::sort(edits, [](const Edit& a, const Edit& b) {
        return a.path == b.path ? a.order > b.order : is_before(a.path, b.path);
    });
    const auto repeated = std::ranges::unique(edits, {}, &Edit::path);
    edits.erase(repeated.begin(), repeated.end());
    return edits;
}

/// The edits of one name in a directory.
struct Group {
    std::string_view name;
    const Edit* own = nullptr;
    std::span<const Edit> below;
};

/// Takes the first group off; `offset` is where the directory's names begin in the paths.
Group take_group(std::span<const Edit>& edits, std::size_t offset) {
    const std::string_view path = edits.front().path.substr(offset);
    Group group;
    group.name = path.substr(0, path.find('/'));
    std::size_t size = 1;
    while (size < edits.size()) {
        const std::string_view next = edits[size].path.substr(offset);
        if (next.substr(0, next.find('/')) != group.name) break;
        ++size;
    }
    group.below = edits.first(size);
    edits = edits.subspan(size);
    if (group.name.size() == path.size()) {
        group.own = &group.below.front();
        group.below = group.below.subspan(1);
    }
    return group;
}

class TreeEditor {
 public:
    explicit TreeEditor(ObjectIndex& index) : index_(index) {}

    /// The directory after the edits; null where it is empty then. `node` may be null.
    Result<ObjectPtr> directory(
        const ObjectPtr& node, std::span<const Edit> edits, std::size_t offset
    );

    /// Parents before children.
    std::vector<ObjectPtr> take_made() {
        std::ranges::reverse(made_);
        return std::move(made_);
    }

 private:
    Result<ObjectPtr> entry(const ObjectPtr& before, const Group& group, std::size_t offset);
    ObjectPtr make(Kind kind, Bytes bytes, std::vector<ObjectPtr> children);

    ObjectIndex& index_;
    std::vector<ObjectPtr> made_;
};

ObjectPtr TreeEditor::make(Kind kind, Bytes bytes, std::vector<ObjectPtr> children) {
    made_.push_back(index_.make(kind, std::move(bytes), std::move(children)));
    return made_.back();
}

/// The entry after the edits of its name: `before` where nothing changes, null where it is gone.
Result<ObjectPtr> TreeEditor::entry(
    const ObjectPtr& before, const Group& group, std::size_t offset
) {
    const bool removes_all = group.own != nullptr && group.own->what == Edit::What::remove_below;
    const bool puts = group.own != nullptr && group.own->what == Edit::What::put;
    const bool was_leaf = before && before->children().empty();
    const bool leaf_stays = was_leaf && group.own == nullptr;
    const ObjectPtr node_before =
        before && !was_leaf && !removes_all ? before->children().front() : nullptr;

    ObjectPtr node = node_before;
    if (!group.below.empty()) {
        const std::size_t inside = offset + group.name.size() + 1;
        auto edited = directory(node_before, group.below, inside);
        if (!edited) return edited;
        node = std::move(*edited);
    }
    if (node && (puts || leaf_stays)) {
        const Edit& edit = group.own != nullptr ? *group.own : group.below.front();
        const std::string_view path = edit.path.substr(0, offset + group.name.size());
        return fail_at(path, errc::wrong_state, "a leaf and a directory");
    }
    if (leaf_stays) return before;
    if (puts) {
        const ByteSpan value = group.own->value;
        if (was_leaf && std::ranges::equal(entry_of(*before).leaf, value)) return before;
        return make(Kind::entry, write_entry(group.name, kNil, value), {});
    }
    if (!node) return node;
    if (node == node_before) return before;
    return make(Kind::entry, write_entry(group.name, node->hash(), {}), {node});
}

Result<ObjectPtr> TreeEditor::directory(
    const ObjectPtr& node, std::span<const Edit> edits, std::size_t offset
) {
    const Object* const list =
        node && !node->children().empty() ? node->children().front().get() : nullptr;
    std::vector<detail::ListEdit> changed;
    while (!edits.empty()) {
        const Group group = take_group(edits, offset);
        const ObjectPtr* const found = detail::find_entry(list, group.name);
        const ObjectPtr before = found != nullptr ? *found : nullptr;
        auto after = entry(before, group, offset);
        if (!after) return after;
        if (*after == before) continue;
        const bool shifts = !before || !*after;
        changed.push_back({group.name, std::move(*after), shifts});
    }
    if (changed.empty()) return node;
    const ObjectPtr new_list = detail::edit_list(index_, list, changed, made_);
    if (!new_list) return ObjectPtr();
    return make(Kind::node, write_node(new_list->hash()), {new_list});
}

Result<Tree::Applied> apply_edits(
    ObjectIndex& index, const Tree& before, std::span<const Edit> edits
) {
    TreeEditor editor(index);
    auto root = editor.directory(before.root(), edits, 0);
    if (!root) return root.error();
    if (*root == before.root()) return Tree::Applied{before, {}};
    if (!*root) {
        const Tree empty(index);
        return Tree::Applied{empty, {empty.root()}};
    }
    return Tree::Applied{Tree(index, std::move(*root)), editor.take_made()};
}

}  // namespace

Result<Tree::Applied> Tree::apply(std::vector<Change> changes) const {
    const auto edits = check_changes(changes);
    if (!edits) return edits.error();
    return apply_edits(*index_, *this, *edits);
}

Result<Tree::Applied> Tree::remove_below(std::string_view path) const {
    if (path.empty()) {
        const Tree none(*index_);
        if (none.root() == root_) return Applied{*this, {}};
        return Applied{none, {none.root()}};
    }
    if (auto checked = check_path(path); !checked) return checked.error();
    const Edit edit{path, Edit::What::remove_below, {}, 0};
    return apply_edits(*index_, *this, std::span(&edit, 1));
}

}  // namespace skywire::cxo
