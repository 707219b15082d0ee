#include "services/dmsg_discovery/registrations.hpp"

#include "dmsg/entry.hpp"
#include "dmsg/error.hpp"

#include <utility>

namespace skywire::discovery {
namespace {

using Taken = services::FeedIntake::Taken;

constexpr std::string_view kSeries = "dmsg_discovery_feed_entries_total";
constexpr std::string_view kHelp = "Entries in feeds of visors: taken over, or why not.";
/// As of a body over HTTP.
constexpr std::size_t kEntryMax = std::size_t{1} << 20;

bool from_store(const Error& error) {
    return error.code().category() != dmsg::dmsg_category();
}

/// It is good, and so is the one that is stored.
bool not_newer(const Error& error) {
    return error.code() == dmsg::errc::wrong_sequence ||
           error.code() == dmsg::errc::older_timestamp;
}

}  // namespace

Registrations::Registrations(
    Metrics& metrics, Discovery& discovery, OnStoreFailure on_store_failure
)
    : discovery_(discovery),
      on_store_failure_(std::move(on_store_failure)),
      outcomes_(
          metrics,
          kSeries,
          kHelp,
          {"first", "again", "absent", "foreign", "store_unavailable", "store_limit"}
      ) {
    outcomes_.with_errors(metrics, kSeries, kHelp);
}

Task<Taken> Registrations::take(crypto::PublicKey publisher, cxo::Tree tree) {
    const auto leaf = tree.get(kPath);
    if (!leaf || leaf->size() > kEntryMax) {
        outcomes_.add("absent");
        co_return Taken::nothing;
    }
    std::string text(as_text(*leaf));
    const auto received = dmsg::ReceivedEntry::parse(text);
    if (!received) {
        outcomes_.add(received.error());
        co_return Taken::nothing;
    }
    const dmsg::Entry& entry = received->entry();
    if (entry.static_key != publisher || !entry.client || entry.server) {
        outcomes_.add("foreign");
        co_return Taken::nothing;
    }
    const auto written = co_await discovery_.post(std::move(text), /*short_lived=*/false);
    if (!written) {
        outcomes_.add(written.error());
        if (not_newer(written.error())) co_return Taken::done;
        if (!from_store(written.error())) co_return Taken::nothing;
        // It answers.
        if (written.error() == make_error_code(errc::limit_reached)) co_return Taken::full;
        on_store_failure_(written.error());
        co_return Taken::again;
    }
    outcomes_.add(*written == Written::first ? "first" : "again");
    co_return Taken::done;
}

}  // namespace skywire::discovery
