#include "store/table.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include <boost/unordered/unordered_flat_map.hpp>
#include <fmt/format.h>

namespace skywire::store {
namespace {

/// Keys freed by one call beside its own work.
constexpr std::size_t kReapPerCall = 4;

Error holds_a_set(std::string_view key) {
    return fail(errc::malformed, fmt::format("key {} holds a set", quote_peer_text(key)));
}

Error holds_a_value(std::string_view key) {
    return fail(errc::malformed, fmt::format("key {} holds a value, no set", quote_peer_text(key)));
}

SteadyTime later(SteadyTime now, Duration by) {
    return by >= SteadyTime::max() - now ? SteadyTime::max() : now + by;
}

}  // namespace

bool MemberSet::add(std::string member) {
    if (contains(member)) return false;
    members_.push_back(std::move(member));
    index_.insert(static_cast<std::uint32_t>(members_.size() - 1));
    return true;
}

bool MemberSet::remove(std::string_view member) {
    const auto found = index_.find(member);
    if (found == index_.end()) return false;
    const std::uint32_t at = *found;
    const auto last = static_cast<std::uint32_t>(members_.size() - 1);
    index_.erase(found);
    if (at != last) {
        index_.erase(last);
        members_[at] = std::move(members_[last]);
        members_.pop_back();
        index_.insert(at);
    } else {
        members_.pop_back();
    }
    return true;
}

Table::Entry* Table::find(std::string_view key, SteadyTime now) const {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return nullptr;
    Entry& entry = **found;
    return entry.expires > now ? &entry : nullptr;
}

/// The entry of this key, made where there is none. One that has expired is begun anew.
Table::Entry& Table::make(std::string key) {
    const auto found = entries_.find(std::string_view(key));
    if (found != entries_.end()) return **found;
    auto entry = std::make_unique<Entry>();
    entry->key = std::move(key);
    Entry& made = *entry;
    entries_.insert(std::move(entry));
    return made;
}

void Table::erase(Entry& entry) {
    size_ -= entry.members ? entry.members->members().size() : 1;
    unqueue(entry);
    if (observer_ != nullptr) observer_->erased(entry.key);
    entries_.erase(entries_.find(std::string_view(entry.key)));
}

Result<const std::string*> Table::get(std::string_view key, SteadyTime now) {
    reap(now, kReapPerCall);
    const Entry* entry = find(key, now);
    if (entry == nullptr) return nullptr;
    if (entry->members) return holds_a_set(key);
    return &entry->value;
}

Result<const MemberSet*> Table::members(std::string_view key, SteadyTime now) {
    reap(now, kReapPerCall);
    const Entry* entry = find(key, now);
    if (entry == nullptr) return nullptr;
    if (!entry->members) return holds_a_value(key);
    return entry->members.get();
}

Result<std::vector<std::string>> Table::sample(
    std::string_view key, std::size_t count, SteadyTime now
) {
    const auto set = members(key, now);
    if (!set) return set.error();
    if (*set == nullptr) return std::vector<std::string>();
    const std::vector<std::string>& all = (*set)->members();
    if (count >= all.size()) return all;
    // Floyd: `count` distinct places with `count` draws, however large the set.
    boost::unordered_flat_set<std::size_t> places(count);
    std::vector<std::string> chosen;
    chosen.reserve(count);
    for (std::size_t top = all.size() - count; top < all.size(); ++top) {
        std::size_t at = random_below(top + 1);
        if (!places.insert(at).second) {
            at = top;
            places.insert(at);
        }
        chosen.push_back(all[at]);
    }
    return chosen;
}

Result<std::uint64_t> Table::increment(const std::string& key, SteadyTime now) {
    reap(now, kReapPerCall);
    Entry* entry = find(key, now);
    std::uint64_t value = 0;
    SteadyTime expires = SteadyTime::max();
    if (entry != nullptr) {
        if (entry->members) return holds_a_set(key);
        const char* end = entry->value.data() + entry->value.size();
        const auto [stop, error] = std::from_chars(entry->value.data(), end, value);
        // The bound of Redis: a signed 64-bit number.
        if (error != std::errc() || stop != end ||
            value >= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            return fail(
                errc::malformed, fmt::format("key {} holds no counter", quote_peer_text(key))
            );
        }
        expires = entry->expires;
    } else {
        Batch as_new;
        as_new.changes.push_back(SetValue{key, {}, Duration(0)});
        if (const auto admitted = admit(as_new, now); !admitted) return admitted.error();
        // One that has expired is not there any more.
        if (const auto old = entries_.find(std::string_view(key)); old != entries_.end()) {
            erase(**old);
        }
        entry = &make(key);
        ++size_;
    }
    entry->value = std::to_string(++value);
    if (observer_ != nullptr) observer_->value_set(key, entry->value, expires);
    return value;
}

Result<bool> Table::apply(Batch& batch, SteadyTime now) {
    reap(now, kReapPerCall + batch.changes.size());
    const auto hold = expectations_hold(batch, now);
    if (!hold || !*hold) return hold;
    if (const auto admitted = admit(batch, now); !admitted) return admitted.error();
    for (Change& change : batch.changes) {
        std::visit([&](auto& one) { perform(one, now); }, change);
    }
    return true;
}

Result<bool> Table::expectations_hold(const Batch& batch, SteadyTime now) const {
    for (const Expectation& expected : batch.expected) {
        const Entry* entry = find(expected.key, now);
        if (entry != nullptr && entry->members) return holds_a_set(expected.key);
        if (expected.value.has_value() != (entry != nullptr)) return false;
        if (entry != nullptr && entry->value != *expected.value) return false;
    }
    return true;
}

/// Whether all changes can be made, so that none is made where one cannot. What the batch itself
/// frees does not count: near the bound a batch may be refused that would just have fitted.
Result<> Table::admit(const Batch& batch, SteadyTime now) {
    std::size_t growth = 0;
    bool sets = false;
    for (const Change& change : batch.changes) {
        if (const auto* set = std::get_if<SetValue>(&change)) {
            if (set->ttl < Duration(0)) {
                return fail(errc::out_of_range, "a lifetime must not be negative");
            }
            growth += find(set->key, now) == nullptr;
        } else if (const auto* add = std::get_if<AddToSet>(&change)) {
            sets = true;
            const Entry* entry = find(add->key, now);
            growth += entry == nullptr || !entry->members || !entry->members->contains(add->member);
        } else if (std::holds_alternative<RemoveFromSet>(change)) {
            sets = true;
        }
    }
    if (sets) {
        if (const auto kinds = check_kinds(batch, now); !kinds) return kinds.error();
    }
    if (growth == 0 || size_ + growth <= entries_max_) return {};
    reap(now, queue_.size());
    if (size_ + growth <= entries_max_) return {};
    return fail(
        errc::limit_reached,
        fmt::format("the store holds {} of at most {} entries", size_, entries_max_)
    );
}

Result<> Table::check_kinds(const Batch& batch, SteadyTime now) const {
    enum class Kind { none, value, set };
    boost::unordered_flat_map<std::string_view, Kind> kinds;
    const auto kind_of = [&](const std::string& key) -> Kind& {
        const auto [place, added] = kinds.try_emplace(key, Kind::none);
        if (added) {
            const Entry* entry = find(key, now);
            if (entry != nullptr) place->second = entry->members ? Kind::set : Kind::value;
        }
        return place->second;
    };
    for (const Change& change : batch.changes) {
        if (const auto* set = std::get_if<SetValue>(&change)) {
            kind_of(set->key) = Kind::value;
        } else if (const auto* erased = std::get_if<Erase>(&change)) {
            kind_of(erased->key) = Kind::none;
        } else if (const auto* add = std::get_if<AddToSet>(&change)) {
            Kind& kind = kind_of(add->key);
            if (kind == Kind::value) return holds_a_value(add->key);
            kind = Kind::set;
        } else if (const auto* removed = std::get_if<RemoveFromSet>(&change)) {
            if (kind_of(removed->key) == Kind::value) return holds_a_value(removed->key);
        }
    }
    return {};
}

void Table::perform(SetValue& change, SteadyTime now) {
    const auto found = entries_.find(std::string_view(change.key));
    if (found != entries_.end() && (*found)->members) erase(**found);
    const std::size_t before = entries_.size();
    Entry& entry = make(std::move(change.key));
    if (entries_.size() != before) ++size_;
    entry.value = std::move(change.value);
    const SteadyTime expires =
        change.ttl == Duration(0) ? SteadyTime::max() : later(now, change.ttl);
    expire_at(entry, expires);
    if (observer_ != nullptr) observer_->value_set(entry.key, entry.value, entry.expires);
}

void Table::perform(Erase& change, SteadyTime) {
    const auto found = entries_.find(std::string_view(change.key));
    if (found != entries_.end()) erase(**found);
}

void Table::perform(AddToSet& change, SteadyTime now) {
    const auto found = entries_.find(std::string_view(change.key));
    // A value here has expired: admit() refuses a set operation on a live one.
    if (found != entries_.end() && !(*found)->members) {
        SKY_ASSERT((*found)->expires <= now);
        erase(**found);
    }
    Entry& entry = make(std::move(change.key));
    if (!entry.members) entry.members = std::make_unique<MemberSet>();
    if (!entry.members->add(change.member)) return;
    ++size_;
    if (observer_ != nullptr) observer_->member_added(entry.key, change.member);
}

void Table::perform(RemoveFromSet& change, SteadyTime) {
    const auto found = entries_.find(std::string_view(change.key));
    if (found == entries_.end() || !(*found)->members) return;
    Entry& entry = **found;
    if (!entry.members->remove(change.member)) return;
    --size_;
    if (observer_ != nullptr) observer_->member_removed(entry.key, change.member);
    if (entry.members->members().empty()) erase(entry);
}

void Table::restore_value(std::string key, std::string value, SteadyTime expires) {
    const std::size_t before = entries_.size();
    Entry& entry = make(std::move(key));
    if (entries_.size() == before) return;
    ++size_;
    entry.value = std::move(value);
    expire_at(entry, expires);
}

void Table::restore_member(std::string key, std::string member) {
    const std::size_t before = entries_.size();
    Entry& entry = make(std::move(key));
    if (entries_.size() != before) entry.members = std::make_unique<MemberSet>();
    if (!entry.members) return;
    if (entry.members->add(std::move(member))) ++size_;
}

void Table::visit(TableObserver& observer, SteadyTime now) const {
    for (const auto& entry : entries_) {
        if (entry->expires <= now) continue;
        if (!entry->members) {
            observer.value_set(entry->key, entry->value, entry->expires);
            continue;
        }
        for (const std::string& member : entry->members->members()) {
            observer.member_added(entry->key, member);
        }
    }
}

void Table::expire_at(Entry& entry, SteadyTime at) {
    entry.expires = at;
    if (at == SteadyTime::max()) {
        unqueue(entry);
    } else if (entry.queued_at == kNotQueued) {
        queue_.push_back({at, &entry});
        sift_up(queue_.size() - 1);
    } else if (at < queue_[entry.queued_at].look_at) {
        queue_[entry.queued_at].look_at = at;
        sift_up(entry.queued_at);
    }
}

/// Frees at most `at_most` keys whose time has come.
void Table::reap(SteadyTime now, std::size_t at_most) {
    for (; at_most > 0 && !queue_.empty() && queue_.front().look_at <= now; --at_most) {
        Entry& entry = *queue_.front().entry;
        if (entry.expires <= now) {
            erase(entry);
        } else {
            queue_.front().look_at = entry.expires;
            sift_down(0);
        }
    }
}

void Table::place(std::size_t at, QueueNode node) {
    queue_[at] = node;
    node.entry->queued_at = at;
}

void Table::sift_up(std::size_t at) {
    const QueueNode node = queue_[at];
    while (at > 0) {
        const std::size_t parent = (at - 1) / 2;
        if (queue_[parent].look_at <= node.look_at) break;
        place(at, queue_[parent]);
        at = parent;
    }
    place(at, node);
}

void Table::sift_down(std::size_t at) {
    const QueueNode node = queue_[at];
    for (;;) {
        std::size_t child = 2 * at + 1;
        if (child >= queue_.size()) break;
        if (child + 1 < queue_.size() && queue_[child + 1].look_at < queue_[child].look_at) ++child;
        if (node.look_at <= queue_[child].look_at) break;
        place(at, queue_[child]);
        at = child;
    }
    place(at, node);
}

void Table::unqueue(Entry& entry) {
    const std::size_t at = entry.queued_at;
    if (at == kNotQueued) return;
    entry.queued_at = kNotQueued;
    const QueueNode last = queue_.back();
    queue_.pop_back();
    if (at == queue_.size()) return;
    place(at, last);
    sift_down(at);
    sift_up(last.entry->queued_at);
}

/// SplitMix64 with a multiply-shift bound: which members are sampled need not be unguessable, and a
/// draw from the kernel costs more than the sampling.
std::uint64_t Table::random_below(std::uint64_t bound) {
    seed_ += 0x9e3779b97f4a7c15U;
    std::uint64_t mixed = seed_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    mixed ^= mixed >> 31U;
    return mixed % bound;
}

}  // namespace skywire::store
