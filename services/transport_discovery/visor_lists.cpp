#include "services/transport_discovery/visor_lists.hpp"

#include "base/json.hpp"
#include "cxo/leaf.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <boost/asio/post.hpp>

namespace skywire::tpd {
namespace {

using transport::Entry;
using transport::TransportId;
using Taken = services::FeedIntake::Taken;

/// As of a body over HTTP.
constexpr std::size_t kListMax = std::size_t{1} << 20;
/// Entries that are read before others have their turn.
constexpr std::size_t kEntriesPerTurn = 64;

Counter& outcome(Metrics& metrics, std::string_view name) {
    return metrics.counter(
        "transport_discovery_feed_lists_total",
        "Lists in feeds of visors, by what came of them.",
        {{"outcome", std::string(name)}}
    );
}

}  // namespace

VisorLists::VisorLists(const Parts& parts)
    : context_(parts.context),
      transports_(parts.transports),
      uptimes_(parts.uptimes),
      answers_(parts.answers),
      taken_(outcome(parts.context.metrics, "taken")),
      unreadable_(outcome(parts.context.metrics, "unreadable")),
      compact_(outcome(parts.context.metrics, "compact")),
      limit_(outcome(parts.context.metrics, "limit")) {}

Task<std::optional<VisorLists::List>> VisorLists::read(ByteSpan leaf) {
    const auto text = cxo::read_leaf(leaf, kListMax);
    if (!text) co_return std::nullopt;
    const auto parsed = parse_json(*text);
    if (!parsed || !parsed->is_object()) co_return std::nullopt;
    const json::object& object = parsed->get_object();
    List list;
    if (const json::value* version = object.if_contains("version"); version && version->is_string())
        list.version = std::string(version->get_string());
    const json::value* entries = object.if_contains("entries");
    if (entries == nullptr) {
        const json::value* rows = object.if_contains("c");
        list.compact = rows != nullptr && rows->is_array();
        if (list.compact) co_return list;
    }
    if (entries == nullptr || !entries->is_array()) co_return std::nullopt;
    if (entries->get_array().size() > kEntriesMax) co_return std::nullopt;
    std::set<TransportId> seen;
    std::size_t count = 0;
    for (const json::value& value : entries->get_array()) {
        if (++count % kEntriesPerTurn == 0) co_await asio::post(context_.loop, asio::use_awaitable);
        auto entry = transport::entry_of(value);
        if (!entry) co_return std::nullopt;
        if (seen.insert(entry->id).second) list.entries.push_back(std::move(*entry));
    }
    co_return list;
}

Task<Taken> VisorLists::take(crypto::PublicKey publisher, cxo::Tree tree) {
    auto leaf = tree.get(kPath);
    if (!leaf) leaf = tree.get(kOldPath);
    std::optional<List> list;
    if (leaf) list = co_await read(*leaf);
    if (!list || list->compact) {
        (list ? compact_ : unreadable_).add();
        // What it listed ends by itself.
        listed_.erase(publisher);
        co_return Taken::nothing;
    }
    const auto stored = co_await transports_.put(list->entries, publisher);
    // A store that is full is so for everybody: the renewal is soon enough, and less may be listed.
    const bool full = !stored && stored.error() == make_error_code(errc::limit_reached);
    if (!stored && !full) {
        answers_.note_failure(stored.error());
        co_return Taken::again;
    }
    std::vector<TransportId> now;
    std::vector<TransportId> beating;
    now.reserve(list->entries.size());
    for (const Entry& entry : list->entries) {
        now.push_back(entry.id);
        if (has_heartbeats(entry.type)) beating.push_back(entry.id);
    }
    std::ranges::sort(now);
    std::vector<TransportId> gone;
    std::ranges::set_difference(listed_[publisher], now, std::back_inserter(gone));
    const bool any = !now.empty() || !gone.empty();
    const auto erased = co_await transports_.erase_all(std::move(gone), publisher);
    if (!erased) {
        // Next time: no more than one list is remembered, others end by themselves.
        answers_.note_failure(erased.error());
        co_return Taken::again;
    }
    if (now.empty()) {
        listed_.erase(publisher);
    } else {
        listed_[publisher] = std::move(now);
    }
    if (full) {
        limit_.add();
        co_return Taken::nothing;
    }
    const auto visor = co_await uptimes_.visors().seen(publisher, std::move(list->version));
    if (!visor) answers_.note_failure(visor.error());
    const auto marked = co_await uptimes_.transports_seen(std::move(beating), publisher);
    if (!marked) answers_.note_failure(marked.error());
    taken_.add();
    co_return any ? Taken::done : Taken::nothing;
}

}  // namespace skywire::tpd
