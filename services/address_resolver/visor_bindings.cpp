#include "services/address_resolver/visor_bindings.hpp"

#include "cxo/leaf.hpp"

#include <array>
#include <utility>

namespace skywire::resolver {
namespace {

using Taken = services::FeedIntake::Taken;

/// Of 64 addresses at their longest there is room in it.
constexpr std::size_t kRecordMax = std::size_t{16} << 10;
constexpr std::string_view kSudph = "sudph";

struct Place {
    Type type;
    /// The newest first.
    std::array<std::string_view, 2> paths;
};
constexpr std::array<Place, 3> kPlaces{
    {{Type::stcpr, {"stcpr", ""}}, {Type::squicr, {"squicr", ""}}, {Type::wt, {"swtr", "wt"}}}
};

Counter& counted(Metrics& metrics, std::string_view outcome) {
    return metrics.counter(
        "address_resolver_feed_bindings_total",
        "Bindings in feeds of visors, by what came of them.",
        {{"outcome", std::string(outcome)}}
    );
}

}  // namespace

VisorBindings::VisorBindings(Metrics& metrics, Bindings& bindings, OnStoreFailure on_store_failure)
    : bindings_(bindings),
      on_store_failure_(std::move(on_store_failure)),
      taken_(counted(metrics, "taken")),
      removed_(counted(metrics, "removed")),
      absent_(counted(metrics, "absent")),
      unreadable_(counted(metrics, "unreadable")),
      too_large_(counted(metrics, "too_large")),
      not_public_(counted(metrics, "not_public")),
      sudph_(counted(metrics, "sudph")),
      limit_(counted(metrics, "limit")),
      store_unavailable_(counted(metrics, "store_unavailable")) {}

std::optional<BindRequest> VisorBindings::read(ByteSpan leaf) {
    if (leaf.size() > kRecordMax) {
        too_large_.add();
        return std::nullopt;
    }
    const auto text = cxo::read_leaf(leaf, kRecordMax);
    if (!text) {
        unreadable_.add();
        return std::nullopt;
    }
    auto request = parse_bind_request(*text);
    if (request) return std::move(*request);
    const bool large = request.error() == make_error_code(errc::out_of_range);
    (large ? too_large_ : unreadable_).add();
    return std::nullopt;
}

Taken VisorBindings::failed(const Error& error) {
    store_unavailable_.add();
    on_store_failure_(error);
    return Taken::again;
}

Task<Result<bool>> VisorBindings::bind(
    Type type, crypto::PublicKey publisher, BindRequest request
) {
    const auto stored = co_await bindings_.get(type, publisher);
    if (!stored) co_return stored.error();
    // Nobody sees where a visor is that comes over dmsg (spec/services-http.md section 1.1).
    auto outcome = judge_bind(publisher, type, request, /*remote=*/{}, *stored);
    if (outcome.refusal) {
        not_public_.add();
        co_return false;
    }
    // It comes again for as long as the visor is connected.
    outcome.binding.held = false;
    const auto put = co_await bindings_.put(type, publisher, std::move(outcome.binding));
    if (!put) co_return put.error();
    listed_[publisher].insert(type);
    taken_.add();
    co_return true;
}

Task<Result<>> VisorBindings::unbind(Type type, crypto::PublicKey publisher) {
    const auto listed = listed_.find(publisher);
    if (listed == listed_.end() || !listed->second.contains(type)) co_return Result<>();
    const auto erased = co_await bindings_.erase(type, publisher);
    if (!erased) co_return erased.error();
    listed_[publisher].erase(type);
    removed_.add();
    co_return Result<>();
}

Task<Taken> VisorBindings::take(crypto::PublicKey publisher, cxo::Tree tree) {
    if (tree.get(kSudph)) sudph_.add();
    bool any = false;
    bool taken = false;
    for (const Place& place : kPlaces) {
        bool listed = false;
        std::optional<BindRequest> request;
        for (const std::string_view path : place.paths) {
            const auto leaf = path.empty() || request ? std::nullopt : tree.get(path);
            if (!leaf) continue;
            listed = true;
            request = read(*leaf);
        }
        if (!listed) {
            const auto unbound = co_await unbind(place.type, publisher);
            if (!unbound) co_return failed(unbound.error());
            continue;
        }
        any = true;
        if (!request) continue;
        const auto bound = co_await bind(place.type, publisher, std::move(*request));
        if (!bound && bound.error() == make_error_code(errc::limit_reached)) {
            // The next renewal is soon enough: a store that is full is so for everybody.
            limit_.add();
            continue;
        }
        if (!bound) co_return failed(bound.error());
        taken = taken || *bound;
    }
    if (!any) absent_.add();
    co_return taken ? Taken::done : Taken::nothing;
}

}  // namespace skywire::resolver
