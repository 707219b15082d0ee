#pragma once

#include "crypto/hash.hpp"
#include "cxo/tree.hpp"
#include "services/common/feed_intake.hpp"
#include "services/service_discovery/directory.hpp"
#include "services/service_discovery/geo.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::service_discovery {

/// Services that visors publish in feeds of their own instead of posting them. How the network's
/// visors lay such a feed out is not known (spec/cxo.md sections 10 and 16), so paths have no
/// meaning: each leaf is the body of a registration. It is taken by the rules of a post over dmsg
/// (spec/services-http.md section 5.3), ends `entry_timeout` after it was last taken, is taken
/// again while the visor is connected, and is removed when its leaf is gone. A leaf that is
/// unreadable or refused changes nothing. Of two leaves of one type the first counts. All of a feed
/// is one turn of the directory, and one batch of the store. What a visor
/// has posted over HTTP is the feed's from the time that a leaf says the same, and ends with it.
///
/// Type `visor` is not taken: its rule asks for the address that the visor is seen at, and in a
/// feed nobody sees one.
///
/// Counts service_discovery_feed_entries_total by outcome. Used on one event loop.
class VisorServices {
 public:
    /// Told of each visor of whom something was taken.
    using OnRegistered = std::function<Task<>(crypto::PublicKey, std::string version)>;

    /// All outlive it.
    VisorServices(
        Metrics& metrics, Directory& directory, Locator& locator, OnRegistered on_registered
    );

    /// `again` where the store does not answer.
    Task<services::FeedIntake::Taken> take(crypto::PublicKey publisher, cxo::Tree tree);
    /// Its entries end by themselves.
    void forget(const crypto::PublicKey& publisher) { known_.erase(publisher); }

    /// Leaves of one feed; a feed that has more is not taken.
    static constexpr std::size_t kLeavesMax = 128;
    /// Of a visor's feed.
    static constexpr std::size_t kFeedBytesMax = std::size_t{256} << 10;
    /// Types of one feed whose registration has failed in the store, but may have happened: so many
    /// are removed when their leaves are gone, others end by themselves.
    static constexpr std::size_t kUncertainMax = 64;

 private:
    using Types = std::set<std::string, std::less<>>;
    /// What is known of a feed.
    struct Known {
        /// The types that its leaves say, by the hashes of their paths, which may be long.
        std::map<crypto::Digest, std::string> types;
        /// What has, or may have, been registered for it and not been removed since. Bounded.
        Types registered;
    };
    /// What a feed says.
    struct Said {
        Known known;
        /// By type.
        std::map<std::string, Entry> entries;
    };

    void count(std::string_view outcome);
    Said read(const crypto::PublicKey& publisher, const cxo::Tree& tree);
    std::optional<Entry> read_leaf(const crypto::PublicKey& publisher, ByteSpan leaf);
    void note_registered(
        const crypto::PublicKey& publisher, const std::string& type, std::size_t max
    );
    /// Types that were registered for it, and that no leaf says any more.
    std::vector<std::string> gone_from(const crypto::PublicKey& publisher) const;
    services::FeedIntake::Taken not_stored(
        const crypto::PublicKey& publisher, const Said& said, const Error& error
    );

    Directory& directory_;
    Locator& locator_;
    OnRegistered on_registered_;
    std::map<crypto::PublicKey, Known> known_;
    std::map<std::string_view, Counter*> outcomes_;
};

}  // namespace skywire::service_discovery
