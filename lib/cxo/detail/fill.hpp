#pragma once

#include "cxo/detail/pool.hpp"
#include "cxo/object.hpp"
#include "cxo/replica.hpp"

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <vector>

/// The fetching of one tree.
namespace skywire::cxo::detail {

/// Hashes are as good as random: the first eight bytes decide. (Ordered, since who chooses objects
/// can choose hashes that fall into one place of a table.)
struct HashLess {
    bool operator()(const Hash& a, const Hash& b) const noexcept {
        std::uint64_t first = 0;
        std::uint64_t second = 0;
        std::memcpy(&first, a.data(), sizeof first);
        std::memcpy(&second, b.data(), sizeof second);
        return first != second ? first < second : std::memcmp(a.data(), b.data(), a.size()) < 0;
    }
};

/// Where bytes may be before they are asked for.
class Store {
 public:
    virtual ~Store() = default;
    /// Takes them out; nothing: not there.
    virtual std::optional<Bytes> take(const Hash& hash) = 0;
    /// Asked for already, for an earlier Root: the answer will come.
    virtual bool is_under_way(const Hash& hash) const = 0;
};

/// Walks a tree from its directory down, asks for what is missing, checks what comes, and builds
/// the objects from the leaves up.
class Fill {
 public:
    Fill(ObjectIndex& index, const ReplicaLimits& limits, Store& store);

    /// Once. Errors, as of `object`: the tree cannot be taken. errc::malformed, limit_reached.
    Result<> begin(const Hash& tree);

    /// True where the bytes are of this tree and still missing.
    bool wants(const Hash& hash) const;
    /// Only what it wants.
    Result<> object(const Hash& hash, Bytes bytes);

    /// The next one to be asked for; it counts as asked for.
    std::optional<Hash> next_request();
    /// Asked for, and not here.
    bool is_asked(const Hash& hash) const;
    std::vector<Hash> asked() const;
    /// What was asked for will not come.
    void ask_again();

    /// The directory, once all of it is there.
    const ObjectPtr& root() const noexcept { return root_; }
    std::uint64_t rounds() const noexcept { return rounds_; }
    /// What it holds at most, with that which is kept beside each object.
    std::size_t memory() const noexcept { return bytes_ + objects_ * kBesideObject; }

    /// What came so far: finished parts, and bytes that wait for others.
    struct Remains {
        std::vector<ObjectPtr> objects;
        std::vector<std::pair<Hash, Bytes>> bytes;
    };
    Remains remains();

 private:
    struct Item;
    /// Who waits for an object: the place among its children.
    struct Place {
        Item* parent = nullptr;
        std::uint32_t index = 0;
    };
    /// What an object has to be.
    struct Role {
        Kind kind = Kind::node;
        /// Directories around it.
        std::uint32_t level = 0;
        /// Of a branch: the shape of the list or branch that it is a child of, and which.
        std::uint32_t depth = 0;
        std::uint32_t degree = 0;
        std::uint32_t parent_length = 0;
        std::uint32_t index = 0;

        ListView parent() const noexcept { return {depth, degree, parent_length, {}}; }
        std::uint32_t length() const noexcept { return parent().length_at(index); }
        bool same(const Role& other) const noexcept;
    };
    enum class State : std::uint8_t { wanted, asked, arrived };
    /// What came of an object, and what it still needs.
    struct Got {
        Bytes bytes;
        std::vector<ObjectPtr> children;
        std::size_t missing = 0;
    };
    /// Small: there is one for each object that is missing, and of a new copy's leaves all are
    /// missing at once.
    struct Item {
        const Hash* hash = nullptr;
        Role role;
        State state = State::wanted;
        /// Rounds of requests that led here.
        std::uint32_t round = 0;
        /// Of the queue, as long as it has not arrived.
        std::uint32_t slot = 0;
        /// No parent: the directory that all begins with.
        Place place;
        /// Where the same object is wanted again.
        std::unique_ptr<std::vector<Place>> more_places;
        std::unique_ptr<Got> got;
    };

    ObjectPtr held(const Hash& hash, const Role& role) const;
    Result<> want(const Hash& hash, const Role& role, const Place& place);
    Result<> add(const Hash& hash, const Role& role, const Place& place);
    Result<> arrive(Item& item, Bytes bytes);
    Result<> read(Item& item);
    Result<> read_entry_of(Item& item);
    Result<> want_children(Item& item, const ListView& view);
    Result<> check_size(const Object& object) const;
    Result<> finish(Item& item);
    Result<> run();
    void enqueue(Item& item, State state);
    void dequeue(const Item& item);
    void put(const Place& place, const ObjectPtr& object);

    ObjectIndex& index_;
    const ReplicaLimits& limits_;
    Store& store_;
    Pool nodes_;
    std::pmr::map<Hash, Item, HashLess> items_{&nodes_};
    /// In the order in which they were first wanted; null where one has been asked for, or is here.
    std::deque<Item*> queue_;
    /// Of the queue's first.
    std::uint32_t first_slot_ = 0;
    std::vector<Item*> found_;
    std::vector<Item*> complete_;
    ObjectPtr root_;
    std::size_t objects_ = 0;
    std::size_t bytes_ = 0;
    std::uint32_t rounds_ = 0;
};

}  // namespace skywire::cxo::detail
