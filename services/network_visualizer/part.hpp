#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace skywire::network_visualizer {

/// What the picture is made of; each part has its own upstream.
enum class Part { services, clients, transports };

inline constexpr std::array kParts{Part::services, Part::clients, Part::transports};

/// As /api/health and the metrics call it: "services", "dmsg", "transports".
std::string_view part_name(Part part) noexcept;

/// Where a copy of a part came from.
enum class Origin {
    /// There is no copy yet.
    none,
    /// The publisher's feed.
    cxo,
    /// Its list over HTTP.
    http,
    /// A service of the same process.
    process,
};

/// As the header X-Skywire-Source says it.
std::string_view origin_name(Origin origin) noexcept;

/// One part as it is handed out: JSON text, made once and shared by all answers.
struct Body {
    std::shared_ptr<const std::string> text;
    /// Hex digits that differ where the text does.
    std::string tag;
    /// Visors with services, servers and clients, or transports.
    std::size_t items = 0;
    /// What the upstream listed and nothing could be made of, or what was above a limit.
    std::size_t unreadable = 0;
};

/// With its tag.
Body make_body(std::string text, std::size_t items, std::size_t unreadable);

}  // namespace skywire::network_visualizer
