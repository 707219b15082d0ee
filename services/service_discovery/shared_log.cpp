#include "services/service_discovery/shared_log.hpp"

#include "base/json.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::service_discovery {
namespace {

std::optional<Place> read_place(const json::value& value) {
    if (!value.is_array() || value.get_array().size() != 2) return std::nullopt;
    const json::array& pair = value.get_array();
    if (!pair[0].is_string() || !pair[1].is_string()) return std::nullopt;
    const auto key = crypto::PublicKey::from_text_not_null(std::string_view(pair[1].get_string()));
    if (!key) return std::nullopt;
    return Place{std::string(pair[0].get_string()), *key};
}

}  // namespace

SharedLog SharedLog::parse(std::optional<std::string> text) {
    SharedLog log;
    if (!text) return log;
    log.text_ = std::move(text);
    const auto parsed = parse_json(*log.text_);
    if (!parsed || !parsed->is_array()) return log;
    const json::array& parts = parsed->get_array();
    if (parts.size() < 2 || !parts[0].is_string()) return log;
    boost::system::error_code ec;
    const auto number = parts[1].is_number() ? parts[1].to_number<std::uint64_t>(ec) : 0;
    if (ec) return log;
    std::deque<Place> places;
    for (std::size_t i = 2; i < parts.size(); ++i) {
        auto place = read_place(parts[i]);
        if (!place) return log;
        places.push_back(std::move(*place));
    }
    log.epoch_ = std::string(parts[0].get_string());
    log.number_ = number;
    log.places_ = std::move(places);
    return log;
}

SharedLog SharedLog::after(const std::vector<Place>& places, Random& random) const {
    SharedLog next = *this;
    if (next.epoch_.empty()) {
        next.epoch_ = fmt::format("{:016x}", random.next_u64());
        next.number_ = 0;
        next.places_.clear();
    }
    next.number_ += places.size();
    const std::size_t enough = kPlacesMin + std::min(4 * places.size(), kPlacesOfWritesMax);
    // A small write leaves a large one before it for some time.
    const std::size_t before = next.places_.size();
    const std::size_t kept = before > enough ? before - 1 : enough;
    next.places_.insert(next.places_.end(), places.begin(), places.end());
    while (next.places_.size() > kept)
        next.places_.pop_front();
    next.write();
    return next;
}

void SharedLog::write() {
    std::string text = "[";
    append_json_string(text, epoch_, JsonEscape::plain);
    text += "," + std::to_string(number_);
    for (const Place& place : places_) {
        text += ",[";
        append_json_string(text, place.type, JsonEscape::plain);
        text += fmt::format(R"(,"{}"])", place.key);
    }
    text += ']';
    text_ = std::move(text);
}

std::optional<std::vector<Place>> SharedLog::since(const SharedLog& older) const {
    if (epoch_.empty() || epoch_ != older.epoch_ || number_ < older.number_) return std::nullopt;
    const std::uint64_t missed = number_ - older.number_;
    if (missed > places_.size()) return std::nullopt;
    const auto first = places_.end() - static_cast<std::ptrdiff_t>(missed);
    return std::vector<Place>(first, places_.end());
}

bool SharedLog::covered_by(const SharedLog& other) const {
    if (text_ == other.text_) return true;
    return !epoch_.empty() && epoch_ == other.epoch_ && number_ <= other.number_;
}

}  // namespace skywire::service_discovery
