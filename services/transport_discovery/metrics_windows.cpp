#include "services/transport_discovery/metrics_windows.hpp"

#include "services/transport_discovery/feed_pace.hpp"
#include "services/transport_discovery/metrics_json.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

namespace skywire::tpd {
namespace {

/// Of transports and their days, at some 1 us each, between two turns of others.
constexpr std::size_t kDaysOfATurn = 1'000;

}  // namespace

Task<Result<>> MetricsWindows::add(std::vector<cxo::Change>& changes) {
    // Taken over when all of it is there.
    auto windows = windows_;
    std::vector<cxo::Change> made;
    for (Window& window : windows) {
        const auto renewed = co_await renew(window, made);
        if (!renewed) co_return renewed.error();
    }
    windows_ = std::move(windows);
    std::ranges::move(made, std::back_inserter(changes));
    co_return Result<>();
}

/// Today's with all that was told; the others do not change any more.
Task<Result<std::vector<TrafficDayPtr>>> MetricsWindows::days_of(int count) {
    const services::Date today = traffic_.today();
    std::vector<TrafficDayPtr> days;
    days.reserve(static_cast<std::size_t>(count));
    for (int back = std::min(count, traffic_.days()) - 1; back >= 0; --back) {
        const services::Date date = today - std::chrono::days(back);
        auto day = back == 0 ? co_await traffic_.newest(date) : co_await traffic_.day(date);
        if (!day) co_return day.error();
        days.push_back(std::move(*day));
    }
    co_return days;
}

/// The window is as it was where it fails.
Task<Result<>> MetricsWindows::renew(Window& window, std::vector<cxo::Change>& changes) {
    const SteadyTime begun = context_.clock.now();
    if (begun < window.due) co_return Result<>();
    auto days = co_await days_of(window.days);
    if (!days) co_return days.error();
    const std::uint64_t table = transports_.table().version();
    if (window.digest && window.of == *days && window.table == table) co_return Result<>();
    auto text = co_await text_of(*days);
    // What is too large is a leaf without bytes here: the feed refuses that, takes away what was
    // there, counts it and tells of it in health.
    Bytes leaf;
    crypto::Digest digest{};
    if (text) digest = co_await digest_of(context_, *text);
    const bool same = window.digest == digest;
    if (text && !same) {
        auto packed =
            co_await services::pack_leaf(context_, std::move(*text), services::LeafForm::gzip);
        if (!packed) co_return packed.error();
        leaf = std::move(*packed);
    }
    const LeafCost cost{context_.clock.now() - begun, leaf.size()};
    window.due = context_.clock.now() + rest_after(cost, window.rest_max);
    window.of = std::move(*days);
    window.table = table;
    window.digest = digest;
    if (!same) changes.push_back({fmt::format("metrics/days/{}", window.days), std::move(leaf)});
    co_return Result<>();
}

/// Nothing where it is too large.
Task<std::optional<std::string>> MetricsWindows::text_of(std::vector<TrafficDayPtr> days) {
    constexpr MetricsForm kForm{.edges = true};
    TrafficWalk walk(std::move(days));
    std::string text = "[";
    std::size_t turn = 0;
    while (true) {
        const TransportDays& transport = walk.next();
        if (transport.empty()) break;
        turn += transport.size();
        if (turn >= kDaysOfATurn) {
            turn = 0;
            co_await asio::post(context_.loop, asio::use_awaitable);
        }
        if (text.size() > 1) text += ',';
        const bool live = transports_.table().find(transport.back().second->id) != nullptr;
        append_metrics(text, transport, live, kForm);
        if (text.size() >= text_max_) co_return std::nullopt;
    }
    text += ']';
    co_return text;
}

}  // namespace skywire::tpd
