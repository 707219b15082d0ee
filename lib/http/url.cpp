#include "http/client.hpp"

#include <charconv>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

namespace skywire::http {

Result<Url> Url::parse(std::string_view text) {
    const auto malformed = [&](std::string_view why) {
        return fail(
            errc::malformed, quote_peer_text(text) + " is no http URL: " + std::string(why)
        );
    };
    const auto parsed = boost::urls::parse_uri({text.data(), text.size()});
    if (!parsed) return malformed("it is not of the form http://HOST:PORT");
    const boost::urls::url_view& view = *parsed;
    if (view.scheme_id() != boost::urls::scheme::http) return malformed("the scheme is not http");
    if (view.has_userinfo()) return malformed("it names a user");
    std::string host(view.host());
    // An IPv6 literal stands in brackets here and without them in an Address.
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    if (host.empty()) return malformed("it names no host");
    std::uint16_t port = 80;
    if (view.has_port() && !view.port().empty()) {
        const std::string_view digits = view.port();
        const char* const end = digits.data() + digits.size();
        // Boost 1.81's port_number() wraps around.
        const auto [stop, ec] = std::from_chars(digits.data(), end, port);
        if (ec != std::errc() || stop != end || port == 0)
            return malformed("the port is not within 1 to 65535");
    }
    Url url;
    url.address = net::Address::tcp(std::move(host), port);
    const std::string_view path = view.encoded_path();
    url.target = path.empty() ? "/" : path;
    if (view.has_query()) url.target.append("?").append(std::string_view(view.encoded_query()));
    return url;
}

}  // namespace skywire::http
