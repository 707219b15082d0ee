#pragma once

#include "http/router.hpp"

/// Cross-origin reads of the lists by web pages: spec/services-http.md section 1.7. Any origin may
/// read; none may register, since the SW headers are not allowed.
namespace skywire::service_discovery {

/// Answers preflights and adds the headers of all other answers. It also takes `Allow` off 405s,
/// which this service does not send.
http::Middleware cors();

}  // namespace skywire::service_discovery
