#include "services/common/upstream_url.hpp"

#include "dmsg/address.hpp"

namespace skywire::services {
namespace {

constexpr std::string_view kDmsgScheme = "dmsg://";
constexpr std::uint16_t kDmsgPort = 80;

}  // namespace

Result<http::Url> parse_upstream_url(std::string_view text) {
    if (!text.starts_with(kDmsgScheme)) return http::Url::parse(text);
    std::string_view address = text.substr(kDmsgScheme.size());
    if (address.ends_with('/')) address.remove_suffix(1);
    const auto parsed = dmsg::Address::parse(address);
    if (!parsed || parsed->pk.is_null())
        return fail(errc::malformed, quote_peer_text(text) + " is not of the form dmsg://KEY:PORT");
    http::Url url;
    const std::uint16_t port = parsed->port == 0 ? kDmsgPort : parsed->port;
    url.address = net::Address::tcp(parsed->pk.to_text(), port);
    url.target = "/";
    return url;
}

}  // namespace skywire::services
