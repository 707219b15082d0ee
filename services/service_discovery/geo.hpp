#pragma once

#include "http/client.hpp"
#include "net/context.hpp"
#include "services/service_discovery/entry.hpp"

#include <optional>
#include <string>

/// Where an entry without a place of its own is put: spec/services-http.md section 5.3 rule 2.
namespace skywire::service_discovery {

/// Asks a geo service, `GET URL/?ip=IP`, which answers country_code, region_code, latitude and
/// longitude. One event loop.
class Locator {
 public:
    struct Options {
        /// "http://host:port[/path]"; empty, or https: nobody is asked.
        std::string url;
        /// Taken where nobody answers, and for addresses that are not public: closed networks.
        std::optional<Geo> fallback;
    };

    /// `context` outlives it.
    Locator(const net::Context& context, Options options);

    /// The place of an address, degrees rounded to two decimals; the fallback, or nothing, where it
    /// is not known. Counts service_discovery_lookups_total by outcome.
    Task<std::optional<Geo>> locate(std::string ip);

    /// Ends what is under way.
    void close();

 private:
    Task<std::optional<Geo>> ask(http::Url url, std::string ip);

    net::Context context_;
    Options options_;
    std::optional<http::Url> url_;
    http::Client client_;
    std::size_t under_way_ = 0;
    Counter& found_;
    Counter& failed_;
    Counter& busy_;
};

/// Reads the answer of a geo service; nothing where it names no place.
std::optional<Geo> parse_place(std::string_view body);

}  // namespace skywire::service_discovery
