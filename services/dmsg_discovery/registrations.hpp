#pragma once

#include "cxo/tree.hpp"
#include "services/common/feed_intake.hpp"
#include "services/dmsg_discovery/routes.hpp"

#include <functional>

namespace skywire::discovery {

/// Entries that visors publish in feeds of their own instead of posting them: the leaf `entry`, the
/// entry as it would be posted. Only a client's, and only under its own key; what is not newer than
/// the stored one changes nothing. spec/dmsg.md section 12.
class Registrations {
 public:
    using OnStoreFailure = std::function<void(const Error&)>;

    /// `discovery` outlives it.
    Registrations(Metrics& metrics, Discovery& discovery, OnStoreFailure on_store_failure);

    /// `done` as long as the publisher has an entry: one that is refused by any other rule than
    /// that it be newer keeps nobody's place. `again` where the store does not answer.
    Task<services::FeedIntake::Taken> take(crypto::PublicKey publisher, cxo::Tree tree);

    static constexpr std::string_view kPath = "entry";

 private:
    Discovery& discovery_;
    OnStoreFailure on_store_failure_;
    Outcomes outcomes_;
};

}  // namespace skywire::discovery
