#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"
#include "services/service_discovery/entry.hpp"

#include <compare>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace skywire::service_discovery {

/// Where an entry stands: a key has one of each type.
struct Place {
    std::string type;
    crypto::PublicKey key;

    friend bool operator==(const Place& a, const Place& b) noexcept = default;
    friend auto operator<=>(const Place& a, const Place& b) noexcept {
        if (const auto order = a.key <=> b.key; order != 0) return order;
        return a.type.compare(b.type) <=> 0;
    }
};

/// The body of an answer, and the same compressed once somebody has asked for that.
struct Listing {
    std::shared_ptr<const std::string> body;
    std::shared_ptr<const std::string> gzipped;
};

/// All entries in memory, with the bodies of the lists. No I/O, no clock.
class Table {
 public:
    struct Record {
        Entry entry;
        /// As it stands in a list.
        std::string listed;
        bool held = false;
        /// SteadyTime::max() where it has no end of its own.
        SteadyTime ends;
    };
    using Records = std::map<crypto::PublicKey, Record>;

    /// Told when a list has changed; once until `take_changed`. Without it nothing is remembered.
    void on_change(std::function<void()> callback) { on_change_ = std::move(callback); }
    /// Where lists read differently since the last call.
    std::set<Place> take_changed() { return std::exchange(changed_, {}); }

    void put(Entry entry, bool held, SteadyTime ends);
    /// False where there was none.
    bool erase(const Place& place);

    /// Removes and returns what has ended.
    std::vector<Place> end_before(SteadyTime now);

    /// Null where there is none.
    const Record* find(std::string_view type, const crypto::PublicKey& key) const;
    /// Null where the type has no entries.
    const Records* of_type(std::string_view type) const;

    /// The list of a type, in order of the keys; made where a change has undone the last one.
    std::shared_ptr<Listing> listing(std::string_view type);

    /// Types of a key.
    std::size_t types_of(const crypto::PublicKey& key) const;
    /// Places of a key's held entries.
    std::vector<Place> held_by(const crypto::PublicKey& key) const;
    std::size_t held_count(const crypto::PublicKey& key) const;

    std::vector<Place> places() const;
    std::size_t size() const noexcept { return size_; }
    std::size_t types() const noexcept { return types_.size(); }
    std::size_t count(std::string_view type) const;

 private:
    struct Type {
        Records records;
        std::shared_ptr<Listing> listing;
    };
    struct Owner {
        std::set<std::string, std::less<>> types;
        std::size_t held = 0;
    };
    using Types = std::map<std::string, Type, std::less<>>;

    void note_change(const Place& place);
    /// Without a word to anybody.
    bool remove(const Place& place);

    std::size_t size_ = 0;
    Types types_;
    std::unordered_map<crypto::PublicKey, Owner> owners_;
    std::set<std::pair<SteadyTime, Place>> ends_;
    std::set<Place> changed_;
    std::function<void()> on_change_;
};

/// `[...]` and a newline around the listed forms; "null" and a newline where there are none.
std::string list_body(const std::vector<const Table::Record*>& records);

}  // namespace skywire::service_discovery
