#include "services/transport_discovery/feeds.hpp"

#include "services/common/uptime_answers.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

namespace skywire::tpd {
namespace {

using services::LeafForm;

/// Of the time between two versions of a list, the part that making one may take.
constexpr int kCostShare = 20;
constexpr Duration kPauseMin = std::chrono::milliseconds(200);
/// Before figures that alone have changed are told.
constexpr Duration kFiguresRestMax = std::chrono::minutes(5);
/// What the network's readers ask for, in days.
constexpr std::array kWindows{1, 7, 30};
/// Visors between two turns of others.
constexpr std::size_t kVisorsOfATurn = 256;

/// Zero was not told.
void append_figures(std::string& out, const Figures& figures) {
    const auto to = std::back_inserter(out);
    constexpr double kMicroseconds = 1000;
    if (figures.latency != 0)
        fmt::format_to(to, R"(,"latency_ms":{})", figures.latency / kMicroseconds);
    if (figures.bandwidth != 0) fmt::format_to(to, R"(,"bandwidth":{})", figures.bandwidth);
    if (figures.throughput != 0) fmt::format_to(to, R"(,"throughput_bps":{})", figures.throughput);
}

void append_entry(std::string& out, const transport::Entry& entry, const Figures* figures) {
    out += out.empty() ? '[' : ',';
    out += fmt::format(R"({{"edges":["{}","{}"],"type":)", entry.edges[0], entry.edges[1]);
    append_json_string(out, entry.type, JsonEscape::html);
    out += R"(,"label":)";
    append_json_string(out, entry.label, JsonEscape::html);
    if (figures != nullptr) append_figures(out, *figures);
    out += '}';
}

std::string closed(std::string list) {
    if (list.empty()) list += '[';
    list += ']';
    return list;
}

template <class Text>
void append_days_object(
    std::string& out, std::string_view name, const Days& days, Date first, const Text& text
) {
    out += fmt::format(R"(,"{}":{{)", name);
    bool comma = false;
    for (auto at = days.lower_bound(first); at != days.end(); ++at) {
        out += fmt::format(
            R"({}"{}":"{}")", comma ? "," : "", services::date_text(at->first), text(at->second)
        );
        comma = true;
    }
    out += '}';
}

std::string uptime_leaf(const VisorUptime& visor, bool on, Date first) {
    std::string leaf = fmt::format(R"({{"pk":"{}","on":{},"v":)", visor.key, on);
    append_json_string(leaf, visor.version, JsonEscape::html);
    append_days_object(leaf, "d", visor.days, first, [](const Timeline& day) {
        return day.percentage();
    });
    append_days_object(leaf, "tb", visor.days, first, [](const Timeline& day) {
        return to_base64(as_bytes(day.to_bytes()));
    });
    leaf += '}';
    return leaf;
}

Bytes bytes_of(std::string_view text) {
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

}  // namespace

// ---------------------------------------------------------------- transports

Duration TransportsContent::pause() const {
    return std::max(kPauseMin, kCostShare * cost_.time);
}

/// By what the last lists took: a registration that has them made anew does not put it off.
Task<Result<>> TransportsContent::look_at_figures() {
    const SteadyTime begun = context_.clock.now();
    if (begun < figures_due_) co_return Result<>();
    const auto changed = co_await figures_.refresh();
    if (!changed) co_return changed.error();
    figures_changed_ = figures_changed_ || *changed;
    const SteadyTime now = context_.clock.now();
    const LeafCost cost{cost_.time + (now - begun), cost_.bytes};
    figures_due_ = now + rest_after(cost, kFiguresRestMax);
    co_return Result<>();
}

Task<TransportsContent::Lists> TransportsContent::render() {
    Lists lists;
    Listing& listing = transports_.table().listing();
    for (std::size_t slab = 0; slab < listing.slabs(); ++slab) {
        if (slab > 0) co_await asio::post(context_.loop, asio::use_awaitable);
        for (const transport::Entry* entry : listing.entries(slab)) {
            if (entry == nullptr) continue;
            const Figures* const figures = figures_.find(entry->id);
            append_entry(lists.with_self, *entry, figures);
            if (!entry->to_self()) append_entry(lists.without_self, *entry, figures);
        }
    }
    lists.with_self = closed(std::move(lists.with_self));
    lists.without_self = closed(std::move(lists.without_self));
    co_return lists;
}

Task<Result<std::vector<cxo::Change>>> TransportsContent::changes() {
    const auto synced = co_await transports_.sync();
    if (!synced) co_return synced.error();
    const auto looked = co_await look_at_figures();
    if (!looked) co_return looked.error();
    std::vector<cxo::Change> changes;
    // What changes while this renders is in the next version.
    const std::uint64_t version = transports_.table().version();
    if (told_ == version && !figures_changed_) co_return changes;
    const SteadyTime begun = context_.clock.now();
    Lists lists = co_await render();
    // Mostly nobody has a transport to himself.
    const bool alike = lists.with_self == lists.without_self;
    auto with_self =
        co_await services::pack_leaf(context_, std::move(lists.with_self), LeafForm::gzip);
    if (!with_self) co_return with_self.error();
    Bytes without_self;
    if (alike) {
        without_self = *with_self;
    } else {
        auto packed =
            co_await services::pack_leaf(context_, std::move(lists.without_self), LeafForm::gzip);
        if (!packed) co_return packed.error();
        without_self = std::move(*packed);
    }
    cost_ = {context_.clock.now() - begun, with_self->size() + without_self.size()};
    figures_changed_ = false;
    told_ = version;
    changes.reserve(2);
    changes.push_back({"transports/all/with-self", std::move(*with_self)});
    changes.push_back({"transports/all/without-self", std::move(without_self)});
    co_return changes;
}

// ---------------------------------------------------------------- uptimes

UptimeContent::UptimeContent(
    const net::Context& context,
    Transports& transports,
    Uptimes& uptimes,
    IsOn is_on,
    services::FeedLayout layout
)
    : context_(context),
      transports_(transports),
      uptimes_(uptimes),
      is_on_(std::move(is_on)),
      layout_(layout) {}

Task<Result<std::vector<cxo::Change>>> UptimeContent::changes() {
    const auto synced = co_await transports_.sync();
    if (!synced) co_return synced.error();
    const auto visors = co_await uptimes_.visors().visors();
    if (!visors) co_return visors.error();
    std::vector<cxo::Change> changes;
    Told told;
    if (layout_ == services::FeedLayout::old) {
        co_await add_lists(*visors, told, changes);
    } else {
        co_await add_leaves(*visors, told, changes);
    }
    for (const auto& [path, digest] : told_)
        if (!told.contains(path)) changes.push_back({path, std::nullopt});
    told_ = std::move(told);
    co_return changes;
}

void UptimeContent::add(std::string path, Bytes leaf, Told& told, std::vector<cxo::Change>& changes)
    const {
    const crypto::Digest digest = crypto::sha256(leaf);
    const auto before = told_.find(path);
    if (before == told_.end() || before->second != digest)
        changes.push_back({path, std::move(leaf)});
    told.emplace(std::move(path), digest);
}

Task<> UptimeContent::add_leaves(Visors visors, Told& told, std::vector<cxo::Change>& changes) {
    const Date today = std::chrono::floor<std::chrono::days>(context_.clock.wall());
    std::size_t count = 0;
    for (const VisorUptime& visor : *visors) {
        if (++count % kVisorsOfATurn == 0) co_await asio::post(context_.loop, asio::use_awaitable);
        const bool on = is_on_(visor);
        for (const int window : kWindows) {
            std::string leaf = uptime_leaf(visor, on, today - std::chrono::days(window - 1));
            std::string path = fmt::format("uptimes/days/{}/{}", window, visor.key);
            add(std::move(path), bytes_of(leaf), told, changes);
        }
    }
}

Task<> UptimeContent::add_lists(Visors visors, Told& told, std::vector<cxo::Change>& changes) {
    const Date today = std::chrono::floor<std::chrono::days>(context_.clock.wall());
    std::string list;
    int made_for = 0;
    for (const int window : kWindows) {
        // A longer window has no more days than are kept.
        const int days = std::min(window, services::kDaysShown);
        if (days != made_for) list = co_await list_of(visors, today - std::chrono::days(days - 1));
        made_for = days;
        add(fmt::format("uptimes/days/{}", window), bytes_of(list), told, changes);
    }
}

/// Empty where it is more than a leaf can be: the feed refuses that, and tells of it.
Task<std::string> UptimeContent::list_of(Visors visors, Date first) {
    std::string list = "[";
    std::size_t count = 0;
    for (const VisorUptime& visor : *visors) {
        if (++count % kVisorsOfATurn == 0) co_await asio::post(context_.loop, asio::use_awaitable);
        VisorUptime shown = visor;
        shown.days.erase(shown.days.begin(), shown.days.lower_bound(first));
        if (list.size() > 1) list += ',';
        services::append_uptime(list, shown, is_on_(visor), /*version=*/3);
        if (list.size() >= cxo::kLeafMax) co_return std::string();
    }
    list += ']';
    co_return list;
}

}  // namespace skywire::tpd
