#include "services/transport_discovery/metrics_feed.hpp"

#include "services/transport_discovery/metrics_json.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

namespace skywire::tpd {
namespace {

using services::Date;
using services::LeafForm;

/// Transports, at 1 us each, between two turns of others.
constexpr std::size_t kTransportsOfATurn = 1'000;
/// As often as the network's own publisher.
constexpr Duration kPauseMax = std::chrono::minutes(5);

std::vector<std::string> paths_of(Date date, std::size_t leaves) {
    const std::string whole = fmt::format("metrics/day/{}", services::date_text(date));
    if (leaves == 1) return {whole};
    std::vector<std::string> paths;
    paths.reserve(leaves);
    for (std::size_t i = 0; i < leaves; ++i)
        paths.push_back(fmt::format("{}/part/{:04}", whole, i));
    return paths;
}

void remove_all(const std::vector<std::string>& paths, std::vector<cxo::Change>& changes) {
    for (const std::string& path : paths)
        changes.push_back({path, std::nullopt});
}

}  // namespace

MetricsContent::MetricsContent(
    const net::Context& context,
    Traffic& traffic,
    Transports& transports,
    services::FeedLayout layout,
    std::size_t leaf_max
)
    : context_(context),
      traffic_(traffic),
      transports_(transports),
      layout_(layout),
      leaf_max_(leaf_max) {
    if (services::has_old(layout)) windows_.emplace(context_, traffic_, transports_);
}

Duration MetricsContent::pause() const {
    return rest_after(cost_, kPauseMax);
}

Task<Result<std::vector<cxo::Change>>> MetricsContent::changes() {
    const auto synced = co_await transports_.sync();
    if (!synced) co_return synced.error();
    std::vector<cxo::Change> changes;
    // Taken over when all of it is there: after an error nothing is lost.
    Days told;
    if (services::has_newest(layout_)) {
        const auto added = co_await add_days(told, changes);
        if (!added) co_return added.error();
    }
    if (windows_) {
        const auto added = co_await windows_->add(changes);
        if (!added) co_return added.error();
    }
    told_ = std::move(told);
    co_return changes;
}

Task<Result<>> MetricsContent::add_days(Days& told, std::vector<cxo::Change>& changes) {
    const Date today = traffic_.today();
    for (int back = std::min(kDays, traffic_.days()) - 1; back >= 0; --back) {
        const auto added = co_await add_day(today - std::chrono::days(back), told, changes);
        if (!added) co_return added.error();
    }
    for (const auto& [date, before] : told_)
        if (!told.contains(date)) remove_all(before.paths, changes);
    co_return Result<>();
}

Task<Result<>> MetricsContent::add_day(Date date, Days& told, std::vector<cxo::Change>& changes) {
    const bool is_today = date == traffic_.today();
    const SteadyTime begun = context_.clock.now();
    const auto day = co_await traffic_.newest(date);
    if (!day) co_return day.error();
    if ((*day)->transports.empty() && !is_today) co_return Result<>();
    const auto before = told_.find(date);
    Told now;
    if (before != told_.end()) now = before->second;
    const std::uint64_t table = is_today ? transports_.table().version() : 0;
    const bool same = now.day == *day && now.was_today == is_today && now.table == table;
    now.day = *day;
    now.was_today = is_today;
    now.table = table;
    if (same) {
        told[date] = std::move(now);
        co_return Result<>();
    }
    std::string text = co_await text_of(*day, 0, (*day)->transports.size(), is_today);
    const crypto::Digest digest = co_await digest_of(context_, text);
    if (before != told_.end() && before->second.digest == digest) {
        told[date] = std::move(now);
        co_return Result<>();
    }
    auto leaves = co_await pack(*day, std::move(text), is_today);
    if (!leaves) co_return leaves.error();
    std::vector<std::string> paths = paths_of(date, leaves->size());
    // A leaf and a directory cannot have one name.
    if (now.paths != paths) remove_all(now.paths, changes);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        bytes += (*leaves)[i].size();
        changes.push_back({paths[i], std::move((*leaves)[i])});
    }
    if (is_today) cost_ = {context_.clock.now() - begun, bytes};
    now.digest = digest;
    now.paths = std::move(paths);
    told[date] = std::move(now);
    co_return Result<>();
}

Task<std::string> MetricsContent::text_of(
    TrafficDayPtr day, std::size_t from, std::size_t to, bool live
) {
    constexpr MetricsForm kForm{.edges = true};
    std::string text = "[";
    for (std::size_t i = from; i < to; ++i) {
        if ((i - from) % kTransportsOfATurn == kTransportsOfATurn - 1)
            co_await asio::post(context_.loop, asio::use_awaitable);
        const TransportDay& transport = day->transports[i];
        if (i > from) text += ',';
        const bool listed = live && transports_.table().find(transport.id) != nullptr;
        append_metrics(text, {{day->date, &transport}}, listed, kForm);
    }
    text += ']';
    co_return text;
}

/// In one leaf, or as many as it takes.
Task<Result<std::vector<Bytes>>> MetricsContent::pack(
    TrafficDayPtr day, std::string text, bool live
) {
    const std::size_t count = day->transports.size();
    std::vector<Bytes> leaves;
    auto whole = co_await services::pack_leaf(context_, std::move(text), LeafForm::gzip);
    if (!whole) co_return whole.error();
    if (whole->size() <= leaf_max_ || count < 2) {
        leaves.push_back(std::move(*whole));
        co_return leaves;
    }
    // Half as large as they may be, since not all transports take the same.
    const std::size_t parts = std::min(count, whole->size() / (leaf_max_ / 2) + 1);
    leaves.reserve(parts);
    for (std::size_t i = 0; i < parts; ++i) {
        std::string piece = co_await text_of(day, count * i / parts, count * (i + 1) / parts, live);
        auto leaf = co_await services::pack_leaf(context_, std::move(piece), LeafForm::gzip);
        if (!leaf) co_return leaf.error();
        leaves.push_back(std::move(*leaf));
    }
    co_return leaves;
}

}  // namespace skywire::tpd
