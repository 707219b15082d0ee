#pragma once

#include "cxo/tree.hpp"
#include "services/common/feed_intake.hpp"
#include "services/transport_discovery/routes.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace skywire::tpd {

/// Lists that visors publish in feeds of their own instead of registering each transport: the leaf
/// `tp-list` (earlier `transports/list`), {"version":...,"entries":[...]}, all transports of the
/// visor. Each is taken as a registration without signatures, so the visor has to be an edge, and
/// again while the visor is connected; one that it does not list any more is removed.
/// spec/cxo.md section 10, spec/services-http.md section 4.4.
///
/// Lists of compact rows ({"c":[...]}, the other edge and the type) are counted and not taken:
/// spec/cxo.md section 16 has not seen how a row is written, and labels are not in them. Those
/// visors register over HTTP.
class VisorLists {
 public:
    /// All outlive it.
    struct Parts {
        const net::Context& context;
        Transports& transports;
        Uptimes& uptimes;
        Answers& answers;
    };

    explicit VisorLists(const Parts& parts);

    /// `again` where the store does not answer, `nothing` where it is full or nothing is listed.
    Task<services::FeedIntake::Taken> take(crypto::PublicKey publisher, cxo::Tree tree);
    /// Its transports end by themselves.
    void forget(const crypto::PublicKey& publisher) { listed_.erase(publisher); }

    static constexpr std::string_view kPath = "tp-list";
    static constexpr std::string_view kOldPath = "transports/list";
    /// A longer list is unreadable.
    static constexpr std::size_t kEntriesMax = 2048;

 private:
    struct List {
        std::string version;
        std::vector<transport::Entry> entries;
        /// Its rows were not read.
        bool compact = false;
    };
    Task<std::optional<List>> read(ByteSpan leaf);

    net::Context context_;
    Transports& transports_;
    Uptimes& uptimes_;
    Answers& answers_;
    /// What each visor's feed lists, in order: 16 bytes for each, of which its leaf has no fewer,
    /// however well it is packed.
    std::map<crypto::PublicKey, std::vector<transport::TransportId>> listed_;
    Counter& taken_;
    Counter& unreadable_;
    Counter& compact_;
    Counter& limit_;
};

}  // namespace skywire::tpd
