#include "services/service_discovery/table.hpp"

#include <utility>

namespace skywire::service_discovery {

void Table::put(Entry entry, bool held, SteadyTime ends) {
    const Place place{entry.type, entry.key};
    Record record;
    append_entry(record.listed, entry, Reader::list);
    record.listed.shrink_to_fit();
    const Record* const before = find(place.type, place.key);
    const bool same = before != nullptr && before->listed == record.listed;
    // Its list stays what it is where it stays the same.
    const auto listing = same ? types_.find(place.type)->second.listing : nullptr;
    remove(place);
    record.entry = std::move(entry);
    record.held = held;
    record.ends = ends;
    Type& type = types_[place.type];
    type.listing = listing;
    type.records.emplace(place.key, std::move(record));
    ++size_;
    Owner& owner = owners_[place.key];
    owner.types.insert(place.type);
    if (held) ++owner.held;
    if (ends != SteadyTime::max()) ends_.emplace(ends, place);
    if (!same) note_change(place);
}

void Table::note_change(const Place& place) {
    if (!on_change_) return;
    const bool first = changed_.empty();
    changed_.insert(place);
    if (first) on_change_();
}

bool Table::erase(const Place& place) {
    const bool removed = remove(place);
    if (removed) note_change(place);
    return removed;
}

bool Table::remove(const Place& place) {
    const auto type = types_.find(place.type);
    if (type == types_.end()) return false;
    const auto record = type->second.records.find(place.key);
    if (record == type->second.records.end()) return false;
    ends_.erase({record->second.ends, place});
    const auto owner = owners_.find(place.key);
    owner->second.types.erase(place.type);
    if (record->second.held) --owner->second.held;
    if (owner->second.types.empty()) owners_.erase(owner);
    type->second.records.erase(record);
    type->second.listing.reset();
    if (type->second.records.empty()) types_.erase(type);
    --size_;
    return true;
}

std::vector<Place> Table::end_before(SteadyTime now) {
    std::vector<Place> ended;
    while (!ends_.empty() && ends_.begin()->first <= now) {
        // A copy: erasing takes it out of the set.
        ended.push_back(ends_.begin()->second);
        erase(ended.back());
    }
    return ended;
}

const Table::Record* Table::find(std::string_view type, const crypto::PublicKey& key) const {
    const Records* const records = of_type(type);
    if (records == nullptr) return nullptr;
    const auto found = records->find(key);
    return found == records->end() ? nullptr : &found->second;
}

const Table::Records* Table::of_type(std::string_view type) const {
    const auto found = types_.find(type);
    return found == types_.end() ? nullptr : &found->second.records;
}

std::shared_ptr<Listing> Table::listing(std::string_view type) {
    static const auto nothing = std::make_shared<const std::string>("null\n");
    const auto found = types_.find(type);
    if (found == types_.end()) {
        auto empty = std::make_shared<Listing>();
        empty->body = nothing;
        return empty;
    }
    std::shared_ptr<Listing>& listing = found->second.listing;
    if (listing) return listing;
    std::vector<const Record*> all;
    all.reserve(found->second.records.size());
    for (const auto& [key, record] : found->second.records)
        all.push_back(&record);
    listing = std::make_shared<Listing>();
    listing->body = std::make_shared<const std::string>(list_body(all));
    return listing;
}

std::size_t Table::types_of(const crypto::PublicKey& key) const {
    const auto found = owners_.find(key);
    return found == owners_.end() ? 0 : found->second.types.size();
}

std::size_t Table::held_count(const crypto::PublicKey& key) const {
    const auto found = owners_.find(key);
    return found == owners_.end() ? 0 : found->second.held;
}

std::vector<Place> Table::held_by(const crypto::PublicKey& key) const {
    std::vector<Place> held;
    const auto owner = owners_.find(key);
    if (owner == owners_.end()) return held;
    for (const std::string& type : owner->second.types) {
        const Record* const record = find(type, key);
        if (record != nullptr && record->held) held.push_back({type, key});
    }
    return held;
}

std::vector<Place> Table::places() const {
    std::vector<Place> all;
    all.reserve(size_);
    for (const auto& [name, type] : types_)
        for (const auto& [key, record] : type.records)
            all.push_back({name, key});
    return all;
}

std::size_t Table::count(std::string_view type) const {
    const Records* const records = of_type(type);
    return records == nullptr ? 0 : records->size();
}

std::string list_body(const std::vector<const Table::Record*>& records) {
    if (records.empty()) return "null\n";
    std::size_t size = 3;
    for (const Table::Record* record : records)
        size += record->listed.size() + 1;
    std::string body;
    body.reserve(size);
    for (const Table::Record* record : records) {
        body += body.empty() ? '[' : ',';
        body += record->listed;
    }
    body += "]\n";
    return body;
}

}  // namespace skywire::service_discovery
