#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <memory>
#include <unordered_set>

namespace skywire::dmsg::detail {

class PortLease;

/// Which of a key's ports are taken, by listeners and by streams it dialled: spec/dmsg.md
/// section 8. Shared, since streams and listeners may live longer than their client. One event
/// loop.
class Ports : public std::enable_shared_from_this<Ports> {
 public:
    /// Dialled streams and listeners without a wish have ports from here to the end.
    static constexpr std::uint16_t kEphemeralMin = 49152;

    /// Code::port_occupied; errc::out_of_range for port 0.
    Result<PortLease> take(std::uint16_t port);
    /// The next free ephemeral port, from 49153 upward and round. errc::limit_reached where there
    /// is none.
    Result<PortLease> take_ephemeral();

 private:
    friend class PortLease;

    std::unordered_set<std::uint16_t> taken_;
    std::uint16_t last_ = kEphemeralMin;
};

/// A port, until it is released or dies.
class PortLease {
 public:
    PortLease() = default;
    PortLease(std::shared_ptr<Ports> ports, std::uint16_t port)
        : ports_(std::move(ports)), port_(port) {}
    PortLease(PortLease&& other) noexcept = default;
    PortLease& operator=(PortLease&& other) noexcept {
        release();
        ports_ = std::move(other.ports_);
        port_ = other.port_;
        return *this;
    }
    ~PortLease() { release(); }

    std::uint16_t port() const noexcept { return port_; }
    void release() noexcept {
        if (ports_) ports_->taken_.erase(port_);
        ports_.reset();
    }

 private:
    std::shared_ptr<Ports> ports_;
    std::uint16_t port_ = 0;
};

}  // namespace skywire::dmsg::detail
