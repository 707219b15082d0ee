#include "cxo/object.hpp"

#include "base/assert.hpp"
#include "base/random.hpp"
#include "cxo/detail/encoding.hpp"

#include <algorithm>
#include <limits>

#include <boost/unordered/unordered_flat_set.hpp>

namespace skywire::cxo {

/// Where an index finds its objects. Lives until the index is gone and all its objects too.
struct Object::Table {
    struct Slot {
        /// Kept so that the set grows and searches without touching the objects.
        std::uint64_t code;
        const Object* object;
    };
    struct SlotHash {
        using is_avalanching = void;
        std::size_t operator()(const Slot& slot) const noexcept { return slot.code; }
    };
    struct SlotEqual {
        bool operator()(const Slot& a, const Slot& b) const noexcept {
            return a.code == b.code && (a.object == b.object || a.object->hash_ == b.object->hash_);
        }
    };
    struct Wanted {
        std::uint64_t code;
        const Hash* hash;
    };
    struct WantedHash : SlotHash {
        using is_transparent = void;
        using SlotHash::operator();
        std::size_t operator()(const Wanted& wanted) const noexcept { return wanted.code; }
    };
    struct WantedEqual : SlotEqual {
        using is_transparent = void;
        using SlotEqual::operator();
        bool operator()(const Wanted& a, const Slot& b) const noexcept {
            return a.code == b.code && *a.hash == b.object->hash_;
        }
        bool operator()(const Slot& a, const Wanted& b) const noexcept { return (*this)(b, a); }
    };

    Table() {
        SystemRandom random;
        random.fill(std::as_writable_bytes(std::span(secrets)));
    }

    /// Who may choose objects can choose hashes that begin alike; places in the set it cannot.
    std::uint64_t code_of(const Hash& hash) const noexcept {
        __extension__ using Wide = unsigned __int128;
        const std::uint64_t a = detail::load<std::uint64_t>(hash.data()) ^ secrets[0];
        const std::uint64_t b = detail::load<std::uint64_t>(hash.data() + 8) ^ secrets[1];
        const Wide product = static_cast<Wide>(a) * b;
        return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    }

    const Object* find(const Hash& hash) const noexcept {
        const auto found = slots.find(Wanted{code_of(hash), &hash});
        return found == slots.end() ? nullptr : found->object;
    }

    void remove(const Object& object) noexcept {
        const auto found = slots.find(Wanted{code_of(object.hash_), &object.hash_});
        if (found != slots.end() && found->object == &object) slots.erase(found);
    }

