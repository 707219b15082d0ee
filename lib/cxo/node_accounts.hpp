#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace skywire::cxo {

/// Who holds how many places of a bounded number, each place with an id that rises. Where all are
/// taken the oldest place of whoever has most is given up: many places of one do not shut out
/// others who want one. O(log n).
class Accounts {
 public:
    using Id = std::uint64_t;

    void add(const std::string& name, Id id) {
        const auto place = accounts_.try_emplace(name).first;
        by_size_.erase({place->second.size(), place->first});
        place->second.insert(id);
        by_size_.emplace(place->second.size(), place->first);
        ++size_;
    }
    /// Nothing where there is none: what was to be added may have thrown.
    void remove(const std::string& name, Id id) {
        const auto place = accounts_.find(name);
        if (place == accounts_.end() || !place->second.contains(id)) return;
        by_size_.erase({place->second.size(), place->first});
        place->second.erase(id);
        --size_;
        if (place->second.empty()) {
            accounts_.erase(place);
        } else {
            by_size_.emplace(place->second.size(), place->first);
        }
    }

    std::size_t size() const noexcept { return size_; }
    std::size_t size_of(const std::string& name) const {
        const auto found = accounts_.find(name);
        return found == accounts_.end() ? 0 : found->second.size();
    }
    std::optional<Id> oldest_of(const std::string& name) const {
        const auto found = accounts_.find(name);
        if (found == accounts_.end()) return std::nullopt;
        return *found->second.begin();
    }
    /// Nothing where nobody has more than `size`.
    std::optional<Id> oldest_of_largest(std::size_t size) const {
        if (by_size_.empty() || by_size_.rbegin()->first <= size) return std::nullopt;
        return oldest_of(std::string(by_size_.rbegin()->second));
    }

 private:
    std::map<std::string, std::set<Id>> accounts_;
    /// The names are those of `accounts_`.
    std::set<std::pair<std::size_t, std::string_view>> by_size_;
    std::size_t size_ = 0;
};

}  // namespace skywire::cxo
