#include "cxo/detail/fill.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace skywire::cxo::detail {

bool Fill::Role::same(const Role& other) const noexcept {
    if (kind != other.kind) return false;
    return kind != Kind::branch ||
           (depth == other.depth && degree == other.degree && length() == other.length());
}

Fill::Fill(ObjectIndex& index, const ReplicaLimits& limits, Store& store)
    : index_(index), limits_(limits), store_(store) {}

Result<> Fill::begin(const Hash& tree) {
    Role role;
    role.level = 1;
    root_ = held(tree, role);
    if (root_) {
        return check_size(*root_);
    }
    if (auto added = add(tree, role, {}); !added) return added;
    return run();
}

bool Fill::wants(const Hash& hash) const {
    const auto found = items_.find(hash);
    return found != items_.end() && found->second.state != State::arrived;
}

Result<> Fill::object(const Hash& hash, Bytes bytes) {
    const auto found = items_.find(hash);
    SKY_ASSERT(found != items_.end() && found->second.state != State::arrived);
    Item& item = found->second;
    if (item.state == State::wanted) dequeue(item);
    if (auto arrived = arrive(item, std::move(bytes)); !arrived) return arrived;
    return run();
}

/// What is here already; nothing where the same bytes mean something else.
ObjectPtr Fill::held(const Hash& hash, const Role& role) const {
    ObjectPtr object = index_.find(hash, role.kind);
    if (!object || role.kind != Kind::branch) return object;
    const bool fits = depth_of(*object) + 1 == role.depth && length_of(*object) == role.length() &&
                      object->children().size() <= role.degree;
    return fits ? object : nullptr;
}

Result<> Fill::want(const Hash& hash, const Role& role, const Place& place) {
    Got& parent = *place.parent->got;
    if (ObjectPtr object = held(hash, role)) {
        parent.children[place.index] = std::move(object);
        return {};
    }
    ++parent.missing;
    const auto found = items_.find(hash);
    if (found == items_.end()) return add(hash, role, place);
    Item& item = found->second;
    if (!item.role.same(role)) return fail(errc::malformed, "one object as two things in one tree");
    if (!item.more_places) item.more_places = std::make_unique<std::vector<Place>>();
    item.more_places->push_back(place);
    return {};
}

Result<> Fill::add(const Hash& hash, const Role& role, const Place& place) {
    // A place in the queue is a number of 32 bits.
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
    if (const auto most = std::min(limits_.objects_max, kMost); ++objects_ > most)
        return fail(errc::limit_reached, fmt::format("more than {} objects", most));
    const auto added = items_.try_emplace(hash).first;
    Item& item = added->second;
    item.hash = &added->first;
    item.role = role;
    item.place = place;
    item.round = place.parent == nullptr ? 0 : place.parent->round;
    if (auto bytes = store_.take(hash)) return arrive(item, std::move(*bytes));
    rounds_ = std::max(rounds_, ++item.round);
    enqueue(item, store_.is_under_way(hash) ? State::asked : State::wanted);
    return {};
}

void Fill::enqueue(Item& item, State state) {
    item.state = state;
    item.slot = first_slot_ + static_cast<std::uint32_t>(queue_.size());
    queue_.push_back(state == State::wanted ? &item : nullptr);
}

void Fill::dequeue(const Item& item) {
    queue_[item.slot - first_slot_] = nullptr;
}

std::optional<Hash> Fill::next_request() {
    while (!queue_.empty()) {
        Item* const item = queue_.front();
        queue_.pop_front();
        ++first_slot_;
        if (item == nullptr) continue;
        item->state = State::asked;
        return *item->hash;
    }
    return std::nullopt;
}

bool Fill::is_asked(const Hash& hash) const {
    const auto found = items_.find(hash);
    return found != items_.end() && found->second.state == State::asked;
}

std::vector<Hash> Fill::asked() const {
    std::vector<Hash> hashes;
    for (const auto& [hash, item] : items_) {
        if (item.state == State::asked) hashes.push_back(hash);
    }
    return hashes;
}

void Fill::ask_again() {
    std::vector<Item*> open;
    for (auto& [hash, item] : items_) {
        if (item.state != State::arrived) open.push_back(&item);
    }
    std::ranges::sort(open, {}, &Item::slot);
    queue_.clear();
    first_slot_ = 0;
    for (Item* const item : open)
        enqueue(*item, State::wanted);
}

