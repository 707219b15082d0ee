#include "dmsg/client/client_counters.hpp"

#include "dmsg/code.hpp"
#include "dmsg/error.hpp"
#include "mux/error.hpp"
#include "noise/error.hpp"

namespace skywire::dmsg::detail {
namespace {

std::string_view base_reason(skywire::errc code) noexcept {
    switch (code) {
        case skywire::errc::ok:
            return "ok";
        case skywire::errc::malformed:
            return "malformed";
        case skywire::errc::out_of_range:
            return "out_of_range";
        case skywire::errc::not_found:
            return "not_found";
        case skywire::errc::limit_reached:
            return "limit_reached";
        case skywire::errc::timed_out:
            return "timed_out";
        case skywire::errc::cancelled:
            return "cancelled";
        case skywire::errc::closed:
            return "closed";
        case skywire::errc::unavailable:
            return "unavailable";
        case skywire::errc::forbidden:
            return "forbidden";
        case skywire::errc::wrong_state:
            return "wrong_state";
        case skywire::errc::unsupported:
            return "unsupported";
        case skywire::errc::injected:
            return "injected";
    }
    return "unknown";
}

Labels outcome_label(std::string_view outcome) {
    return {{"outcome", std::string(outcome)}};
}

Labels reason_label(std::string_view reason) {
    return {{"reason", std::string(reason)}};
}

}  // namespace

std::string_view reason_of(const Error& error) noexcept {
    const ErrorCode& code = error.code();
    const auto& category = code.category();
    if (category == base_category()) return base_reason(static_cast<skywire::errc>(code.value()));
    if (category == code_category()) return reason(static_cast<Code>(code.value()));
    if (category == dmsg_category()) return reason(static_cast<errc>(code.value()));
    if (category == mux::mux_category()) return reason(static_cast<mux::errc>(code.value()));
    if (category == noise::noise_category()) return reason(static_cast<noise::errc>(code.value()));
    return "carrier";
}

ClientCounters::ClientCounters(Metrics& metrics)
    : sessions(metrics.gauge("dmsg_client_sessions", "Sessions with servers.")),
      streams(metrics.gauge("dmsg_client_streams", "Open streams, dialled and accepted.")),
      dial_seconds(metrics.histogram(
          "dmsg_client_dial_seconds", "Dials that led to a stream, look-up and all."
      )),
      metrics_(metrics) {}

void ClientCounters::session_dialled(std::string_view outcome) {
    metrics_.counter("dmsg_client_session_dials_total", "Sessions dialled.", outcome_label(outcome))
        .add();
}

void ClientCounters::session_ended(std::string_view reason) {
    metrics_
        .counter("dmsg_client_sessions_ended_total", "Sessions that ended.", reason_label(reason))
        .add();
}

void ClientCounters::dialled(std::string_view outcome) {
    metrics_.counter("dmsg_client_dials_total", "Streams dialled.", outcome_label(outcome)).add();
}

void ClientCounters::try_failed(std::string_view reason) {
    metrics_
        .counter(
            "dmsg_client_dial_tries_failed_total",
            "Tries of dials, each through one server, that failed.",
            reason_label(reason)
        )
        .add();
}

void ClientCounters::incoming(std::string_view outcome) {
    metrics_
        .counter(
            "dmsg_client_incoming_total",
            "Streams that came in, accepted or closed.",
            outcome_label(outcome)
        )
        .add();
}

void ClientCounters::entry_written(std::string_view outcome) {
    metrics_
        .counter(
            "dmsg_client_entry_writes_total",
            "Writes of our entry in the discovery.",
            outcome_label(outcome)
        )
        .add();
}

void ClientCounters::look_up_failed(std::string_view reason) {
    metrics_
        .counter(
            "dmsg_client_lookups_failed_total",
            "Questions to the discovery (entries, servers) without an answer of use.",
            reason_label(reason)
        )
        .add();
}

}  // namespace skywire::dmsg::detail