    std::array<std::uint64_t, 2> secrets{};
    boost::unordered_flat_set<Slot, WantedHash, WantedEqual> slots;
    std::size_t bytes = 0;
    /// Objects that exist, found or not.
    std::size_t alive = 0;
    bool index_gone = false;
    /// Whom the objects that are being destroyed have let go of: one after another instead of one
    /// inside another, however deep a tree is.
    std::vector<ObjectPtr> falling;
    bool draining = false;
};

Object::Object(Token, Table& table, Kind kind, const Hash& hash, Bytes bytes)
    : table_(&table), hash_(hash), kind_(kind), bytes_(std::move(bytes)) {
    ++table_->alive;
    table_->bytes += bytes_.size();
}

Object::~Object() {
    // Not to be found from here on.
    table_->remove(*this);
    table_->bytes -= bytes_.size();
    for (ObjectPtr& child : children_) {
        if (child.use_count() == 1 && !child->children_.empty())
            table_->falling.push_back(std::move(child));
    }
    children_.clear();
    if (!table_->draining) {
        table_->draining = true;
        while (!table_->falling.empty()) {
            const ObjectPtr next = std::move(table_->falling.back());
            table_->falling.pop_back();
        }
        table_->draining = false;
    }
    if (--table_->alive == 0 && table_->index_gone) delete table_;
}

namespace {

std::uint64_t add_up_to_most(std::uint64_t a, std::uint64_t b) noexcept {
    return b > std::numeric_limits<std::uint64_t>::max() - a
               ? std::numeric_limits<std::uint64_t>::max()
               : a + b;
}

std::uint64_t multiply_up_to_most(std::uint64_t a, std::uint64_t b) noexcept {
    return b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b
               ? std::numeric_limits<std::uint64_t>::max()
               : a * b;
}

}  // namespace

void Object::adopt(std::vector<ObjectPtr> children) {
    children_ = std::move(children);
    if (kind_ == Kind::entry)
        first_entry_ = bytes_.data();
    else if (kind_ != Kind::node && !children_.empty())
        first_entry_ = children_.front()->first_entry_;
    if (kind_ == Kind::entry && children_.empty()) {
        leaves_ = 1;
        leaf_bytes_ = entry_of(*this).leaf.size();
        path_bytes_ = first_name().size();
        return;
    }
    for (const ObjectPtr& child : children_) {
        leaves_ = add_up_to_most(leaves_, child->leaves_);
        objects_ = add_up_to_most(objects_, child->objects_);
        leaf_bytes_ = add_up_to_most(leaf_bytes_, child->leaf_bytes_);
        path_bytes_ = add_up_to_most(path_bytes_, child->path_bytes_);
        levels_ = std::max(levels_, child->levels_);
        fan_out_ = std::max(fan_out_, child->fan_out_);
    }
    // The name and a '/' stand in front of every path below.
    if (kind_ == Kind::entry)
        path_bytes_ =
            add_up_to_most(path_bytes_, multiply_up_to_most(leaves_, first_name().size() + 1));
    if (kind_ == Kind::node) ++levels_;
    const bool is_in_list = kind_ == Kind::list || kind_ == Kind::branch;
    fan_out_ = is_in_list ? std::max(fan_out_, static_cast<std::uint16_t>(children_.size()))
                          : std::uint16_t{0};
}

std::string_view Object::first_name() const noexcept {
    if (first_entry_ == nullptr) return {};
    const auto size = detail::load<std::uint32_t>(first_entry_);
    return as_text({first_entry_ + sizeof size, size});
}

ObjectIndex::ObjectIndex() : table_(new Object::Table) {}

ObjectIndex::~ObjectIndex() {
    table_->index_gone = true;
    if (table_->alive == 0) delete table_;
}

ObjectPtr ObjectIndex::make(Kind kind, Bytes bytes, std::vector<ObjectPtr> children) {
    const Hash hash = crypto::sha256(bytes);
    return make(kind, hash, std::move(bytes), std::move(children));
}

ObjectPtr ObjectIndex::make(
    Kind kind, const Hash& hash, Bytes bytes, std::vector<ObjectPtr> children
) {
    const Object* const same = table_->find(hash);
    // The same bytes can be made to mean two things, at another place or another depth. Only one
    // meaning is found; the other is an object like any other.
    const bool means_the_same =
        same != nullptr && same->kind_ == kind && same->children_.size() == children.size() &&
        std::equal(
            children.begin(),
            children.end(),
            same->children_.begin(),
            [](const ObjectPtr& a, const ObjectPtr& b) {
                return a == b || (a->kind_ == b->kind_ && a->hash_ == b->hash_);
            }
        );
    if (means_the_same) return same->shared_from_this();

    const auto made =
        std::make_shared<Object>(Object::Token{}, *table_, kind, hash, std::move(bytes));
    made->adopt(std::move(children));
    if (same == nullptr) table_->slots.insert({table_->code_of(hash), made.get()});
    return made;
}

ObjectPtr ObjectIndex::find(const Hash& hash) const {
    const Object* const found = table_->find(hash);
    return found == nullptr ? nullptr : found->shared_from_this();
}

ObjectPtr ObjectIndex::find(const Hash& hash, Kind kind) const {
    const Object* const found = table_->find(hash);
    return found == nullptr || found->kind_ != kind ? nullptr : found->shared_from_this();
}

std::size_t ObjectIndex::size() const noexcept {
    return table_->alive;
}

std::size_t ObjectIndex::bytes() const noexcept {
    return table_->bytes;
}

namespace {

Result<> check_children(const ListView& view, const std::vector<ObjectPtr>& children) {
    if (children.size() != view.size())
        return fail(errc::malformed, "a list or branch without all its children");
    for (std::size_t i = 0; i < children.size(); ++i) {
        const Object& child = *children[i];
        if (child.hash() != view.at(i)) return fail(errc::malformed, "a child with another hash");
        if (child.kind() != Kind::entry && child.kind() != Kind::branch)
            return fail(errc::malformed, "a child of a list is neither an entry nor a branch");
        if (child.kind() != children[0]->kind() || depth_of(child) != depth_of(*children[0]))
            return fail(errc::malformed, "children of one level reach to different depths");
        if (i > 0 && last_name(*children[i - 1]) >= child.first_name())
            return fail(errc::malformed, "names are not in order, or one is there twice");
    }
    return {};
}

/// The last branch of a level may lack entries, and then only at its end.
Result<> check_last(const Object& branch, const ListView& parent) {
    const Object* at = &branch;
    for (std::uint32_t depth = parent.depth - 1; depth > 0; --depth) {
        const auto& children = at->children();
        const ListView level{depth, parent.degree, length_of(*at), {}};
        for (std::size_t i = 0; i < children.size(); ++i) {
            if (length_of(*children[i]) != level.length_at(i))
                return fail(errc::malformed, "a branch that is not full before the last one");
        }
        at = children.back().get();
    }
    return {};
}

Result<> check_list(ByteSpan bytes, const std::vector<ObjectPtr>& children) {
    const auto view = read_list(bytes);
    if (!view) return view.error();
    if (auto checked = check_children(*view, children); !checked) return checked;
    for (std::size_t i = 0; i < children.size(); ++i) {
        const Object& child = *children[i];
        // With so many entries and no more children anywhere than the degree, a full one is right.
        if (child.kind() != view->child_kind() || length_of(child) != view->length_at(i) ||
            child.fan_out() > view->degree ||
            (view->depth > 0 && depth_of(child) != view->depth - 1))
            return fail(errc::malformed, "a branch that does not fit into its list");
    }
    return view->depth == 0 ? Result<>() : check_last(*children.back(), *view);
}

Result<> check_branch(ByteSpan bytes, const std::vector<ObjectPtr>& children) {
    const auto view = read_branch(bytes);
    if (!view) return view.error();
    if (auto checked = check_children(*view, children); !checked) return checked;
    std::uint64_t length = 0;
    const std::uint32_t full = length_of(*children[0]);
    for (std::size_t i = 0; i < children.size(); ++i) {
        const std::uint32_t own = length_of(*children[i]);
        if (own > full || (own < full && i + 1 < children.size()))
            return fail(errc::malformed, "a branch that is not full before the last one");
        length += own;
    }
    if (length != view->length)
        return fail(errc::malformed, "a branch whose children have another length");
    return {};
}

Result<> check_child(const Hash& named, Kind kind, const std::vector<ObjectPtr>& children) {
    const bool fits = named == kNil ? children.empty()
                                    : children.size() == 1 && children[0]->kind() == kind &&
                                          children[0]->hash() == named;
    if (!fits) return fail(errc::malformed, "a directory or entry with another child");
    return {};
}

Result<> check_object(Kind kind, ByteSpan bytes, const std::vector<ObjectPtr>& children) {
    switch (kind) {
        case Kind::node: {
            const auto list = read_node(bytes);
            return list ? check_child(*list, Kind::list, children) : list.error();
        }
        case Kind::list:
            return check_list(bytes, children);
        case Kind::branch:
            return check_branch(bytes, children);
        case Kind::entry: {
            const auto entry = read_entry(bytes);
            if (!entry) return entry.error();
            if (!children.empty() && children[0]->leaves() == 0)
                return fail(errc::malformed, "an empty directory inside another");
            return check_child(entry->directory, Kind::node, children);
        }
    }
    return fail(errc::malformed, "no kind of object");
}

}  // namespace

Result<ObjectPtr> ObjectIndex::make_checked(
    Kind kind, const Hash& hash, Bytes bytes, std::vector<ObjectPtr> children
) {
    if (auto checked = check_object(kind, bytes, children); !checked) return checked.error();
    return make(kind, hash, std::move(bytes), std::move(children));
}

}  // namespace skywire::cxo
