#include "services/transport_discovery/visor_telemetry.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace skywire::tpd {
namespace {

using cxo::TelemetryRow;
using transport::TransportId;
using Taken = services::FeedIntake::Taken;

constexpr std::string_view kShards = "transports/telemetry";
constexpr std::string_view kCurrent = "/current";

Counter& outcome(Metrics& metrics, std::string_view name) {
    return metrics.counter(
        "transport_discovery_telemetry_leaves_total",
        "Leaves of traffic in feeds of visors, by what came of them.",
        {{"outcome", std::string(name)}}
    );
}

/// Of "transports/ID/current".
std::optional<TransportId> id_of(std::string_view path) {
    if (!path.ends_with(kCurrent)) return std::nullopt;
    path.remove_suffix(kCurrent.size());
    if (path.size() <= VisorTelemetry::kPrefix.size()) return std::nullopt;
    path.remove_prefix(VisorTelemetry::kPrefix.size() + 1);
    const auto id = TransportId::from_text(path);
    if (!id) return std::nullopt;
    return *id;
}

}  // namespace

VisorTelemetry::VisorTelemetry(const Parts& parts)
    : traffic_(parts.traffic),
      transports_(parts.transports),
      uptimes_(parts.uptimes),
      answers_(parts.answers),
      read_(outcome(parts.context.metrics, "read")),
      unreadable_(outcome(parts.context.metrics, "unreadable")),
      wrong_shard_(outcome(parts.context.metrics, "wrong_shard")) {}

std::vector<TelemetryRow> VisorTelemetry::read(const cxo::Tree& tree) {
    std::vector<TelemetryRow> rows;
    bool shards = false;
    tree.walk(kShards, [&](std::string_view path, ByteSpan leaf) {
        shards = true;
        auto shard = cxo::read_shard(leaf);
        if (!shard) {
            unreadable_.add();
        } else if (path != cxo::telemetry_path(shard->shard)) {
            wrong_shard_.add();
        } else {
            read_.add();
            rows.insert(rows.end(), shard->rows.begin(), shard->rows.end());
        }
        return true;
    });
    // A build that has shards leaves nothing of use in the earlier form.
    if (shards) return rows;
    tree.walk(kPrefix, [&](std::string_view path, ByteSpan leaf) {
        const auto id = id_of(path);
        if (!id) return true;
        auto row = cxo::read_current(as_text(leaf));
        if (!row) {
            unreadable_.add();
            return true;
        }
        read_.add();
        row->transport = id->bytes;
        rows.push_back(*row);
        return true;
    });
    return rows;
}

Task<> VisorTelemetry::note_heartbeats(
    crypto::PublicKey publisher, std::vector<TransportId> fresh
) {
    const auto silent = [this](const TransportId& id) {
        const Record* record = transports_.table().find(id);
        return record == nullptr || !has_heartbeats(record->entry.type);
    };
    std::erase_if(fresh, silent);
    const auto visor = co_await uptimes_.visors().seen(publisher, {});
    if (!visor) answers_.note_failure(visor.error());
    const auto marked = co_await uptimes_.transports_seen(std::move(fresh), publisher);
    if (!marked) answers_.note_failure(marked.error());
}

Task<Taken> VisorTelemetry::take(crypto::PublicKey publisher, cxo::Tree tree) {
    const auto done = done_.find(publisher);
    if (done != done_.end() && done->second == tree.hash()) co_return Taken::done;
    std::vector<TelemetryRow> rows = read(tree);
    if (rows.empty()) {
        done_.erase(publisher);
        co_return Taken::nothing;
    }
    auto taken = co_await traffic_.take(publisher, std::move(rows));
    if (!taken) {
        answers_.note_failure(taken.error());
        // A store that is full is so for everybody: the renewal is soon enough.
        const bool full = taken.error() == make_error_code(errc::limit_reached);
        co_return full ? Taken::nothing : Taken::again;
    }
    if (taken->contended) co_return Taken::again;
    if (taken->again || !taken->known) {
        done_.erase(publisher);
    } else {
        done_[publisher] = tree.hash();
    }
    if (!taken->fresh.empty()) co_await note_heartbeats(publisher, std::move(taken->fresh));
    co_return taken->known ? Taken::done : Taken::nothing;
}

}  // namespace skywire::tpd
