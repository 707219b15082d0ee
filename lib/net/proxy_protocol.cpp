#include "net/proxy_protocol.hpp"

#include "net/endpoint.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

namespace skywire::net {
namespace {

namespace ip = boost::asio::ip;

constexpr std::string_view kV1Start = "PROXY ";
// With its CR LF.
constexpr std::size_t kV1Max = 107;

constexpr std::string_view kV2Signature("\r\n\r\n\0\r\nQUIT\n", 12);
// Signature, version and command, family and transport, length.
constexpr std::size_t kV2Fixed = 16;

Error bad_header(std::string_view rule) {
    return fail(errc::malformed, fmt::format("PROXY header: {}", rule));
}

ProxyHeader complete(std::size_t size) {
    ProxyHeader header;
    header.state = ProxyHeader::State::complete;
    header.size = size;
    return header;
}

ProxyHeader incomplete() {
    ProxyHeader header;
    header.state = ProxyHeader::State::need_more;
    return header;
}

/// The text up to the next space, which is taken off; the last word takes the rest.
std::string_view next_word(std::string_view& line) {
    const auto space = line.find(' ');
    const std::string_view word = line.substr(0, space);
    line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
    return word;
}

std::optional<ip::address> parse_address(std::string_view word, bool v6) {
    ErrorCode ec;
    if (v6) {
        const auto address = ip::make_address_v6(std::string(word), ec);
        // A zone means nothing on another machine.
        if (ec || word.find('%') != std::string_view::npos) return std::nullopt;
        return address;
    }
    const auto address = ip::make_address_v4(std::string(word), ec);
    if (ec) return std::nullopt;
    return address;
}

std::optional<std::uint16_t> parse_port(std::string_view word) {
    if (word.empty() || word.size() > 5 || (word.size() > 1 && word[0] == '0')) return std::nullopt;
    std::uint16_t port = 0;
    const auto [end, ec] = std::from_chars(word.data(), word.data() + word.size(), port);
    if (ec != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return port;
}

Result<ProxyHeader> parse_v1(std::string_view text) {
    const auto end = text.substr(0, kV1Max).find_first_of("\r\n");
    if (end == std::string_view::npos && text.size() < kV1Max) return incomplete();
    if (end == std::string_view::npos || end + 2 > kV1Max) {
        return bad_header("no end of line within 107 bytes");
    }
    if (text[end] == '\r' && end + 1 == text.size()) return incomplete();
    if (text.substr(end, 2) != "\r\n") return bad_header("the line ends without CR LF");
    ProxyHeader header = complete(end + 2);
    std::string_view line = text.substr(kV1Start.size(), end - kV1Start.size());
    const std::string_view family = next_word(line);
    // What follows UNKNOWN is to be ignored.
    if (family == "UNKNOWN") return header;
    if (family != "TCP4" && family != "TCP6") {
        return bad_header("the family is none of TCP4, TCP6, UNKNOWN");
    }
    const bool v6 = family == "TCP6";
    const auto source = parse_address(next_word(line), v6);
    const auto destination = parse_address(next_word(line), v6);
    if (!source) return bad_header("the source address is not of the family");
    if (!destination) return bad_header("the destination address is not of the family");
    const auto source_port = parse_port(next_word(line));
    const auto destination_port = parse_port(line);
    if (!source_port) return bad_header("the source port is not a port");
    if (!destination_port) return bad_header("the destination port is not a port");
    header.source = detail::to_address(*source, *source_port);
    header.destination = detail::to_address(*destination, *destination_port);
    return header;
}

std::uint16_t read_u16(const std::byte* at) {
    return static_cast<std::uint16_t>(
        std::to_integer<unsigned>(at[0]) << 8 | std::to_integer<unsigned>(at[1])
    );
}

template <class IpAddress>
void read_addresses(const std::byte* at, ProxyHeader& header) {
    typename IpAddress::bytes_type source;
    typename IpAddress::bytes_type destination;
    std::memcpy(source.data(), at, source.size());
    std::memcpy(destination.data(), at + source.size(), destination.size());
    const std::byte* ports = at + source.size() + destination.size();
    header.source = detail::to_address(IpAddress(source), read_u16(ports));
    header.destination = detail::to_address(IpAddress(destination), read_u16(ports + 2));
}

Result<ProxyHeader> parse_v2(ByteSpan bytes) {
    // Each byte is judged as soon as it is there: who sends garbage waits for nothing.
    if (bytes.size() <= kV2Signature.size()) return incomplete();
    const auto version_and_command = std::to_integer<unsigned>(bytes[12]);
    if (version_and_command >> 4 != 2) return bad_header("the version is not 2");
    const unsigned command = version_and_command & 0x0f;
    if (command > 1) return bad_header("the command is neither LOCAL nor PROXY");
    if (bytes.size() < kV2Fixed) return incomplete();
    const auto family = std::to_integer<unsigned>(bytes[13]) >> 4;
    const auto transport = std::to_integer<unsigned>(bytes[13]) & 0x0f;
    const bool local = command == 0;
    // What LOCAL carries is to be ignored, its family too.
    if (!local && (family > 3 || transport > 2)) {
        return bad_header("unknown address family or transport");
    }
    const std::size_t length = read_u16(bytes.data() + 14);
    if (kV2Fixed + length > kProxyHeaderMax) return bad_header("longer than 2048 bytes");
    const std::size_t address_bytes = family == 1 ? 12 : family == 2 ? 36 : family == 3 ? 216 : 0;
    if (!local && length < address_bytes) return bad_header("too short for its addresses");
    if (bytes.size() < kV2Fixed + length) return incomplete();
    ProxyHeader header = complete(kV2Fixed + length);
    // Unix socket paths of another machine name nobody.
    if (local || transport == 0) return header;
    if (family == 1) read_addresses<ip::address_v4>(bytes.data() + kV2Fixed, header);
    if (family == 2) read_addresses<ip::address_v6>(bytes.data() + kV2Fixed, header);
    return header;
}

}  // namespace

Result<ProxyHeader> parse_proxy_header(ByteSpan bytes) {
    const std::string_view text = as_text(bytes);
    for (const std::string_view start : {kV1Start, kV2Signature}) {
        const std::size_t common = std::min(start.size(), text.size());
        if (text.substr(0, common) != start.substr(0, common)) continue;
        if (common < start.size()) return incomplete();
        return start == kV1Start ? parse_v1(text) : parse_v2(bytes);
    }
    return ProxyHeader();
}

}  // namespace skywire::net
