#include "framework/health_tracker.hpp"

#include <algorithm>

namespace skywire::framework {

void HealthTracker::report(const std::vector<Check>& checks, WallTime now) {
    std::erase_if(checks_, [&](const auto& known) {
        return std::none_of(checks.begin(), checks.end(), [&](const Check& check) {
            return check.name == known.first;
        });
    });
    std::size_t order = 0;
    for (const Check& check : checks) {
        auto [it, added] = checks_.try_emplace(check.name);
        Entry& entry = it->second;
        entry.order = order++;
        if (added) {
            entry.shown = {check.name, Check::Status::pass, {}, now};
            entry.pending_since = now;
        }
        if (check.status == entry.shown.status) {
            entry.pending = check.status;
            entry.in_a_row = 0;
            entry.shown.detail = check.detail;
            continue;
        }
        if (check.status != entry.pending || entry.in_a_row == 0) {
            entry.pending = check.status;
            entry.pending_since = now;
            entry.in_a_row = 0;
        }
        const bool better = check.status == Check::Status::pass;
        if (++entry.in_a_row < (better ? policy_.successes : policy_.failures)) continue;
        entry.shown.status = check.status;
        entry.shown.detail = check.detail;
        entry.shown.since = better ? now : entry.pending_since;
        entry.in_a_row = 0;
    }
}

std::vector<HealthTracker::Tracked> HealthTracker::checks() const {
    std::vector<const Entry*> entries;
    entries.reserve(checks_.size());
    for (const auto& [name, entry] : checks_)
        entries.push_back(&entry);
    std::sort(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) {
        return a->order < b->order;
    });
    std::vector<Tracked> checks;
    checks.reserve(entries.size());
    for (const Entry* entry : entries)
        checks.push_back(entry->shown);
    return checks;
}

const HealthTracker::Tracked* HealthTracker::failing() const {
    const Entry* first = nullptr;
    for (const auto& [name, entry] : checks_) {
        if (entry.shown.status != Check::Status::fail) continue;
        if (first == nullptr || entry.order < first->order) first = &entry;
    }
    return first == nullptr ? nullptr : &first->shown;
}

}  // namespace skywire::framework
