#pragma once

#include "framework/admin_address.hpp"
#include "framework/supervisor.hpp"

#include <memory>
#include <string>

namespace skywire::framework {

/// The process's own listener (spec/framework.md section 13, design: one for all services).
///
/// GET /health /livez /readyz /metrics /graph (?format=json|dot) /timeline (?after=N) /services
/// /services/NAME /log-level /logs/NAME /debug/pprof/{profile,heap,cmdline,symbol} and /pprof/*;
/// POST /services/NAME/{stop,start,restart}, /log-level {service, level, expires}.
/// Answers are JSON but for metrics, profiles and DOT. Errors: {"error": "..."}.
///
/// A change over a unix socket is guarded by the socket's mode; over TCP it needs
/// `Authorization: Bearer TOKEN`: 401 without or with a wrong one, 403 where no token is set.
class Admin {
 public:
    struct Options {
        net::Address address;
        /// Content of admin_token_file, trimmed; empty = none.
        std::string token;
    };

    Admin(
        const net::Context& context,
        Environment environment,
        Supervisor& supervisor,
        Options options
    );
    ~Admin();

    /// Binds. The socket of a process that is gone is replaced; that of a living one is an error.
    Result<> start();
    net::Address address() const;
    Task<> stop(SteadyTime deadline);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::framework
