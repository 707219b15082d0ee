#pragma once

#include "base/result.hpp"
#include "http/client.hpp"

#include <string_view>

namespace skywire::services {

/// The address of another service: "http://host[:port][/prefix]" or "dmsg://KEY[:port]", where the
/// port is 80 if none is named and the host is the key as text. errc::malformed.
Result<http::Url> parse_upstream_url(std::string_view text);

}  // namespace skywire::services
