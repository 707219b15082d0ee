#pragma once

#include "base/clock.hpp"
#include "services/transport_discovery/listing.hpp"
#include "transport/entry.hpp"

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

/// The transports as they are read: by id, by edge, as a list, with their ends. In memory, no I/O;
/// what is stored and why is in transports.hpp.
namespace skywire::tpd {

/// The bytes of a key that need not be a point of the curve: for look-ups.
struct EdgeKey {
    std::array<std::byte, crypto::PublicKey::kSize> bytes{};

    EdgeKey() = default;
    explicit EdgeKey(const crypto::PublicKey& key) noexcept {
        std::memcpy(bytes.data(), key.bytes().data(), bytes.size());
    }
    /// 66 hex digits; nothing for other text.
    static std::optional<EdgeKey> from_text(std::string_view text);
    std::string to_text() const { return to_hex(bytes); }

    bool operator==(const EdgeKey&) const noexcept = default;
    auto operator<=>(const EdgeKey&) const noexcept = default;
};

struct EdgeKeyHash {
    std::size_t operator()(const EdgeKey& key) const noexcept {
        std::size_t value = 0;
        std::memcpy(&value, key.bytes.data() + 1, sizeof value);
        return value;
    }
};

/// One transport. spec/services-http.md section 13 item 3 has the classes.
struct Record {
    transport::Entry entry;
    /// It ends with its owners; else it is refreshed by its writer or ends.
    bool held = false;
    /// The last write, or for a held one the last sign of life of an owner.
    SteadyTime last_sign{};
    /// Of the table: when it is looked at next.
    SteadyTime look_at = SteadyTime::max();
    Listing::Place place;
};

/// How long records live after the last write; zero: until they are removed.
struct Lifetimes {
    Duration refreshing{0};
    /// Held ones end with their owners (services/common/owners.hpp); this is their life in a store
    /// that outlives us, Redis, where each sign of life renews it.
    Duration held{0};

    SteadyTime end_of(const Record& record) const noexcept {
        const bool ends = !record.held && refreshing != Duration(0);
        return ends ? record.last_sign + refreshing : SteadyTime::max();
    }
};

class Table {
 public:
    /// Told of changes while they happen; each may be empty.
    struct Events {
        std::function<void(const transport::Entry&)> listed;
        std::function<void(const transport::TransportId&)> unlisted;
        /// How many held records have this edge from now on.
        std::function<void(const crypto::PublicKey&, std::size_t)> held;
    };

    enum class Put {
        /// It was not there.
        added,
        /// Its label is another one now.
        changed,
        /// Lists show what they did before.
        renewed,
    };

    explicit Table(Lifetimes lifetimes) : lifetimes_(lifetimes) {}
    Table(const Table&) = delete;
    Table& operator=(const Table&) = delete;

    void on_change(Events events) { events_ = std::move(events); }

    Put put(const transport::Entry& entry, bool held, SteadyTime last_sign);
    bool erase(const transport::TransportId& id);
    /// A sign of life of a held record's owner; earlier ones change nothing.
    void sign(const transport::TransportId& id, SteadyTime at);

    /// Nothing where there is none; valid until the next change.
    const Record* find(const transport::TransportId& id) const;
    /// Those with this edge, a transport to oneself once; valid until the next change.
    const std::vector<const Record*>& of_edge(const EdgeKey& key) const;

    /// The first `count_max` records that have ended. Each is handed out once: it is to be erased,
    /// put, or named to `look_again`.
    std::vector<transport::TransportId> take_ended(SteadyTime now, std::size_t count_max);
    void look_again(const transport::TransportId& id, SteadyTime at);

    const Lifetimes& lifetimes() const noexcept { return lifetimes_; }
    Listing& listing() noexcept { return listing_; }
    /// Rises with every change that a list shows.
    std::uint64_t version() const noexcept { return version_; }
    std::size_t size() const noexcept { return records_.size(); }
    /// Keys with a transport.
    std::size_t edges() const noexcept { return edges_.size(); }
    const std::map<std::string, std::size_t, std::less<>>& by_type() const noexcept {
        return by_type_;
    }
    std::vector<transport::TransportId> ids() const;
    std::vector<transport::Entry> entries() const;

 private:
    struct Edge {
        std::vector<const Record*> records;
        std::size_t held = 0;
    };
    void attach(Record& record);
    void detach(Record& record);
    void count_held(const Record& record, bool more);
    void look_at(Record& record, SteadyTime at);

    Lifetimes lifetimes_;
    Events events_;
    std::unordered_map<transport::TransportId, Record> records_;
    std::unordered_map<EdgeKey, Edge, EdgeKeyHash> edges_;
    std::map<std::string, std::size_t, std::less<>> by_type_;
    /// When to look at which record; its end may have moved further away since.
    std::set<std::pair<SteadyTime, transport::TransportId>> looks_;
    Listing listing_;
    std::uint64_t version_ = 0;
};

}  // namespace skywire::tpd
