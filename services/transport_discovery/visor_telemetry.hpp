#pragma once

#include "cxo/tree.hpp"
#include "services/common/feed_intake.hpp"
#include "services/transport_discovery/routes.hpp"
#include "services/transport_discovery/traffic.hpp"

#include <map>
#include <vector>

/// What visors' feeds tell of traffic and latency: leaves `transports/telemetry/00` to `0f`,
/// binary, or of earlier builds `transports/ID/current`, JSON. spec/cxo.md section 10,
/// spec/services-http.md section 4.4. What else is in those feeds is passed over.
namespace skywire::tpd {

class VisorTelemetry {
 public:
    /// All outlive it.
    struct Parts {
        const net::Context& context;
        Traffic& traffic;
        Transports& transports;
        Uptimes& uptimes;
        Answers& answers;
    };

    explicit VisorTelemetry(const Parts& parts);

    /// `again` where the store does not answer or others write the same, `nothing` where it is full
    /// or nothing can be read. What a feed says of
    /// transports that are not registered yet is taken when it is offered once more.
    Task<services::FeedIntake::Taken> take(crypto::PublicKey publisher, cxo::Tree tree);
    void forget(const crypto::PublicKey& publisher) { done_.erase(publisher); }

    static constexpr std::string_view kPrefix = "transports";

 private:
    std::vector<cxo::TelemetryRow> read(const cxo::Tree& tree);
    Task<> note_heartbeats(crypto::PublicKey publisher, std::vector<transport::TransportId> fresh);

    Traffic& traffic_;
    Transports& transports_;
    Uptimes& uptimes_;
    Answers& answers_;
    /// The states of feeds of which nothing is left to be taken.
    std::map<crypto::PublicKey, cxo::Hash> done_;
    Counter& read_;
    Counter& unreadable_;
    Counter& wrong_shard_;
};

}  // namespace skywire::tpd
