#pragma once

#include "net/address.hpp"
#include "net/context.hpp"
#include "net/task.hpp"
#include "services/stun_server/stun_message.hpp"

/// The asking side of stun_message.hpp.
namespace skywire::stun {

/// Asks the server at `server` (an IP literal and a UDP port), from a socket of its own, where it
/// sees us. The question is repeated every kRepeatEvery until `deadline`, since datagrams may be
/// lost; what does not answer it is passed over. Errors: errc::timed_out; what the socket says.
Task<Result<BindingResponse>> ask_binding(
    net::Context context, net::Address server, SteadyTime deadline
);

inline constexpr Duration kRepeatEvery = std::chrono::milliseconds(500);

}  // namespace skywire::stun
