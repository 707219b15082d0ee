#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

/// Lists of keys and ids in paths and queries.
namespace skywire::services {

using NameSet = std::set<std::string, std::less<>>;

/// The pieces of a list in a path or a query, in lower case; white space and empty ones are left
/// out.
inline NameSet names_of(std::string_view list, char separator) {
    NameSet names;
    while (!list.empty()) {
        const std::size_t end = std::min(list.find(separator), list.size());
        std::string name(list.substr(0, end));
        list.remove_prefix(std::min(end + 1, list.size()));
        std::erase(name, ' ');
        for (char& c : name)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (!name.empty()) names.insert(std::move(name));
    }
    return names;
}

}  // namespace skywire::services
