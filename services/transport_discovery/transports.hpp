#pragma once

#include "net/context.hpp"
#include "services/transport_discovery/record.hpp"
#include "services/transport_discovery/table.hpp"
#include "store/store.hpp"

#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

/// Who may register which transport, how long it is kept, and how the store and the table that is
/// read stay the same: spec/services-http.md section 13 items 2 and 3. HTTP is in routes.cpp.
namespace skywire::tpd {

/// Why an entry is left out of store and echo; the answer stays 201.
enum class LeftOut {
    wrong_id,
    wrong_edges,
    wrong_signature,
    /// The caller is no edge, and not both edges have signed.
    not_an_edge,
    too_long,
};
inline constexpr std::array kLeftOut{
    LeftOut::wrong_id,
    LeftOut::wrong_edges,
    LeftOut::wrong_signature,
    LeftOut::not_an_edge,
    LeftOut::too_long,
};
std::string_view reason(LeftOut why) noexcept;

/// What came of a DELETE.
enum class Erased { done, not_found, not_an_edge };

/// Used on the store's event loop. All errors are the store's.
///
/// With a store that others share (Redis) each write that a list shows gets a number of the counter
/// `:changes` and leaves its ids under `:change:N`; `sync` reads what has been added since. What
/// programs of the network write without that is found by reading everything again now and then.
class Transports {
 public:
    struct Options {
        Lifetimes lifetimes;
        /// Other processes write the store, too.
        bool shared = false;
    };

    /// Who writes, and whether he will write again by himself.
    struct Writer {
        crypto::PublicKey key;
        bool refreshing = false;
    };

    /// `store` outlives it.
    Transports(const net::Context& context, store::Store& store, Options options);

    /// Reads what is stored.
    Task<Result<>> open();

    /// Makes the table show what other processes have written; before every read and write. At once
    /// where the store is ours alone.
    Task<Result<>> sync();

    /// Stores the entries that may be, and takes the others off the list.
    Task<Result<>> put(std::vector<transport::SignedEntry>& entries, Writer writer);
    /// The same for entries without signatures: the caller must be an edge.
    Task<Result<>> put(std::vector<transport::Entry>& entries, crypto::PublicKey writer);

    Task<Result<Erased>> erase(transport::TransportId id, crypto::PublicKey caller);
    /// All of these whose edge the caller is, at once.
    Task<Result<>> erase_all(std::vector<transport::TransportId> ids, crypto::PublicKey caller);
    /// Without asking for the edges; false: there was none.
    Task<Result<bool>> deregister(transport::TransportId id);

    /// A sign of life: renews the held records of this key.
    Task<Result<>> renew(crypto::PublicKey owner);
    /// Removes the held records of this key.
    Task<Result<>> owner_gone(crypto::PublicKey owner);

    /// Removes what has ended, and reads a shared store anew now and then. Every second.
    Task<Result<>> sweep();

    Table& table() noexcept { return table_; }
    const Table& table() const noexcept { return table_; }

    std::uint64_t left_out(LeftOut why) const;

 private:
    struct Change {
        transport::Entry entry;
        bool held = false;
    };
    using Ids = std::vector<transport::TransportId>;

    bool keeps(const transport::SignedEntry& entry, const Writer& writer);
    bool left_out_for(LeftOut why);
    Task<Result<>> store_all(std::vector<Change> changes);
    Task<Result<>> store_some(std::vector<Change> changes);
    Task<Result<>> renew_stored(Ids ids);
    Task<Result<>> remove(Ids ids, bool only_held);
    Task<Result<>> write(Ids shown, store::Batch batch);
    void add_value(store::Batch& batch, const transport::Entry& entry, bool held) const;
    void add_removal(store::Batch& batch, const transport::Entry& entry) const;

    Task<Result<>> load_all();
    Task<Result<>> note_under_way(std::uint64_t newest);
    Task<Result<>> read_anew(Ids ids);
    Task<Result<>> read_changes(std::uint64_t newest);
    Task<Result<>> drop_ended(Ids ids);
    Task<Result<>> forget(Ids ids);
    void take(const transport::TransportId& id, const std::optional<std::string>& text);

    static Task<> pause();

    net::Context context_;
    store::Store& store_;
    Options options_;
    Table table_;
    std::array<Counter*, kLeftOut.size()> left_out_{};
    Counter& unreadable_;
    /// Of a shared store: the last change that the table shows, and numbers below it that were
    /// taken and not yet written, with the time from which they are given up.
    std::uint64_t seen_ = 0;
    std::map<std::uint64_t, SteadyTime> missing_;
    SteadyTime read_all_at_{};
};

}  // namespace skywire::tpd
