#pragma once

#include "framework/service_type.hpp"

namespace skywire::harness {

/// The type `test-service`: a service that fails in all the ways a test wants, by its block's keys
/// and over HTTP. Only test programs and `skywire_faults` know it; an operator's binary does not.
///
/// Milestones: "listening" once its listener is bound, "registered" once the upstreams of that gate
/// are there. Routes at `addr`:
///
///     GET  /health                       200
///     GET  /slow[?for=DURATION]          answers after that long, or at POST /release
///     GET  /slow?until=FILE              answers when there is such a file
///     POST /release                      lets all slow requests answer
///     POST /report?status=S&detail=TEXT  health becomes pass, warn or fail
///     POST /exit[?error=TEXT]            the service ends unasked, cleanly or with an error
///     POST /log?text=TEXT                one debug line and one info line
///     POST /hang                         writes a line, then blocks its event loop for good
///     POST /crash                        ends the process by SIGSEGV
framework::ServiceType test_service_type();

/// A registry with the test types alone.
framework::ServiceRegistry test_registry();

}  // namespace skywire::harness
