#pragma once

#include "base/result.hpp"
#include "net/context.hpp"
#include "net/stream.hpp"

#include <memory>
#include <string>

/// WebSocket (RFC 6455) as a carrier of bytes: binary messages, whose borders mean nothing, in both
/// directions. Browsers have no other way to a TCP port. Pings are answered; compression is never
/// agreed on.
namespace skywire::http {

/// A message is at most this long; streams write shorter ones.
inline constexpr std::size_t kWebSocketMessageMax = 4 * 1024 * 1024;

/// Reads an upgrade request for `path` off a stream of which `received` was read already, and
/// answers it. The stream that comes back carries what is inside the messages; a text message ends
/// it with errc::malformed. Another path is answered with 404, a request that is no upgrade with
/// 426, a malformed one with 400, and errc::malformed. No time limit of its own; cancelled: the
/// connection is closed.
Task<Result<std::unique_ptr<net::Stream>>> accept_websocket(
    net::Context context, std::unique_ptr<net::Stream> carrier, Bytes received, std::string path
);

/// Asks for the upgrade as a client. `host` is the Host field. errc::malformed where the server
/// declines.
Task<Result<std::unique_ptr<net::Stream>>> open_websocket(
    net::Context context, std::unique_ptr<net::Stream> carrier, std::string host, std::string path
);

}  // namespace skywire::http
