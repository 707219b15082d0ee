#include "base/log.hpp"

namespace skywire::log {

std::string_view level_name(Level level) noexcept {
    switch (level) {
        case Level::trace:
            return "trace";
        case Level::debug:
            return "debug";
        case Level::info:
            return "info";
        case Level::warn:
            return "warn";
        case Level::error:
            return "error";
        case Level::off:
            return "off";
    }
    return "unknown";
}

std::optional<Level> parse_level(std::string_view name) noexcept {
    if (name == "trace") return Level::trace;
    if (name == "debug") return Level::debug;
    if (name == "info") return Level::info;
    if (name == "warn" || name == "warning") return Level::warn;
    if (name == "error" || name == "fatal" || name == "panic") return Level::error;
    if (name == "off") return Level::off;
    return std::nullopt;
}

}  // namespace skywire::log
