#include "services/service_discovery/visor_services.hpp"

#include "cxo/leaf.hpp"
#include "services/service_discovery/registration.hpp"

#include <utility>
#include <vector>

namespace skywire::service_discovery {
namespace {

using Taken = services::FeedIntake::Taken;

/// More than any entry that is taken.
constexpr std::size_t kTextMax = std::size_t{32} << 10;

/// The uncertain, and as many as the directory lets a key have.
constexpr std::size_t kRegisteredMax = VisorServices::kUncertainMax + 64;

constexpr std::string_view kVisor = "visor";

constexpr std::string_view kTaken = "taken";
constexpr std::string_view kRemoved = "removed";
constexpr std::string_view kAbsent = "absent";
constexpr std::string_view kTooMany = "too_many";
constexpr std::string_view kUnreadable = "unreadable";
constexpr std::string_view kTooLarge = "too_large";
constexpr std::string_view kTwice = "twice";
constexpr std::string_view kUnreachable = "unreachable";
constexpr std::string_view kLimit = "limit";
constexpr std::string_view kStoreUnavailable = "store_unavailable";

}  // namespace

VisorServices::VisorServices(
    Metrics& metrics, Directory& directory, Locator& locator, OnRegistered on_registered
)
    : directory_(directory), locator_(locator), on_registered_(std::move(on_registered)) {
    for (const std::string_view outcome :
         {kTaken,
          kRemoved,
          kAbsent,
          kTooMany,
          kUnreadable,
          kTooLarge,
          kTwice,
          kUnreachable,
          std::string_view("other_key"),
          std::string_view("no_version"),
          kLimit,
          kStoreUnavailable}) {
        outcomes_[outcome] = &metrics.counter(
            "service_discovery_feed_entries_total",
            "Entries in feeds of visors, by what came of them.",
            {{"outcome", std::string(outcome)}}
        );
    }
}

void VisorServices::count(std::string_view outcome) {
    if (const auto found = outcomes_.find(outcome); found != outcomes_.end()) found->second->add();
}

/// The entry of a leaf, if it may be stored.
std::optional<Entry> VisorServices::read_leaf(const crypto::PublicKey& publisher, ByteSpan leaf) {
    const auto leave_out = [this](std::string_view outcome) {
        count(outcome);
        return std::optional<Entry>();
    };
    if (leaf.size() > kTextMax) return leave_out(kTooLarge);
    const auto text = cxo::read_leaf(leaf, kTextMax);
    if (!text) return leave_out(kUnreadable);
    auto entry = parse_posted(*text);
    if (!entry) return leave_out(kUnreadable);
    if (too_large(*entry)) return leave_out(kTooLarge);
    if (entry->type == kVisor) return leave_out(kUnreachable);
    if (const auto refusal = judge_registration(*entry, publisher, /*ip=*/{}))
        return leave_out(refusal->outcome);
    return std::move(*entry);
}

VisorServices::Said VisorServices::read(const crypto::PublicKey& publisher, const cxo::Tree& tree) {
    const auto found = known_.find(publisher);
    const Known before = found == known_.end() ? Known() : found->second;
    Said said;
    said.known.registered = before.registered;
    auto& types = said.known.types;
    tree.walk("", [&](std::string_view path, ByteSpan leaf) {
        const crypto::Digest place = crypto::sha256(as_bytes(path));
        if (auto entry = read_leaf(publisher, leaf)) {
            const std::string type = entry->type;
            types.emplace(place, type);
            if (!said.entries.try_emplace(type, std::move(*entry)).second) count(kTwice);
        } else if (const auto known = before.types.find(place); known != before.types.end()) {
            types.insert(*known);
        }
        return true;
    });
    return said;
}

void VisorServices::note_registered(
    const crypto::PublicKey& publisher, const std::string& type, std::size_t max
) {
    Types& registered = known_[publisher].registered;
    if (registered.size() < max) registered.insert(type);
}

Task<Taken> VisorServices::take(crypto::PublicKey publisher, cxo::Tree tree) {
    if (tree.count() > kLeavesMax) {
        count(kTooMany);
        co_return Taken::nothing;
    }
    if (tree.empty()) count(kAbsent);
    // As for who comes over dmsg and does not say from where.
    const std::optional<Geo> place = co_await locator_.locate({});
    Said said = read(publisher, tree);
    known_[publisher] = std::move(said.known);
    const std::vector<std::string> gone = gone_from(publisher);
    if (said.entries.empty() && gone.empty()) co_return Taken::nothing;
    Directory::Exchange wanted{publisher, {}, gone};
    wanted.put.reserve(said.entries.size());
    std::string version;
    for (auto& [type, entry] : said.entries) {
        if (!entry.geo) entry.geo = place;
        if (version.empty()) version = entry.version;
        wanted.put.push_back(std::move(entry));
    }
    const auto left_out = co_await directory_.exchange(std::move(wanted));
    if (!left_out) co_return not_stored(publisher, said, left_out.error());
    for (const std::string& type : gone) {
        known_[publisher].registered.erase(type);
        count(kRemoved);
    }
    bool any = false;
    for (const auto& [type, entry] : said.entries) {
        const bool stored = !left_out->contains(type);
        count(stored ? kTaken : kLimit);
        if (stored) note_registered(publisher, type, kRegisteredMax);
        any = any || stored;
    }
    if (!any) co_return Taken::nothing;
    co_await on_registered_(publisher, std::move(version));
    co_return Taken::done;
}

std::vector<std::string> VisorServices::gone_from(const crypto::PublicKey& publisher) const {
    const auto found = known_.find(publisher);
    if (found == known_.end()) return {};
    Types gone = found->second.registered;
    for (const auto& [place, type] : found->second.types)
        gone.erase(type);
    return {gone.begin(), gone.end()};
}

Taken VisorServices::not_stored(
    const crypto::PublicKey& publisher, const Said& said, const Error& error
) {
    if (error == make_error_code(errc::limit_reached)) {
        // A store that is full is so for everybody: the renewal is soon enough.
        for (std::size_t i = 0; i < said.entries.size(); ++i)
            count(kLimit);
        return Taken::nothing;
    }
    // It may have happened.
    for (const auto& [type, entry] : said.entries)
        note_registered(publisher, type, kUncertainMax);
    count(kStoreUnavailable);
    return Taken::again;
}

}  // namespace skywire::service_discovery
