#include "services/transport_discovery/transports.hpp"

#include "services/transport_discovery/detail/store_layout.hpp"
#include "store/pieces.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using namespace detail;
using transport::Entry;
using transport::SignedEntry;
using transport::TransportId;

/// Signatures of that many entries, 45 us each, are looked at before others have their turn.
constexpr std::size_t kEntriesPerTurn = 8;
/// Of those without signatures, whose keys alone are looked at.
constexpr std::size_t kBareEntriesPerTurn = 64;

LeftOut left_out_of(const Error& error) noexcept {
    using transport::errc;
    switch (static_cast<errc>(error.code().value())) {
        case errc::wrong_edges:
            return LeftOut::wrong_edges;
        case errc::too_long:
            return LeftOut::too_long;
        case errc::wrong_signature:
            return LeftOut::wrong_signature;
        case errc::no_signature:
        case errc::not_an_edge:
            return LeftOut::not_an_edge;
        case errc::ok:
        case errc::json_syntax:
        case errc::json_type:
        case errc::invalid_id:
        case errc::wrong_id:
            break;
    }
    return LeftOut::wrong_id;
}

}  // namespace

std::string_view reason(LeftOut why) noexcept {
    switch (why) {
        case LeftOut::wrong_id:
            return "wrong_id";
        case LeftOut::wrong_edges:
            return "wrong_edges";
        case LeftOut::wrong_signature:
            return "wrong_signature";
        case LeftOut::not_an_edge:
            return "not_an_edge";
        case LeftOut::too_long:
            return "too_long";
    }
    return "unknown";
}

Transports::Transports(const net::Context& context, store::Store& store, Options options)
    : context_(context),
      store_(store),
      options_(options),
      table_(options.lifetimes),
      unreadable_(context.metrics.counter(
          "transport_discovery_unreadable_total",
          "Stored transports that could not be read and were passed over."
      )) {
    for (const LeftOut why : kLeftOut) {
        left_out_[static_cast<std::size_t>(why)] = &context.metrics.counter(
            "transport_discovery_left_out_total",
            "Entries of registrations that were not stored, by reason.",
            {{"reason", std::string(reason(why))}}
        );
    }
}

