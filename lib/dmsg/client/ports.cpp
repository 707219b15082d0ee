#include "dmsg/client/ports.hpp"

#include "dmsg/code.hpp"

#include <fmt/format.h>

namespace skywire::dmsg::detail {

Result<PortLease> Ports::take(std::uint16_t port) {
    if (port == 0) return fail(skywire::errc::out_of_range, "port 0 is none");
    if (!taken_.insert(port).second) {
        return Error(
            Code::port_occupied,
            fmt::format("{}: {}", make_error_code(Code::port_occupied).message(), port)
        );
    }
    return PortLease(shared_from_this(), port);
}

Result<PortLease> Ports::take_ephemeral() {
    constexpr unsigned kPorts = 65536 - kEphemeralMin;
    for (unsigned tried = 0; tried < kPorts; ++tried) {
        last_ = last_ == 65535 ? kEphemeralMin : std::uint16_t(last_ + 1);
        if (taken_.insert(last_).second) return PortLease(shared_from_this(), last_);
    }
    return fail(skywire::errc::limit_reached, "all ephemeral ports are in use");
}

}  // namespace skywire::dmsg::detail
