#pragma once

#include "store/store.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

namespace skywire::store {

/// Told of every change of a Table, expiry included: what a write-behind writes.
class TableObserver {
 public:
    virtual ~TableObserver() = default;
    /// `expires` is SteadyTime::max() for a value that lives until erased.
    virtual void value_set(
        const std::string& key, const std::string& value, SteadyTime expires
    ) = 0;
    /// The key, value or set, is gone.
    virtual void erased(const std::string& key) = 0;
    virtual void member_added(const std::string& key, const std::string& member) = 0;
    virtual void member_removed(const std::string& key, const std::string& member) = 0;
};

/// Strings with an index over them: add, remove, contains and a random one in O(1).
class MemberSet {
 public:
    MemberSet() : index_(0, Hash{&members_}, Equal{&members_}) {}
    MemberSet(const MemberSet&) = delete;
    MemberSet& operator=(const MemberSet&) = delete;

    bool contains(std::string_view member) const { return index_.find(member) != index_.end(); }
    /// False where it is there already.
    bool add(std::string member);
    /// False where it is not there.
    bool remove(std::string_view member);
    const std::vector<std::string>& members() const noexcept { return members_; }

 private:
    // The index holds places in `members_` and hashes the string that lies there, so that each
    // member is stored once.
    struct Hash {
        using is_transparent = void;
        const std::vector<std::string>* members;
        std::size_t operator()(std::uint32_t at) const { return (*this)((*members)[at]); }
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>()(text);
        }
    };
    struct Equal {
        using is_transparent = void;
        const std::vector<std::string>* members;
        bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
        bool operator()(std::string_view a, std::uint32_t b) const { return a == (*members)[b]; }
        bool operator()(std::uint32_t a, std::string_view b) const { return b == (*members)[a]; }
    };

    std::vector<std::string> members_;
    boost::unordered_flat_set<std::uint32_t, Hash, Equal> index_;
};

/// Keys with values, expiry, sets and counters in memory: the core of the memory store and of the
/// snapshot. No I/O and no clock: every call is told the time.
///
/// A key holds a value or a set. Setting a value replaces a set; a set operation on a value, and a
/// read of a set as a value, is errc::malformed. A set whose last member goes is gone. A counter is
/// a value of decimal digits. All of it as in Redis.
///
/// A key is gone for readers the moment it expires. Its memory is freed by the next calls, a few
/// keys each: a heap holds one node per key with a lifetime, ordered by the time at which the key
/// must be looked at. A key set again with a later expiry keeps its node until that comes up.
class Table {
 public:
    /// `seed` feeds the choice of random members.
    Table(std::size_t entries_max, std::uint64_t seed) : entries_max_(entries_max), seed_(seed) {}
    Table(const Table&) = delete;
    Table& operator=(const Table&) = delete;

    void set_observer(TableObserver* observer) noexcept { observer_ = observer; }

    /// The value, null where there is none; valid until the next call.
    Result<const std::string*> get(std::string_view key, SteadyTime now);
    /// Takes what it needs out of the batch.
    Result<bool> apply(Batch& batch, SteadyTime now);
    /// The set, null where there is none; valid until the next call.
    Result<const MemberSet*> members(std::string_view key, SteadyTime now);
    Result<std::vector<std::string>> sample(
        std::string_view key, std::size_t count, SteadyTime now
    );
    Result<std::uint64_t> increment(const std::string& key, SteadyTime now);

    /// Puts back what a snapshot held, into a table that does not have it: what is there stays. The
    /// bound does not apply, the observer is not told.
    void restore_value(std::string key, std::string value, SteadyTime expires);
    void restore_member(std::string key, std::string member);

    /// Tells `observer` of everything that is there, as if it had just been set.
    void visit(TableObserver& observer, SteadyTime now) const;

    /// Values and set members, expired ones that are not yet freed included.
    std::size_t size() const noexcept { return size_; }

 private:
    static constexpr std::size_t kNotQueued = ~std::size_t{0};

    struct Entry {
        std::string key;
        std::string value;
        /// Set: this key holds a set, and `value` is unused.
        std::unique_ptr<MemberSet> members;
        SteadyTime expires = SteadyTime::max();
        /// Place in `queue_`.
        std::size_t queued_at = kNotQueued;
    };
    struct EntryHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view key) const {
            return std::hash<std::string_view>()(key);
        }
        std::size_t operator()(const std::unique_ptr<Entry>& entry) const {
            return (*this)(std::string_view(entry->key));
        }
    };
    struct EntryEqual {
        using is_transparent = void;
        static std::string_view text(std::string_view key) { return key; }
        static std::string_view text(const std::unique_ptr<Entry>& entry) { return entry->key; }
        bool operator()(const auto& a, const auto& b) const { return text(a) == text(b); }
    };
    struct QueueNode {
        SteadyTime look_at;
        Entry* entry;
    };

    Entry* find(std::string_view key, SteadyTime now) const;
    Entry& make(std::string key);
    void erase(Entry& entry);
    Result<bool> expectations_hold(const Batch& batch, SteadyTime now) const;
    Result<> admit(const Batch& batch, SteadyTime now);
    Result<> check_kinds(const Batch& batch, SteadyTime now) const;
    void perform(SetValue& change, SteadyTime now);
    void perform(Erase& change, SteadyTime now);
    void perform(AddToSet& change, SteadyTime now);
    void perform(RemoveFromSet& change, SteadyTime now);

    void expire_at(Entry& entry, SteadyTime at);
    void reap(SteadyTime now, std::size_t at_most);
    void place(std::size_t at, QueueNode node);
    void sift_up(std::size_t at);
    void sift_down(std::size_t at);
    void unqueue(Entry& entry);

    std::uint64_t random_below(std::uint64_t bound);

    std::size_t entries_max_;
    std::uint64_t seed_;
    std::size_t size_ = 0;
    TableObserver* observer_ = nullptr;
    boost::unordered_flat_set<std::unique_ptr<Entry>, EntryHash, EntryEqual> entries_;
    std::vector<QueueNode> queue_;
};

}  // namespace skywire::store
