#include "mux/core.hpp"

namespace skywire::mux {

std::string_view protocol_name(Protocol protocol) noexcept {
    switch (protocol) {
        case Protocol::yamux:
            return "yamux";
        case Protocol::smux:
            return "smux";
    }
    return "unknown";
}

std::optional<Protocol> protocol_of(std::byte first) noexcept {
    switch (std::to_integer<unsigned>(first)) {
        case 0:
            return Protocol::yamux;
        case 2:
            return Protocol::smux;
        default:
            return std::nullopt;
    }
}

}  // namespace skywire::mux
