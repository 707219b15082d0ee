#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "net/task.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// Key-value storage with expiry, sets and counters behind one interface: memory, memory with an
/// SQLite snapshot, Redis. Keys and values are bytes; the layout of keys is the caller's, and the
/// reference's where a Go service may share the database.
namespace skywire::store {

/// One change. `ttl` zero means: lives until erased.
struct SetValue {
    std::string key;
    std::string value;
    Duration ttl{0};
};
struct Erase {
    std::string key;
};
struct AddToSet {
    std::string key;
    std::string member;
};
struct RemoveFromSet {
    std::string key;
    std::string member;
};
using Change = std::variant<SetValue, Erase, AddToSet, RemoveFromSet>;

/// "This key still holds this value" (nothing = does not exist).
struct Expectation {
    std::string key;
    std::optional<std::string> value;
};

/// What is applied together or not at all.
struct Batch {
    std::vector<Expectation> expected;
    std::vector<Change> changes;
};

/// Used on one event loop. Errors of all calls: errc::unavailable (cannot be reached, or no answer
/// within the deadline; a change may or may not have happened), errc::limit_reached (a bound of the
/// store: entries, queue), errc::closed after close, errc::malformed (the key holds another kind: a
/// set where a value is meant; no digits where a counter is meant), errc::out_of_range (a lifetime
/// below zero). A set is gone with its last member; a value set over a set replaces it.
///
/// Close a store before it dies.
class Store {
 public:
    virtual ~Store() = default;

    /// The value, or nothing where the key is absent or has expired.
    virtual Task<Result<std::optional<std::string>>> get(std::string key) = 0;

    /// The values in order of the keys; nothing for a key that holds a set.
    virtual Task<Result<std::vector<std::optional<std::string>>>> get_many(
        std::vector<std::string> keys
    ) = 0;

    /// True when applied, false when an expectation did not hold (nothing is changed then).
    virtual Task<Result<bool>> apply(Batch batch) = 0;

    /// The members of a set in no particular order; empty where there is none.
    virtual Task<Result<std::vector<std::string>>> members(std::string key) = 0;

    /// At most `count` distinct random members.
    virtual Task<Result<std::vector<std::string>>> sample(std::string key, std::size_t count) = 0;

    /// How many members a set has.
    virtual Task<Result<std::uint64_t>> count(std::string key) = 0;

    /// Adds one to a counter and returns the new value; it begins at 0.
    virtual Task<Result<std::uint64_t>> increment(std::string key) = 0;

    /// Success where the store answers.
    virtual Task<Result<>> ping() = 0;

    /// Waits until all that was changed before is where a crash of the process leaves it: at once
    /// but for a snapshot, which is written now. errc::unavailable where the disk does not take it.
    virtual Task<Result<>> save() { co_return Result<>(); }

    /// "memory", "memory+sqlite" or "redis": for health and logs.
    virtual std::string_view kind() const noexcept = 0;

    /// Writes what is pending and ends; later calls fail with errc::closed.
    virtual Task<Result<>> close(SteadyTime deadline) = 0;
};

}  // namespace skywire::store