Result<> Fill::arrive(Item& item, Bytes bytes) {
    item.state = State::arrived;
    bytes_ += bytes.size();
    if (bytes_ > limits_.bytes_max)
        return fail(errc::limit_reached, fmt::format("more than {} bytes", limits_.bytes_max));
    item.got = std::make_unique<Got>();
    item.got->bytes = std::move(bytes);
    found_.push_back(&item);
    return {};
}

/// One after another what was found and what became complete, however deep the tree.
Result<> Fill::run() {
    while (!found_.empty() || !complete_.empty()) {
        if (!complete_.empty()) {
            Item* const item = complete_.back();
            complete_.pop_back();
            if (auto finished = finish(*item); !finished) return finished;
            continue;
        }
        Item* const item = found_.back();
        found_.pop_back();
        if (auto done = read(*item); !done) return done;
        if (item->got->missing == 0) complete_.push_back(item);
    }
    return {};
}

Result<> Fill::read(Item& item) {
    switch (item.role.kind) {
        case Kind::node: {
            const auto list = read_node(item.got->bytes);
            if (!list) return list.error();
            if (*list == kNil) return {};
            item.got->children.resize(1);
            Role role = item.role;
            role.kind = Kind::list;
            return want(*list, role, {&item, 0});
        }
        case Kind::list: {
            const auto view = read_list(item.got->bytes);
            if (!view) return view.error();
            return want_children(item, *view);
        }
        case Kind::branch: {
            const auto view = read_branch(item.got->bytes, item.role.parent(), item.role.index);
            if (!view) return view.error();
            return want_children(item, *view);
        }
        case Kind::entry:
            return read_entry_of(item);
    }
    return {};
}

Result<> Fill::want_children(Item& item, const ListView& view) {
    if (view.length > limits_.objects_max)
        return fail(errc::limit_reached, fmt::format("a list of {} entries", view.length));
    item.got->children.resize(view.size());
    Role role;
    role.kind = view.child_kind();
    role.level = item.role.level;
    role.depth = view.depth;
    role.degree = view.degree;
    role.parent_length = view.length;
    for (std::uint32_t i = 0; i < view.size(); ++i) {
        role.index = i;
        if (auto wanted = want(view.at(i), role, {&item, i}); !wanted) return wanted;
    }
    return {};
}

Result<> Fill::read_entry_of(Item& item) {
    const auto entry = read_entry(item.got->bytes);
    if (!entry) return entry.error();
    if (entry->directory == kNil) return {};
    Role role;
    role.kind = Kind::node;
    role.level = item.role.level + 1;
    if (role.level > limits_.depth_max)
        return fail(errc::limit_reached, fmt::format("directories {} deep", role.level));
    item.got->children.resize(1);
    return want(entry->directory, role, {&item, 0});
}

/// The same few objects in many places can make a tree that nobody could walk, and long names
/// inside each other one whose paths nobody could hold. And what comes with many Roots, a little
/// with each, is as large as what comes at once.
Result<> Fill::check_size(const Object& object) const {
    if (object.objects() > limits_.objects_max || object.leaf_bytes() > limits_.bytes_max ||
        object.path_bytes() > limits_.bytes_max || object.levels() > limits_.depth_max)
        return fail(errc::limit_reached, "a tree that is too large, or too deep");
    return {};
}

Result<> Fill::finish(Item& item) {
    auto made = index_.make_checked(
        item.role.kind, *item.hash, std::move(item.got->bytes), std::move(item.got->children)
    );
    if (!made) return made.error();
    const ObjectPtr& object = *made;
    if (auto checked = check_size(*object); !checked) return checked;
    // Nothing can be said of a directory without anything in it: no publisher has one, and leaves
    // are all that bounds a walk.
    if (item.role.kind == Kind::entry && object->leaves() == 0)
        return fail(errc::malformed, "an empty directory inside another");
    if (item.place.parent == nullptr)
        root_ = object;
    else
        put(item.place, object);
    if (item.more_places) {
        for (const Place& place : *item.more_places)
            put(place, object);
    }
    items_.erase(items_.find(*item.hash));
    return {};
}

void Fill::put(const Place& place, const ObjectPtr& object) {
    Got& parent = *place.parent->got;
    parent.children[place.index] = object;
    if (--parent.missing == 0) complete_.push_back(place.parent);
}

Fill::Remains Fill::remains() {
    Remains remains;
    for (auto& [hash, item] : items_) {
        if (!item.got) continue;
        for (ObjectPtr& child : item.got->children) {
            if (child) remains.objects.push_back(std::move(child));
        }
        if (!item.got->bytes.empty()) remains.bytes.emplace_back(hash, std::move(item.got->bytes));
    }
    items_.clear();
    return remains;
}

}  // namespace skywire::cxo::detail
