#pragma once

#include "http/router.hpp"
#include "services/network_visualizer/copy.hpp"

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace skywire::network_visualizer {

/// A file of the page, built into the program.
struct Asset {
    /// "app/main.js", or "index.html" for the page itself.
    std::string_view name;
    std::string_view type;
    std::string_view text;
};

/// Made from page/ at build time.
std::span<const Asset> page_assets() noexcept;

/// The page and the parts as JSON. Each answer with a part says whose copy it is and how old:
/// X-Skywire-Source (cxo, http, process), X-Skywire-Age in seconds. Unchanged parts are answered
/// with 304 to who asks so; 503 before the first copy. Used on the service's loop.
class Routes {
 public:
    /// The copies outlive the routes.
    explicit Routes(std::array<const Copy*, kParts.size()> copies);

    /// The routes outlive the router.
    void add_to(http::Router& router);

 private:
    http::Response part(const http::Request& request, const Copy& copy) const;
    http::Response health() const;

    std::array<const Copy*, kParts.size()> copies_;
};

}  // namespace skywire::network_visualizer
