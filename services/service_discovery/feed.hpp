#pragma once

#include "services/common/feed_host.hpp"
#include "services/common/record_leaves.hpp"
#include "services/service_discovery/directory.hpp"

#include <cstddef>
#include <optional>
#include <set>
#include <vector>

namespace skywire::service_discovery {

/// The content of the feed sd-services, in one layout or both: spec/services-http.md section 5.5.
/// Newest: a leaf `services/TYPE/all` for each type that has entries, the list as HTTP answers it,
/// sorted by key. Old: `services/TYPE/KEY/entry`, an entry as it stands in that list, and for a
/// while `services/TYPE/KEY/tombstone` (record_leaves.hpp).
///
/// A type that cannot be a name in a feed (empty, or with a '/') is left out: HTTP alone lists it.
class ServicesContent final : public services::FeedContent {
 public:
    /// `directory` outlives it.
    ServicesContent(
        const net::Context& context,
        Directory& directory,
        services::FeedLayout layout = services::FeedLayout::newest
    );

    Task<Result<std::vector<cxo::Change>>> changes() override;
    /// Longer behind large leaves: each subscriber fetches every one of them whole.
    Duration pause() const override;

 private:
    Task<Result<>> add_lists(std::vector<cxo::Change>& changes);
    void add_records(services::RecordLeaves& records);

    net::Context context_;
    Directory& directory_;
    services::FeedLayout layout_;
    /// Of the old layout.
    std::optional<services::RecordLeaves> records_;
    /// What these have told, and the feed has not been.
    std::vector<cxo::Change> made_;
    /// Not told yet.
    std::set<Place> pending_;
    /// Of the leaves last told.
    std::size_t bytes_ = 0;
};

}  // namespace skywire::service_discovery
