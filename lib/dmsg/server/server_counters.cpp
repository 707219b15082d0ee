#include "dmsg/server/server_counters.hpp"

namespace skywire::dmsg::detail {

std::string_view refusal_name(StreamRefusal refusal) noexcept {
    switch (refusal) {
        case StreamRefusal::no_request:
            return "no_request";
        case StreamRefusal::unreadable_request:
            return "unreadable_request";
        case StreamRefusal::too_many_streams:
            return "too_many_streams";
        case StreamRefusal::too_many_setups:
            return "too_many_setups";
        case StreamRefusal::draining:
            return "draining";
        case StreamRefusal::no_destination:
            return "no_destination";
        case StreamRefusal::destination_busy:
            return "destination_busy";
        case StreamRefusal::destination_lost:
            return "destination_lost";
        case StreamRefusal::destination_refused:
            return "destination_refused";
        case StreamRefusal::destination_silent:
            return "destination_silent";
        case StreamRefusal::unreadable_response:
            return "unreadable_response";
        case StreamRefusal::dialer_lost:
            return "dialer_lost";
    }
    return "unknown";
}

ServerCounters::ServerCounters(Metrics& metrics)
    : clients(metrics.gauge("dmsg_server_clients_count", "Clients with a session.")),
      peers(metrics.gauge("dmsg_server_peers_count", "Sessions with other servers.")),
      active_sessions(
          metrics.gauge("dmsg_server_vm_active_sessions_count", "Sessions, other servers' too.")
      ),
      active_streams(metrics.gauge("dmsg_server_vm_active_streams_count", "Bridged streams.")),
      packets_per_second(metrics.gauge(
          "dmsg_server_packets_per_second", "Batches of bytes relayed in the last second."
      )),
      packets_per_minute(metrics.gauge(
          "dmsg_server_packets_per_minute", "Batches of bytes relayed in the last minute."
      )),
      handshakes(metrics.gauge(
          "dmsg_server_handshakes_count", "Connections whose session has not begun yet."
      )),
      session_success(
          metrics.counter("dmsg_server_vm_session_success_total", "Sessions that began.")
      ),
      session_fail(metrics.counter(
          "dmsg_server_vm_session_fail_total", "Connections that did not become a session."
      )),
      stream_success(
          metrics.counter("dmsg_server_vm_stream_success_total", "Streams that were bridged.")
      ),
      stream_fail(
          metrics.counter("dmsg_server_vm_stream_fail_total", "Streams that were not bridged.")
      ),
      bytes_up(metrics.counter(
          "dmsg_server_relayed_bytes_total",
          "Bytes relayed, up from dialers, down to them.",
          {{"direction", "up"}}
      )),
      bytes_down(metrics.counter(
          "dmsg_server_relayed_bytes_total",
          "Bytes relayed, up from dialers, down to them.",
          {{"direction", "down"}}
      )),
      pings(metrics.counter("dmsg_server_ping_markers_total", "Ping markers answered.")),
      ip_look_ups(metrics.counter("dmsg_server_ip_lookups_total", "IP look-ups answered.")),
      idle_relays(metrics.counter(
          "dmsg_server_idle_streams_closed_total", "Bridged streams closed for want of data."
      )),
      accept_errors(metrics.counter(
          "dmsg_server_accept_errors_total", "Accepts that failed, for want of descriptors mostly."
      )),
      replaced(metrics.counter(
          "dmsg_server_sessions_replaced_total", "Sessions closed for two newer ones of their key."
      )),
      setup_seconds(metrics.histogram(
          "dmsg_server_stream_setup_seconds",
          "From a stream's first byte to both of its ends being told."
      )),
      metrics_(metrics) {
    for (std::size_t i = 1; i < kRefusals; ++i) {
        by_reason(
            "dmsg_server_sessions_refused_total",
            "Connections that did not become a session.",
            refusal_name(static_cast<Refusal>(i))
        );
    }
    for (std::size_t i = 0; i < kStreamRefusals; ++i) {
        by_reason(
            "dmsg_server_streams_refused_total",
            "Streams that were not bridged.",
            refusal_name(static_cast<StreamRefusal>(i))
        );
    }
}

Counter& ServerCounters::by_reason(
    std::string_view name, std::string_view help, std::string_view reason
) {
    return metrics_.counter(name, help, {{"reason", std::string(reason)}});
}

void ServerCounters::refused_session(std::string_view reason) {
    session_fail.add();
    by_reason(
        "dmsg_server_sessions_refused_total", "Connections that did not become a session.", reason
    )
        .add();
}

void ServerCounters::session_began() {
    session_success.add();
}

void ServerCounters::session_ended(std::string_view reason) {
    by_reason("dmsg_server_sessions_ended_total", "Sessions that ended.", reason).add();
}

void ServerCounters::refused_stream(std::string_view reason, std::size_t streams) {
    stream_fail.add(streams);
    by_reason("dmsg_server_streams_refused_total", "Streams that were not bridged.", reason)
        .add(streams);
}

void ServerCounters::stream_began(double seconds) {
    stream_success.add();
    setup_seconds.observe(seconds);
}

}  // namespace skywire::dmsg::detail
