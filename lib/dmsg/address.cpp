#include "dmsg/address.hpp"

#include <charconv>

namespace skywire::dmsg {
namespace {

constexpr std::string_view kNoPort = "~";

Result<std::uint16_t> parse_port(std::string_view text) {
    if (text.empty() || text == kNoPort) return std::uint16_t{0};
    const auto malformed = [text](skywire::errc code) {
        return fail(code, fmt::format("dmsg port {}: not 0 to 65535 or ~", quote_peer_text(text)));
    };
    std::uint16_t port = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (failed == std::errc::result_out_of_range) return malformed(skywire::errc::out_of_range);
    if (failed != std::errc() || end != text.data() + text.size()) {
        return malformed(skywire::errc::malformed);
    }
    return port;
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
    const std::size_t colon = text.find(':');
    const std::string_view key = text.substr(0, colon);
    // The decoder of keys takes any number of zeros, none too, for the null key: not here.
    if (key.size() != crypto::PublicKey::kTextSize) {
        return Error(
            crypto::errc::invalid_public_key_length,
            fmt::format(
                "dmsg address {}: a key has {} digits",
                quote_peer_text(text),
                crypto::PublicKey::kTextSize
            )
        );
    }
    const auto pk = crypto::PublicKey::from_text(key);
    if (!pk) return pk.error().within(fmt::format("dmsg address {}", quote_peer_text(text)));
    Address address{.pk = *pk, .port = 0};
    if (colon == std::string_view::npos) return address;
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) return port.error();
    address.port = *port;
    return address;
}

std::string Address::to_string() const {
    return port == 0 ? fmt::format("{}:{}", pk, kNoPort) : fmt::format("{}:{}", pk, port);
}

}  // namespace skywire::dmsg
