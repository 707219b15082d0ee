#pragma once

#include "services/config_bootstrapper/document.hpp"

#include <string>
#include <string_view>

namespace skywire::config_bootstrapper {

/// Reads the text of a `config_path` into a document: `stun_servers`, `route_setup_nodes`,
/// `survey_whitelist`, `transport_setup`; lists that it has replace those of `into`, other members
/// pass. errc::malformed names the member.
[[nodiscard]] Result<> read_input(std::string_view text, Document& into);

/// The same from a file. A missing one leaves `into` as it is and is errc::not_found.
[[nodiscard]] Result<> read_input_file(const std::string& path, Document& into);

}  // namespace skywire::config_bootstrapper
