#pragma once

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "crypto/keys.hpp"
#include "net/context.hpp"
#include "services/common/service_store.hpp"
#include "services/common/turns.hpp"
#include "services/service_discovery/entry.hpp"
#include "services/service_discovery/shared_log.hpp"
#include "services/service_discovery/table.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::service_discovery {

/// What a list is asked for; empty text and 0: whatever there is.
struct Filter {
    std::string type;
    std::string version;
    std::string country;
    std::int64_t quantity = 0;
};

/// All that is registered: the store, and a table in memory from which everything is read.
///
/// Where the store is this process's own, the table is the truth and a read costs no call of the
/// store. On a Redis that other services share, each read asks it for one value, the log of the
/// last changes (shared_log.hpp), and takes over what is new: a write that another service has
/// answered is in the next read here. What a service without that log has written is found within
/// 30 s.
///
/// Layout of spec/services-http.md section 5.4: `service:TYPE:KEY` is an entry, `service:TYPE` the
/// set of its keys, `service_types` the set of types, `sd:visor-svc:KEY` the types of a key. ':'
/// and
/// '%' in a type are written %3A and %25.
///
/// Errors of all calls: errc::unavailable (the store does not answer; a change may have happened),
/// errc::limit_reached, errc::cancelled. Used on one event loop.
class Directory {
 public:
    struct Options {
        /// Of a refreshing entry, from its last write.
        Duration entry_timeout = std::chrono::minutes(5);
        /// Of a held entry in Redis, from its owner's last sign of life; 0: for ever.
        Duration held_timeout = std::chrono::hours(24);
        /// Types of one key; more are refused (errc::limit_reached).
        std::size_t types_per_key_max = 64;
    };
    /// Told how many held entries a key has whenever that changes.
    using OnHeld = std::function<void(const crypto::PublicKey&, std::size_t)>;

    /// `context` and `store` outlive it; the store has been opened.
    Directory(
        const net::Context& context, services::ServiceStore& store, Options options, OnHeld on_held
    );
    ~Directory();
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;

    /// Reads what is in the store.
    Task<Result<>> open();

    /// Registers, or replaces what its key has of this type.
    Task<Result<>> put(Entry entry, bool held);

    /// What a key has to say in one.
    struct Exchange {
        crypto::PublicKey key;
        /// Of that key, refreshing, each of another type.
        std::vector<Entry> put;
        /// Types that it has no entry of any more; none of those above.
        std::vector<std::string> erase;
    };
    using Types = std::set<std::string, std::less<>>;

    /// Registers and removes in one turn, and in one batch of the store: all of it, or nothing
    /// where it fails. The types for which there is no room, of that key or in the store, are left
    /// out, and answered. errc::limit_reached: nothing has happened, a Redis is full.
    Task<Result<Types>> exchange(Exchange wanted);

    /// Removes what these keys have of a type; what is not there is no error.
    Task<Result<>> erase(std::string type, std::vector<crypto::PublicKey> keys);

    /// All of a type as the body of an answer, made once for each change.
    Task<Result<std::shared_ptr<Listing>>> list(std::string type);

    /// The same, filtered and drawn: made for each call.
    Task<Result<std::string>> find(Filter filter);

    Task<Result<std::optional<Entry>>> get(std::string type, crypto::PublicKey key);

    /// In Redis: the held entries of this key live for another `held_timeout`.
    Task<> renew(crypto::PublicKey owner);

    /// Removes the held entries of this key.
    Task<> drop_held(crypto::PublicKey owner);

    /// Tidies the store's sets after entries whose time has ended.
    Task<Result<>> sweep();

    const Table& table() const noexcept { return table_; }

    // For the feed.
    /// Told when a list has changed; once until `changed`.
    void on_change(std::function<void()> callback) { table_.on_change(std::move(callback)); }
    /// Where lists read differently since the last call, ended entries and other services' writes
    /// included; `table` and `body` have what stands there now.
    Task<Result<std::set<Place>>> changed();
    /// The list of a type as the body of an answer; null where it has no entries.
    std::shared_ptr<const std::string> body(std::string_view type);

 private:
    /// What one write does; made anew for each try.
    struct Plan {
        std::vector<store::Change> changes;
        std::vector<StoredEntry> put;
        std::vector<Place> removed;

        std::vector<Place> touched() const;
        void add(Plan more);
    };
    using MakePlan = std::function<Plan()>;

    Task<Result<>> sync();
    Task<Result<>> sync_in_turn();
    Task<Result<>> take_over(std::optional<std::string> log_text);
    Task<Result<>> load_all();
    Task<Result<>> load_type(std::string type, std::set<Place>& found);
    Task<Result<>> load_places(std::vector<Place> places);
    /// In a turn.
    Task<Result<>> commit(MakePlan make);
    Task<Result<>> commit_own(Plan plan);
    Task<Result<>> commit_shared(MakePlan make);
    Task<Result<>> let_others_by();
    Task<Result<std::vector<Place>>> still_absent(std::vector<Place> places);
    Error failed(Error error);

    Task<Result<Types>> exchange_by_parts(Exchange wanted);
    Plan exchange_plan(const Exchange& wanted, Types& left_out) const;
    Plan registration(const Entry& entry, bool held) const;
    Plan removal(const std::vector<Place>& places) const;
    void apply(const Plan& plan);
    bool take_text(const Place& place, const std::optional<std::string>& text);
    void put_in_table(const StoredEntry& stored);
    void remove_from_table(const Place& place);
    SteadyTime end_of(const StoredEntry& stored) const;
    void purge();

    net::Context context_;
    services::ServiceStore& service_store_;
    store::Store& store_;
    Options options_;
    OnHeld on_held_;
    bool shared_;
    Table table_;
    SharedLog log_;
    /// The table may lack something: everything is read anew.
    bool stale_ = true;
    /// Places written since another service's was seen, or others were let by.
    std::size_t in_a_row_ = 0;
    SteadyTime reload_at_;
    /// Ended entries whose keys still stand in the store's sets.
    std::set<Place> ended_;
    services::Turns turns_;
    Counter& taken_over_;
    Counter& reloads_;
};

}  // namespace skywire::service_discovery
