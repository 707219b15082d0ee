#include "services/service_discovery/feed.hpp"

#include "cxo/known_feeds.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace skywire::service_discovery {
namespace {

/// Of the leaves that have changed, to each subscriber.
constexpr std::size_t kBytesPerSecond = std::size_t{64} << 10;
constexpr std::chrono::seconds kPauseMax{30};

bool is_name(std::string_view type) noexcept {
    return !type.empty() && type.find('/') == std::string_view::npos;
}

}  // namespace

ServicesContent::ServicesContent(
    const net::Context& context, Directory& directory, services::FeedLayout layout
)
    : context_(context), directory_(directory), layout_(layout) {
    if (!services::has_old(layout)) return;
    records_.emplace(context_, services::RecordLeaves::Options(cxo::kServicesFeed));
}

Task<Result<std::vector<cxo::Change>>> ServicesContent::changes() {
    auto changed = co_await directory_.changed();
    if (!changed) co_return changed.error();
    pending_.merge(*changed);
    std::vector<cxo::Change> changes;
    if (services::has_newest(layout_)) {
        const auto added = co_await add_lists(changes);
        if (!added) co_return added.error();
    }
    if (records_) add_records(*records_);
    // From here on nothing fails: what the old leaves tell, they tell once.
    changes.reserve(changes.size() + made_.size());
    std::ranges::move(made_, std::back_inserter(changes));
    made_.clear();
    pending_.clear();
    bytes_ = 0;
    for (const cxo::Change& change : changes)
        bytes_ += change.value ? change.value->size() : 0;
    co_return changes;
}

Task<Result<>> ServicesContent::add_lists(std::vector<cxo::Change>& changes) {
    std::set<std::string> types;
    for (const Place& place : pending_)
        if (is_name(place.type)) types.insert(place.type);
    changes.reserve(types.size());
    for (const std::string& type : types) {
        cxo::Change change{fmt::format("services/{}/all", type), std::nullopt};
        if (const auto body = directory_.body(type)) {
            // The list, without the newline behind it.
            std::string list = body->substr(0, body->size() - 1);
            auto leaf =
                co_await services::pack_leaf(context_, std::move(list), services::LeafForm::frame);
            if (!leaf) co_return leaf.error();
            change.value = std::move(*leaf);
        }
        changes.push_back(std::move(change));
    }
    co_return Result<>();
}

void ServicesContent::add_records(services::RecordLeaves& records) {
    if (records.has_room_again())
        for (Place& place : directory_.table().places())
            pending_.insert(std::move(place));
    for (const Place& place : pending_) {
        if (!is_name(place.type)) continue;
        const std::string path = fmt::format("services/{}/{}", place.type, place.key);
        const Table::Record* const record = directory_.table().find(place.type, place.key);
        if (record == nullptr) {
            records.remove(path, made_);
        } else {
            records.put(path, record->listed, made_);
        }
    }
    records.tidy(made_);
}

Duration ServicesContent::pause() const {
    const std::chrono::milliseconds pause(1000 * bytes_ / kBytesPerSecond);
    return std::clamp<Duration>(pause, FeedContent::pause(), kPauseMax);
}

}  // namespace skywire::service_discovery
