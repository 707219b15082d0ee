#include "cxo/detail/list.hpp"

#include <algorithm>

namespace skywire::cxo::detail {
namespace {

using Children = std::vector<ObjectPtr>;

/// The last child whose first name is not above `name`, or the end.
template <class Iterator>
Iterator child_for(Iterator begin, Iterator end, std::string_view name) noexcept {
    const auto above =
        std::upper_bound(begin, end, name, [](std::string_view wanted, const ObjectPtr& child) {
            return wanted < child->first_name();
        });
    return above == begin ? end : above - 1;
}

/// Entries of a full subtree with so many levels of 16.
std::uint64_t full(std::uint32_t levels) noexcept {
    return std::uint64_t{1} << (4 * levels);
}
static_assert(kDegree == 1 << 4);

std::uint32_t depth_for(std::uint64_t length) noexcept {
    std::uint32_t depth = 0;
    while (full(depth + 1) < length)
        ++depth;
    return depth;
}

/// One edit of one list.
class ListEditor {
 public:
    ListEditor(ObjectIndex& index, const Object* list, std::vector<ObjectPtr>& made)
        : index_(index), old_(list), made_(made) {}

    ObjectPtr replace(std::span<const ListEdit> edits) { return replaced(*old_, edits); }
    ObjectPtr rebuild(std::span<const ListEdit> edits, const ListEdit& first_shift);

 private:
    /// An entry of the new list, and its old branch where it was the first one there.
    struct Item {
        const ObjectPtr* entry;
        const ObjectPtr* branch;
    };

    ObjectPtr replaced(const Object& object, std::span<const ListEdit> edits);
    Children replaced_children(const Object& object, std::span<const ListEdit> edits);

    std::uint64_t position_of(std::string_view name) const;
    void collect(const Object& object, const ObjectPtr* branch, std::uint64_t skip);
    void merge(std::span<const ListEdit> edits);

    Children children_at(std::uint32_t depth, std::uint64_t first, std::uint64_t end);
    ObjectPtr branch_at(std::uint32_t depth, std::uint64_t first);
    ObjectPtr kept_branch(std::uint32_t depth, std::uint64_t first);
    const ObjectPtr* unmoved_branch(std::uint64_t first, std::uint64_t end) const;
    std::span<const ListEdit> take_edits(std::string_view up_to);

    ObjectPtr make(Kind kind, Bytes bytes, Children children);
    ObjectPtr make_branch(std::uint64_t length, Children children);
    bool had(const Object& object) const;

    ObjectIndex& index_;
    const Object* old_;
    std::uint32_t old_depth_ = 0;
    std::vector<ObjectPtr>& made_;

