#pragma once

#include "services/transport_discovery/record.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

/// The keys of our own beside those of record.hpp.
namespace skywire::tpd::detail {

/// Of a change's ids: whoever has not read them by then reads everything.
inline constexpr Duration kChangeLifetime = std::chrono::minutes(10);

/// Counts the changes of a shared store.
inline std::string changes_key() {
    return fmt::format("{}:changes", kPrefix);
}

/// The ids that one change is about, with blanks between.
inline std::string change_key(std::uint64_t number) {
    return fmt::format("{}:change:{}", kPrefix, number);
}

inline std::string joined(const std::vector<transport::TransportId>& ids) {
    std::string text;
    text.reserve(ids.size() * (transport::TransportId::kTextSize + 1));
    for (const transport::TransportId& id : ids) {
        if (!text.empty()) text += ' ';
        text += id.to_text();
    }
    return text;
}

inline void add_ids(std::string_view text, std::vector<transport::TransportId>& into) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        if (const auto id = transport::TransportId::from_text(text.substr(0, end)))
            into.push_back(*id);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

/// 0 for what is no number.
inline std::uint64_t number_of(const std::optional<std::string>& text) {
    std::uint64_t number = 0;
    if (text) std::from_chars(text->data(), text->data() + text->size(), number);
    return number;
}

inline std::vector<std::string> keys_of(const std::vector<transport::TransportId>& ids) {
    std::vector<std::string> keys;
    keys.reserve(ids.size());
    for (const transport::TransportId& id : ids)
        keys.push_back(transport_key(id));
    return keys;
}

}  // namespace skywire::tpd::detail