Task<> Transports::pause() {
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

std::uint64_t Transports::left_out(LeftOut why) const {
    return left_out_[static_cast<std::size_t>(why)]->value();
}

bool Transports::left_out_for(LeftOut why) {
    left_out_[static_cast<std::size_t>(why)]->add();
    return false;
}

// ---------------------------------------------------------------- what may be registered

bool Transports::keeps(const SignedEntry& entry, const Writer& writer) {
    if (const auto checked = transport::check_entry(entry.entry); !checked)
        return left_out_for(left_out_of(checked.error()));
    const bool both = !entry.entry.has_edge(writer.key);
    if (const auto verified = transport::verify_entry(entry, both); !verified)
        return left_out_for(left_out_of(verified.error()));
    return true;
}

Task<Result<>> Transports::put(std::vector<SignedEntry>& entries, Writer writer) {
    if (const auto synced = co_await sync(); !synced) co_return synced.error();
    std::vector<SignedEntry> kept;
    std::vector<Change> changes;
    kept.reserve(entries.size());
    changes.reserve(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (i % kEntriesPerTurn == kEntriesPerTurn - 1) co_await pause();
        if (!keeps(entries[i], writer)) continue;
        changes.push_back({entries[i].entry, !writer.refreshing});
        kept.push_back(std::move(entries[i]));
    }
    entries = std::move(kept);
    co_return co_await store_all(std::move(changes));
}

Task<Result<>> Transports::put(std::vector<Entry>& entries, crypto::PublicKey writer) {
    if (const auto synced = co_await sync(); !synced) co_return synced.error();
    const auto wanted = [&](const Entry& entry) {
        if (const auto checked = transport::check_entry(entry); !checked)
            return left_out_for(left_out_of(checked.error()));
        return entry.has_edge(writer) || left_out_for(LeftOut::not_an_edge);
    };
    std::vector<Entry> kept;
    std::vector<Change> changes;
    kept.reserve(entries.size());
    changes.reserve(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (i % kBareEntriesPerTurn == kBareEntriesPerTurn - 1) co_await pause();
        if (!wanted(entries[i])) continue;
        changes.push_back({entries[i], /*held=*/false});
        kept.push_back(std::move(entries[i]));
    }
    entries = std::move(kept);
    co_return co_await store_all(std::move(changes));
}

// ---------------------------------------------------------------- writing

Task<Result<>> Transports::store_all(std::vector<Change> changes) {
    for (std::vector<Change>& piece : store::pieces(std::move(changes)))
        if (const auto stored = co_await store_some(std::move(piece)); !stored)
            co_return stored.error();
    co_return Result<>();
}

void Transports::add_value(store::Batch& batch, const Entry& entry, bool held) const {
    // In a store of our own a held record has no end: calendar time goes on while the service is
    // down, and its owners' time does not.
    Duration life = table_.lifetimes().refreshing;
    if (held) life = options_.shared ? table_.lifetimes().held : Duration(0);
    batch.changes.emplace_back(store::SetValue{
        transport_key(entry.id), to_text({entry, context_.clock.wall(), held}), life
    });
}

Task<Result<>> Transports::store_some(std::vector<Change> changes) {
    store::Batch batch;
    batch.changes.reserve(changes.size() * 4 + 1);
    Ids shown;
    for (const Change& change : changes) {
        const Entry& entry = change.entry;
        const Record* known = table_.find(entry.id);
        if (known == nullptr || known->entry.label != entry.label) shown.push_back(entry.id);
        add_value(batch, entry, change.held);
        if (known != nullptr && !options_.shared) continue;
        const std::string id = entry.id.to_text();
        batch.changes.emplace_back(store::AddToSet{edge_key(entry.edges[0]), id});
        batch.changes.emplace_back(store::AddToSet{edge_key(entry.edges[1]), id});
        batch.changes.emplace_back(store::AddToSet{index_key(), id});
    }
    const auto written = co_await write(std::move(shown), std::move(batch));
    if (!written) co_return written.error();
    const SteadyTime now = context_.clock.now();
    for (const Change& change : changes)
        table_.put(change.entry, change.held, now);
    co_return Result<>();
}

Task<Result<>> Transports::write(Ids shown, store::Batch batch) {
    std::uint64_t number = 0;
    if (options_.shared && !shown.empty()) {
        const auto next = co_await store_.increment(changes_key());
        if (!next) co_return next.error();
        number = *next;
        batch.changes.emplace_back(
            store::SetValue{change_key(number), joined(shown), kChangeLifetime}
        );
    }
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    // The caller makes the table show it before anybody else has his turn.
    if (number != 0 && number == seen_ + 1) seen_ = number;
    co_return Result<>();
}

void Transports::add_removal(store::Batch& batch, const Entry& entry) const {
    const std::string id = entry.id.to_text();
    batch.changes.emplace_back(store::Erase{transport_key(entry.id)});
    batch.changes.emplace_back(store::RemoveFromSet{edge_key(entry.edges[0]), id});
    batch.changes.emplace_back(store::RemoveFromSet{edge_key(entry.edges[1]), id});
    batch.changes.emplace_back(store::RemoveFromSet{index_key(), id});
}

Task<Result<>> Transports::remove(Ids ids, bool only_held) {
    for (const Ids& piece : store::pieces(std::move(ids))) {
        store::Batch batch;
        Ids shown;
        for (const TransportId& id : piece) {
            const Record* record = table_.find(id);
            if (record == nullptr || (only_held && !record->held)) continue;
            add_removal(batch, record->entry);
            shown.push_back(id);
        }
        if (shown.empty()) continue;
        const auto written = co_await write(shown, std::move(batch));
        if (!written) co_return written.error();
        for (const TransportId& id : shown)
            table_.erase(id);
    }
    co_return Result<>();
}

Task<Result<Erased>> Transports::erase(TransportId id, crypto::PublicKey caller) {
    if (const auto synced = co_await sync(); !synced) co_return synced.error();
    const Record* record = table_.find(id);
    if (record == nullptr) co_return Erased::not_found;
    if (!record->entry.has_edge(caller)) co_return Erased::not_an_edge;
    const auto removed = co_await remove({id}, /*only_held=*/false);
    if (!removed) co_return removed.error();
    co_return Erased::done;
}

Task<Result<>> Transports::erase_all(Ids ids, crypto::PublicKey caller) {
    if (ids.empty()) co_return Result<>();
    if (const auto synced = co_await sync(); !synced) co_return synced.error();
    const auto foreign = [&](const TransportId& id) {
        const Record* record = table_.find(id);
        return record == nullptr || !record->entry.has_edge(caller);
    };
    std::erase_if(ids, foreign);
    co_return co_await remove(std::move(ids), /*only_held=*/false);
}

Task<Result<bool>> Transports::deregister(TransportId id) {
    if (const auto synced = co_await sync(); !synced) co_return synced.error();
    if (table_.find(id) == nullptr) co_return false;
    const auto removed = co_await remove({id}, /*only_held=*/false);
    if (!removed) co_return removed.error();
    co_return true;
}

// ---------------------------------------------------------------- owners

Task<Result<>> Transports::renew(crypto::PublicKey owner) {
    Ids held;
    for (const Record* record : table_.of_edge(EdgeKey(owner)))
        if (record->held) held.push_back(record->entry.id);
    const SteadyTime now = context_.clock.now();
    for (const Ids& piece : store::pieces(std::move(held))) {
        // In a store of our own a held record has no end that would have to be moved.
        if (options_.shared)
            if (const auto renewed = co_await renew_stored(piece); !renewed)
                co_return renewed.error();
        for (const TransportId& id : piece)
            table_.sign(id, now);
    }
    co_return Result<>();
}

/// Moves the ends of those that still stand there as held. What another process has removed or
/// written anew since it was read here is taken over.
Task<Result<>> Transports::renew_stored(Ids ids) {
    const auto values = co_await store_.get_many(keys_of(ids));
    if (!values) co_return values.error();
    store::Batch batch;
    Ids differing;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::optional<std::string>& text = (*values)[i];
        const auto stored = stored_transport(text.value_or(""));
        if (!stored || !stored->held || stored->entry.id != ids[i]) {
            differing.push_back(ids[i]);
            continue;
        }
        batch.expected.push_back({transport_key(ids[i]), text});
        add_value(batch, stored->entry, /*held=*/true);
    }
    if (!batch.changes.empty()) {
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
        if (!*applied) differing = std::move(ids);
    }
    co_return co_await read_anew(std::move(differing));
}

