#include "cxo/node_counters.hpp"

#include "crypto/error.hpp"
#include "noise/error.hpp"

#include <array>

namespace skywire::cxo {
namespace {

constexpr std::array<double, 12> kRoundBuckets{0, 1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128};

constexpr const char* kConnections = "connections of protocol 3 that are open";
constexpr const char* kBytes = "bytes of protocol 3, without the carrier's own";

std::string text_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& exception) {
        return exception.what();
    } catch (...) {
        // Its kind says nothing; that it came does.
        return "not a std::exception";
    }
}

}  // namespace

std::string_view end_reason(const Error& error) noexcept {
    const ErrorCode code = error.code();
    if (code.category() == noise::noise_category()) return "carrier";
    if (code.category() == crypto::crypto_category()) return "bad_signature";
    if (code.category() != base_category()) return "connection_lost";
    switch (static_cast<errc>(code.value())) {
        case errc::malformed:
        case errc::out_of_range:
            return "malformed";
        case errc::limit_reached:
            return "limit";
        case errc::timed_out:
            return "timed_out";
        case errc::cancelled:
            return "stopped";
        case errc::closed:
            return "closed";
        case errc::unavailable:
            return "unavailable";
        case errc::forbidden:
            return "forbidden";
        case errc::unsupported:
            return "unsupported";
        case errc::ok:
        case errc::not_found:
        case errc::wrong_state:
        case errc::injected:
            break;
    }
    return "other";
}

void CounterFamily::add(std::string_view value, std::uint64_t n) {
    auto found = counters_.find(value);
    if (found == counters_.end()) {
        Counter& counter = metrics_.counter(name_, help_, {{label_, std::string(value)}});
        found = counters_.emplace(std::string(value), &counter).first;
    }
    found->second->add(n);
}

NodeCounters::NodeCounters(Metrics& metrics)
    : accepted(metrics.gauge("cxo_connections", kConnections, {{"direction", "accepted"}})),
      dialled(metrics.gauge("cxo_connections", kConnections, {{"direction", "dialled"}})),
      subscribers(metrics.gauge("cxo_subscribers", "connections subscribed to feeds of ours")),
      feeds(metrics.gauge("cxo_feeds", "feeds that are published here")),
      connections(
          metrics, "cxo_connections_total", "connections whose handshake was finished", "direction"
      ),
      refused(metrics, "cxo_refused_total", "connections that did not come about"),
      ended(metrics, "cxo_ended_total", "connections that ended"),
      link(metrics, "cxo_link_events_total", "what links dropped, refused, repeated or coalesced"),
      subscriptions_refused(
          metrics, "cxo_subscriptions_refused_total", "subscriptions that peers were denied"
      ),
      evicted(
          metrics.counter("cxo_evicted_total", "connections ended since the same peer came again")
      ),
      exceptions(metrics.counter(
          "cxo_exceptions_total", "exceptions that ended a connection, an attempt or a round"
      )),
      subscriptions_dropped(metrics.counter(
          "cxo_subscriptions_dropped_total", "subscribers that a change of who may shut out"
      )),
      announced(metrics.counter("cxo_roots_sent_total", "Roots handed to subscribers' links")),
      bytes_in(metrics.counter("cxo_bytes_total", kBytes, {{"direction", "in"}})),
      bytes_out(metrics.counter("cxo_bytes_total", kBytes, {{"direction", "out"}})),
      objects_served(metrics.counter("cxo_objects_served_total", "objects given to who asked")),
      objects_unknown(
          metrics.counter("cxo_objects_unknown_total", "objects asked for that are not here")
      ),
      objects_requested(metrics.counter("cxo_objects_requested_total", "objects asked for")),
      objects_received(metrics.counter("cxo_objects_received_total", "objects that were asked for")
      ),
      objects_unasked(
          metrics.counter("cxo_objects_unasked_total", "objects that came without being asked for")
      ),
      objects_missing(metrics.counter(
          "cxo_objects_missing_total", "objects that their publisher did not have any more"
      )),
      versions(metrics.counter("cxo_versions_total", "Roots published, heartbeats included")),
      changes(metrics.counter("cxo_changes_total", "changes made to feeds of ours")),
      changes_refused(metrics, "cxo_changes_refused_total", "changes that a feed did not take"),
      roots(
          metrics, "cxo_roots_received_total", "Roots received, by what became of them", "verdict"
      ),
      roots_refused(metrics, "cxo_roots_refused_total", "Roots that were wrong"),
      fills_failed(metrics, "cxo_fills_failed_total", "Roots that could not be completed"),
      resubscribes(
          metrics, "cxo_resubscribes_total", "subscriptions asked for once more on a connection"
      ),
      reconnects(
          metrics, "cxo_reconnects_total", "attempts of copies to attach that failed or ended"
      ),
      restarts(metrics.counter(
          "cxo_publisher_restarts_total", "publishers followed that had lost their state"
      )),
      sync_seconds(metrics.histogram(
          "cxo_sync_seconds", "from a Root's arrival to its whole content being here"
      )),
      sync_rounds(
          metrics.histogram("cxo_sync_rounds", "rounds of requests for a Root", {}, kRoundBuckets)
      ) {}

void note_exception(
    const log::Logger& logger,
    NodeCounters& counters,
    std::string_view where,
    const std::exception_ptr& error
) noexcept {
    counters.exceptions.add();
    try {
        log::error(
            logger, "cxo.exception", log::kv("where", where), log::kv("what", text_of(error))
        );
    } catch (...) {
        // Where there is no log, or no memory for a line of it: that is counted, too.
        counters.exceptions.add();
    }
}

}  // namespace skywire::cxo
