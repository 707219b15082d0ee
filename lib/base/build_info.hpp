#pragma once

#include <string_view>

namespace skywire {

/// What this binary was built from; "unknown" outside a git checkout.
struct BuildInfo {
    std::string_view version;
    std::string_view commit;
    /// RFC 3339, of the commit.
    std::string_view date;
};

BuildInfo build_info() noexcept;

}  // namespace skywire