Task<Result<>> Transports::owner_gone(crypto::PublicKey owner) {
    Ids held;
    for (const Record* record : table_.of_edge(EdgeKey(owner)))
        if (record->held) held.push_back(record->entry.id);
    // What another process has written meanwhile may not be held any more.
    if (options_.shared)
        if (const auto read = co_await read_anew(held); !read) co_return read.error();
    co_return co_await remove(std::move(held), /*only_held=*/true);
}

// ---------------------------------------------------------------- the end of records

Task<Result<>> Transports::sweep() {
    const SteadyTime now = context_.clock.now();
    if (options_.shared && now >= read_all_at_) {
        if (const auto read = co_await load_all(); !read) co_return read.error();
    }
    while (true) {
        Ids ended = table_.take_ended(now, store::kPieceSize);
        if (ended.empty()) break;
        const auto dropped = co_await drop_ended(ended);
        if (dropped) continue;
        for (const TransportId& id : ended)
            table_.look_again(id, now + 1s);
        co_return dropped.error();
    }
    co_return Result<>();
}

Task<Result<>> Transports::drop_ended(Ids ids) {
    if (!options_.shared) co_return co_await remove(std::move(ids), /*only_held=*/false);
    // Another process may have heard of the record, or of its owner.
    std::vector<Entry> entries;
    entries.reserve(ids.size());
    for (const TransportId& id : ids)
        if (const Record* record = table_.find(id)) entries.push_back(record->entry);
    if (const auto read = co_await read_anew(ids); !read) co_return read.error();
    for (const Entry& entry : entries) {
        if (table_.find(entry.id) != nullptr) {
            table_.look_again(entry.id, context_.clock.now() + 1s);
            continue;
        }
        store::Batch batch;
        add_removal(batch, entry);
        batch.expected.push_back({transport_key(entry.id), std::nullopt});
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return Result<>();
}

}  // namespace skywire::tpd