    /// So many entries in front stay in their branches, but for `kept_edits_`.
    std::uint64_t kept_ = 0;
    std::span<const ListEdit> kept_edits_;
    /// The others.
    std::vector<Item> tail_;
    std::uint64_t length_ = 0;
};

ObjectPtr ListEditor::make(Kind kind, Bytes bytes, Children children) {
    ObjectPtr object = index_.make(kind, std::move(bytes), std::move(children));
    // One holder: just made. Otherwise it may be part of the old list or of anything else.
    if (object.use_count() == 1 || !had(*object)) made_.push_back(object);
    return object;
}

ObjectPtr ListEditor::make_branch(std::uint64_t length, Children children) {
    Bytes bytes = write_branch(static_cast<std::uint32_t>(length), children);
    return make(Kind::branch, std::move(bytes), std::move(children));
}

/// True for a part of the old list.
bool ListEditor::had(const Object& object) const {
    const std::string_view name = object.first_name();
    const Object* at = old_;
    while (at != nullptr && at != &object && at->kind() != Kind::entry) {
        const auto child = child_for(at->children().begin(), at->children().end(), name);
        at = child == at->children().end() ? nullptr : child->get();
    }
    return at == &object;
}

Children ListEditor::replaced_children(const Object& object, std::span<const ListEdit> edits) {
    Children children = object.children();
    auto from = children.begin();
    while (!edits.empty()) {
        const auto child = child_for(from, children.end(), edits.front().name);
        std::size_t count = 1;
        if ((*child)->kind() == Kind::entry) {
            *child = edits.front().entry;
        } else {
            const auto next = child + 1;
            count = edits.size();
            if (next != children.end()) {
                const std::string_view bound = (**next).first_name();
                const auto beyond = std::ranges::lower_bound(edits, bound, {}, &ListEdit::name);
                count = static_cast<std::size_t>(beyond - edits.begin());
            }
            *child = replaced(**child, edits.first(count));
        }
        from = child;
        edits = edits.subspan(count);
    }
    return children;
}

ObjectPtr ListEditor::replaced(const Object& object, std::span<const ListEdit> edits) {
    Children children = replaced_children(object, edits);
    // The same head: nothing but hashes changes.
    Bytes bytes(object.bytes().begin(), object.bytes().end());
    auto into = bytes.end() - static_cast<std::ptrdiff_t>(children.size() * sizeof(Hash));
    for (const ObjectPtr& child : children)
        into = std::copy(child->hash().begin(), child->hash().end(), into);
    return make(object.kind(), std::move(bytes), std::move(children));
}

/// Entries of the old list, which has our degree, before that name.
std::uint64_t ListEditor::position_of(std::string_view name) const {
    std::uint64_t position = 0;
    const Object* at = old_;
    for (std::uint32_t depth = old_depth_;; --depth) {
        const Children& children = at->children();
        if (depth == 0) {
            const auto entry = std::lower_bound(
                children.begin(),
                children.end(),
                name,
                [](const ObjectPtr& child, std::string_view wanted) {
                    return child->first_name() < wanted;
                }
            );
            return position + static_cast<std::uint64_t>(entry - children.begin());
        }
        const auto child = child_for(children.begin(), children.end(), name);
        if (child == children.end()) return position;
        position += static_cast<std::uint64_t>(child - children.begin()) * full(depth);
        at = child->get();
    }
}

/// The old entries but the first `skip`.
void ListEditor::collect(const Object& object, const ObjectPtr* branch, std::uint64_t skip) {
    for (const ObjectPtr& child : object.children()) {
        const std::uint64_t length = length_of(*child);
        if (skip >= length) {
            skip -= length;
            branch = nullptr;
        } else if (child->kind() == Kind::entry) {
            tail_.push_back({&child, branch});
            branch = nullptr;
        } else {
            collect(*child, &child, skip);
            skip = 0;
        }
    }
}

/// The edits into the tail; those before it are kept for their branches.
void ListEditor::merge(std::span<const ListEdit> edits) {
    std::vector<Item> merged;
    merged.reserve(tail_.size() + edits.size());
    auto old = tail_.begin();
    for (const ListEdit& edit : edits) {
        while (old != tail_.end() && (**old->entry).first_name() < edit.name)
            merged.push_back(*old++);
        if (old != tail_.end() && (**old->entry).first_name() == edit.name) ++old;
        if (edit.entry) merged.push_back({&edit.entry, nullptr});
    }
    merged.insert(merged.end(), old, tail_.end());
    tail_ = std::move(merged);
}

ObjectPtr ListEditor::rebuild(std::span<const ListEdit> edits, const ListEdit& first_shift) {
    std::size_t edits_kept = 0;
    if (old_ != nullptr) {
        const auto view = read_list(old_->bytes());
        if (view && view->degree == kDegree) {
            old_depth_ = view->depth;
            kept_ = position_of(first_shift.name) / kDegree * kDegree;
        }
        collect(*old_, nullptr, kept_);
        while (edits_kept < edits.size() && &edits[edits_kept] != &first_shift &&
               (tail_.empty() || edits[edits_kept].name < (**tail_[0].entry).first_name()))
            ++edits_kept;
        if (kept_ == 0) edits_kept = 0;
    }
    kept_edits_ = edits.first(edits_kept);
    merge(edits.subspan(edits_kept));
    length_ = kept_ + tail_.size();
    if (length_ == 0) return nullptr;

    const std::uint32_t depth = depth_for(length_);
    Children children = children_at(depth, 0, length_);
    Bytes bytes = write_list(depth, static_cast<std::uint32_t>(length_), children);
    return make(Kind::list, std::move(bytes), std::move(children));
}

/// What a node has as children that is `depth` levels above the entries [first, end).
Children ListEditor::children_at(std::uint32_t depth, std::uint64_t first, std::uint64_t end) {
    Children children;
    children.reserve(kDegree);
    for (std::uint64_t at = first; at < end; at += full(depth))
        children.push_back(depth == 0 ? *tail_[at - kept_].entry : branch_at(depth - 1, at));
    return children;
}

ObjectPtr ListEditor::branch_at(std::uint32_t depth, std::uint64_t first) {
    if (first + full(depth + 1) <= kept_) return kept_branch(depth, first);
    const std::uint64_t end = std::min(first + full(depth + 1), length_);
    if (depth == 0) {
        if (const ObjectPtr* const old = unmoved_branch(first, end)) return *old;
    }
    return make_branch(end - first, children_at(depth, first, end));
}

/// The full branch of the old list at this place, with its new values.
ObjectPtr ListEditor::kept_branch(std::uint32_t depth, std::uint64_t first) {
    const ObjectPtr* at = nullptr;
    const Object* parent = old_;
    for (std::uint32_t above = old_depth_; above > depth; --above) {
        at = &parent->children()[first / full(above) % kDegree];
        parent = at->get();
    }
    const std::span<const ListEdit> edits = take_edits(last_name(*parent));
    // The old list was one full node; now it is one of several.
    if (at == nullptr) return make_branch(full(depth + 1), replaced_children(*old_, edits));
    return edits.empty() ? *at : replaced(**at, edits);
}

/// The old branch that has just these entries.
const ObjectPtr* ListEditor::unmoved_branch(std::uint64_t first, std::uint64_t end) const {
    const ObjectPtr* const branch = tail_[first - kept_].branch;
    if (branch == nullptr || (*branch)->children().size() != end - first) return nullptr;
    for (std::uint64_t i = first; i < end; ++i) {
        if ((*branch)->children()[i - first] != *tail_[i - kept_].entry) return nullptr;
    }
    return branch;
}

std::span<const ListEdit> ListEditor::take_edits(std::string_view up_to) {
    const auto beyond = std::ranges::upper_bound(kept_edits_, up_to, {}, &ListEdit::name);
    const auto count = static_cast<std::size_t>(beyond - kept_edits_.begin());
    const std::span<const ListEdit> taken = kept_edits_.first(count);
    kept_edits_ = kept_edits_.subspan(count);
    return taken;
}

}  // namespace

const ObjectPtr* find_entry(const Object* list, std::string_view name) noexcept {
    while (list != nullptr) {
        const Children& children = list->children();
        const auto child = child_for(children.begin(), children.end(), name);
        if (child == children.end()) return nullptr;
        if ((*child)->kind() == Kind::entry)
            return (**child).first_name() == name ? &*child : nullptr;
        list = child->get();
    }
    return nullptr;
}

ObjectPtr edit_list(
    ObjectIndex& index,
    const Object* list,
    std::span<const ListEdit> edits,
    std::vector<ObjectPtr>& made
) {
    ListEditor editor(index, list, made);
    const auto first_shift = std::ranges::find_if(edits, &ListEdit::shifts);
    if (first_shift == edits.end()) return editor.replace(edits);
    return editor.rebuild(edits, *first_shift);
}

}  // namespace skywire::cxo::detail
