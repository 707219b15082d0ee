#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "net/context.hpp"
#include "net/network.hpp"
#include "net/stream.hpp"

#include <cstdint>
#include <memory>

/// dmsgctrl: pings between clients, end to end, in single bytes; spec/dmsg.md section 17.
namespace skywire::dmsg {

inline constexpr std::uint16_t kControlPort = 7;

/// The round trip of one ping on a stream to a control port. errc::malformed for another answer,
/// errc::closed, the stream's errors.
Task<Result<Duration>> ping_control(net::Stream& stream, Clock& clock);

/// Answers pings on every stream of the listener until it is closed; anything else ends a stream,
/// and so does silence of two minutes. At most 64 streams at a time, more are closed.
Task<> serve_control(net::Context context, std::shared_ptr<net::Listener> listener);

}  // namespace skywire::dmsg
