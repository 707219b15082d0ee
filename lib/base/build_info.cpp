#include "base/build_info.hpp"

namespace skywire {

BuildInfo build_info() noexcept {
    return {SKYWIRE_VERSION, SKYWIRE_COMMIT, SKYWIRE_DATE};
}

}  // namespace skywire
