#include "services/transport_discovery/table.hpp"

#include <algorithm>

namespace skywire::tpd {

std::optional<EdgeKey> EdgeKey::from_text(std::string_view text) {
    EdgeKey key;
    Bytes bytes;
    if (text.size() != crypto::PublicKey::kTextSize || !from_hex(text, bytes)) return std::nullopt;
    std::memcpy(key.bytes.data(), bytes.data(), key.bytes.size());
    return key;
}

Table::Put Table::put(const transport::Entry& entry, bool held, SteadyTime last_sign) {
    const auto [at, added] = records_.try_emplace(entry.id);
    Record& record = at->second;
    if (added) {
        record.entry = entry;
        record.held = held;
        record.last_sign = last_sign;
        attach(record);
        look_at(record, lifetimes_.end_of(record));
        ++version_;
        if (events_.listed) events_.listed(record.entry);
        return Put::added;
    }
    record.last_sign = last_sign;
    if (record.held != held) {
        count_held(record, held);
        record.held = held;
    }
    look_at(record, std::min(record.look_at, lifetimes_.end_of(record)));
    if (record.entry.label == entry.label) return Put::renewed;
    record.entry.label = entry.label;
    listing_.touch(record.place);
    ++version_;
    if (events_.listed) events_.listed(record.entry);
    return Put::changed;
}

bool Table::erase(const transport::TransportId& id) {
    const auto found = records_.find(id);
    if (found == records_.end()) return false;
    detach(found->second);
    records_.erase(found);
    ++version_;
    if (events_.unlisted) events_.unlisted(id);
    return true;
}

void Table::sign(const transport::TransportId& id, SteadyTime at) {
    const auto found = records_.find(id);
    if (found == records_.end() || !found->second.held) return;
    found->second.last_sign = std::max(found->second.last_sign, at);
}

const Record* Table::find(const transport::TransportId& id) const {
    const auto found = records_.find(id);
    return found == records_.end() ? nullptr : &found->second;
}

const std::vector<const Record*>& Table::of_edge(const EdgeKey& key) const {
    static const std::vector<const Record*> kNone;
    const auto found = edges_.find(key);
    return found == edges_.end() ? kNone : found->second.records;
}

std::vector<transport::TransportId> Table::take_ended(SteadyTime now, std::size_t count_max) {
    std::vector<transport::TransportId> ended;
    while (!looks_.empty() && looks_.begin()->first <= now && ended.size() < count_max) {
        Record& record = records_.at(looks_.begin()->second);
        const SteadyTime end = lifetimes_.end_of(record);
        if (end <= now) {
            ended.push_back(record.entry.id);
            look_at(record, SteadyTime::max());
        } else {
            look_at(record, end);
        }
    }
    return ended;
}

void Table::look_again(const transport::TransportId& id, SteadyTime at) {
    if (const auto found = records_.find(id); found != records_.end())
        look_at(found->second, std::min(found->second.look_at, at));
}

std::vector<transport::TransportId> Table::ids() const {
    std::vector<transport::TransportId> ids;
    ids.reserve(records_.size());
    for (const auto& [id, record] : records_)
        ids.push_back(id);
    return ids;
}

std::vector<transport::Entry> Table::entries() const {
    std::vector<transport::Entry> entries;
    entries.reserve(records_.size());
    for (const auto& [id, record] : records_)
        entries.push_back(record.entry);
    return entries;
}

void Table::attach(Record& record) {
    record.place = listing_.add(record.entry);
    ++by_type_[record.entry.type];
    const EdgeKey first(record.entry.edges[0]);
    edges_[first].records.push_back(&record);
    if (!record.entry.to_self()) edges_[EdgeKey(record.entry.edges[1])].records.push_back(&record);
    if (record.held) count_held(record, /*more=*/true);
}

void Table::detach(Record& record) {
    look_at(record, SteadyTime::max());
    listing_.remove(record.place);
    const auto type = by_type_.find(record.entry.type);
    if (--type->second == 0) by_type_.erase(type);
    if (record.held) count_held(record, /*more=*/false);
    for (std::size_t i = 0; i < (record.entry.to_self() ? 1U : 2U); ++i) {
        const auto edge = edges_.find(EdgeKey(record.entry.edges[i]));
        std::erase(edge->second.records, &record);
        if (edge->second.records.empty()) edges_.erase(edge);
    }
}

void Table::count_held(const Record& record, bool more) {
    for (std::size_t i = 0; i < (record.entry.to_self() ? 1U : 2U); ++i) {
        Edge& edge = edges_.at(EdgeKey(record.entry.edges[i]));
        edge.held += more ? 1U : static_cast<std::size_t>(-1);
        if (events_.held) events_.held(record.entry.edges[i], edge.held);
    }
}

void Table::look_at(Record& record, SteadyTime at) {
    if (at == record.look_at) return;
    if (record.look_at != SteadyTime::max()) looks_.erase({record.look_at, record.entry.id});
    record.look_at = at;
    if (at != SteadyTime::max()) looks_.emplace(at, record.entry.id);
}

}  // namespace skywire::tpd
