#pragma once

#include "base/metrics.hpp"
#include "dmsg/server/admission.hpp"

#include <array>
#include <map>
#include <string>
#include <string_view>

namespace skywire::dmsg::detail {

/// Why a stream that a client opened was not bridged, beside what the checks of its objects say
/// (the reasons of Code and of gob).
enum class StreamRefusal {
    /// Its first object did not come in time, or was no sealed object.
    no_request,
    unreadable_request,
    /// The session has as many streams as it may have.
    too_many_streams,
    /// As many set-ups of the session are under way as may be.
    too_many_setups,
    /// The server is about to stop.
    draining,
    no_destination,
    /// The destination takes no more streams.
    destination_busy,
    /// The destination's session ended meanwhile.
    destination_lost,
    /// The destination closed the stream, or said nothing in time, or nothing readable.
    destination_refused,
    destination_silent,
    unreadable_response,
    /// The dialer has gone.
    dialer_lost,
};
inline constexpr std::size_t kStreamRefusals = 12;
std::string_view refusal_name(StreamRefusal refusal) noexcept;

/// Everything a server counts. The dmsg_server_* names without a reason are the existing network's:
/// spec/dmsg.md section 19. Safe to use from any thread.
class ServerCounters {
 public:
    explicit ServerCounters(Metrics& metrics);

    /// A connection that did not become a session.
    void refused_session(std::string_view reason);
    void refused(Refusal refusal) { refused_session(refusal_name(refusal)); }
    void session_began();
    void session_ended(std::string_view reason);

    void refused_stream(std::string_view reason, std::size_t streams = 1);
    void refused(StreamRefusal refusal) { refused_stream(refusal_name(refusal)); }
    void stream_began(double seconds);

    Gauge& clients;
    Gauge& peers;
    Gauge& active_sessions;
    Gauge& active_streams;
    Gauge& packets_per_second;
    Gauge& packets_per_minute;
    Gauge& handshakes;
    Counter& session_success;
    Counter& session_fail;
    Counter& stream_success;
    Counter& stream_fail;
    Counter& bytes_up;
    Counter& bytes_down;
    Counter& pings;
    Counter& ip_look_ups;
    Counter& idle_relays;
    Counter& accept_errors;
    Counter& replaced;
    Histogram& setup_seconds;

 private:
    Counter& by_reason(std::string_view name, std::string_view help, std::string_view reason);

    Metrics& metrics_;
};

}  // namespace skywire::dmsg::detail
