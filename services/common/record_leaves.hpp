#pragma once

#include "crypto/hash.hpp"
#include "cxo/feed.hpp"
#include "net/context.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skywire::services {

/// The leaves of the layouts from before mid-2026, one for each record: `PATH/entry`, its plain
/// JSON, and for an hour where one has gone `PATH/tombstone`, `{"deleted_at":"2026-..."}` in RFC
/// 3339. spec/cxo.md section 10, spec/services-http.md section 5.5.
///
/// A change costs the leaf it is about: what reads as before says nothing, and a record that was
/// never told of goes without a tombstone. Tombstones whose hour is over go together, once a
/// minute; above the bound the oldest quarter goes: each time the list of their names is written
/// anew. A new program on the same store knows of no tombstones.
class RecordLeaves {
 public:
    struct Options {
        Options(std::string_view feed_in) : feed(feed_in) {}

        /// A known feed's name, for series.
        std::string feed;
        std::size_t records_max = 100'000;
        /// Of all entries: leaves room in the feed for those of another layout.
        std::size_t bytes_max = std::size_t{64} << 20;
        /// Of one entry.
        std::size_t entry_max = std::size_t{16} << 10;
        std::size_t tombstones_max = 4096;
        Duration tombstone_lifetime = std::chrono::hours(1);
    };
    using Changes = std::vector<cxo::Change>;

    RecordLeaves(const net::Context& context, Options options);

    // What these add to `changes` is told of once: it is not to be lost.
    /// The record reads so. Where there is no room for it, it is left out and counted.
    void put(const std::string& path, std::string_view text, Changes& changes);
    /// The record is not there.
    void remove(const std::string& path, Changes& changes);
    /// Takes away the tombstones whose time is over.
    void tidy(Changes& changes);

    /// Some were left out, a minute ago or longer, and now there is room: all are to be put again.
    /// True once.
    bool has_room_again();

    std::size_t records() const noexcept { return leaves_.size(); }
    std::size_t tombstones() const noexcept { return tombstones_.size(); }

 private:
    struct Leaf {
        crypto::Digest digest{};
        std::size_t bytes = 0;
    };
    struct Tombstone {
        std::string path;
        SteadyTime ends;
    };
    /// The oldest first.
    using Tombstones = std::list<Tombstone>;
    using Leaves = std::map<std::string, Leaf, std::less<>>;

    /// Null: there is room for it.
    Counter* no_room(const Leaves::iterator& before, std::size_t bytes);
    void leave_out(const std::string& path, Changes& changes);
    void look_again();
    bool withdraw(const std::string& path, Changes& changes);
    void drop_tombstone(const std::string& path, Changes& changes);
    void drop_oldest(Changes& changes);
    void show_tombstones();

    net::Context context_;
    Options options_;
    Leaves leaves_;
    std::size_t bytes_ = 0;
    Tombstones tombstones_;
    std::map<std::string, Tombstones::iterator, std::less<>> tombstone_at_;
    SteadyTime tidy_at_{};
    bool left_out_ = false;
    SteadyTime look_again_at_{};
    Counter& too_large_;
    Counter& records_max_;
    Counter& bytes_max_;
    Gauge& tombstones_shown_;
};

}  // namespace skywire::services
