#pragma once

#include "base/metrics.hpp"
#include "base/result.hpp"

#include <string_view>

namespace skywire::dmsg::detail {

/// An error's code as the value of a label: the enumerator's name for the modules below, else
/// "carrier". A closed set.
std::string_view reason_of(const Error& error) noexcept;

/// Everything a client counts, all named dmsg_client_*.
class ClientCounters {
 public:
    explicit ClientCounters(Metrics& metrics);

    /// Sessions dialled: "ok", or the reason why not.
    void session_dialled(std::string_view outcome);
    void session_ended(std::string_view reason);
    /// Streams dialled: "ok", or the reason why not.
    void dialled(std::string_view outcome);
    /// One try of those, through one server, that failed.
    void try_failed(std::string_view reason);
    /// Streams that came in: "ok", or the reason why they were closed.
    void incoming(std::string_view outcome);
    /// Entries written: "ok", or the reason why not.
    void entry_written(std::string_view outcome);
    void look_up_failed(std::string_view reason);

    Gauge& sessions;
    Gauge& streams;
    Histogram& dial_seconds;

 private:
    Metrics& metrics_;
};

}  // namespace skywire::dmsg::detail
