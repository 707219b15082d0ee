#pragma once

#include "base/result.hpp"
#include "net/address.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace skywire::framework {

/// Default admin address of a file and the labels chosen from it: a unix socket in
/// $XDG_RUNTIME_DIR, /run/skywire where it can be written, else /tmp/skywire-UID, named by a hash
/// of the absolute path and the labels. Symbolic links are not followed: a link that turns to
/// another file does not lose its process. Creates nothing.
net::Address default_admin_address(
    const std::string& config_file, const std::set<std::string>& only
);

/// All addresses at which a process of that file and labels may listen, the default one first: the
/// process may have been started without the environment that a command sees. A command tries those
/// whose socket is there.
std::vector<net::Address> admin_address_candidates(
    const std::string& config_file, const std::set<std::string>& only
);

/// Makes sure that nobody else can put a socket in the place of ours: creates the last folder of a
/// unix socket's path, mode 0700, where it is missing. Errors: errc::forbidden where somebody else
/// owns it or may write to it (a sticky one like /tmp is fine), errc::out_of_range where the path
/// is longer than a socket's may be, else the system's.
Result<> prepare_socket_folder(const std::string& socket_path);

}  // namespace skywire::framework
