#include "http/real_ip.hpp"

#include <charconv>
#include <optional>

#include <boost/asio/ip/address.hpp>

namespace skywire::http {
namespace {

std::optional<asio::ip::address> parse_ip(std::string_view text) {
    // A zone ("fe80::1%eth0") means something on one machine only; no address text is longer.
    if (text.empty() || text.size() > 45 || text.find('%') != std::string_view::npos)
        return std::nullopt;
    boost::system::error_code ec;
    const auto address = asio::ip::make_address(text, ec);
    if (ec) return std::nullopt;
    return address;
}

bool same_bits(const unsigned char* a, const unsigned char* b, unsigned bits) noexcept {
    for (; bits >= 8; bits -= 8, ++a, ++b) {
        if (*a != *b) return false;
    }
    if (bits == 0) return true;
    const unsigned mask = 0xffU << (8 - bits);
    return (static_cast<unsigned>(*a ^ *b) & mask & 0xffU) == 0;
}

/// The first non-empty header, or nothing.
std::string_view forwarded_text(const Fields& fields) {
    for (const char* name : {"True-Client-IP", "X-Real-IP"}) {
        const auto value = fields.get(name);
        if (value && !value->empty()) return *value;
    }
    const auto list = fields.get("X-Forwarded-For");
    return list ? list->substr(0, list->find(',')) : std::string_view();
}

}  // namespace

TrustedProxies::TrustedProxies() {
    ranges_.push_back(parse_range("127.0.0.0/8").value());
    ranges_.push_back(parse_range("::1").value());
}

Result<TrustedProxies::Range> TrustedProxies::parse_range(std::string_view text) {
    const auto slash = text.find('/');
    const auto address = parse_ip(text.substr(0, slash));
    const auto malformed = [&] {
        return fail(
            errc::malformed,
            quote_peer_text(text) + " is no address range, such as 192.0.2.0/24 or ::1"
        );
    };
    if (!address) return malformed();
    Range range;
    range.v6 = address->is_v6();
    if (range.v6) {
        range.network = address->to_v6().to_bytes();
    } else {
        const auto bytes = address->to_v4().to_bytes();
        std::copy(bytes.begin(), bytes.end(), range.network.begin());
    }
    const unsigned bits_max = range.v6 ? 128 : 32;
    range.prefix_bits = bits_max;
    if (slash == std::string_view::npos) return range;
    const std::string_view prefix = text.substr(slash + 1);
    const char* const end = prefix.data() + prefix.size();
    const auto [stop, ec] = std::from_chars(prefix.data(), end, range.prefix_bits);
    if (ec != std::errc() || stop != end || range.prefix_bits > bits_max) return malformed();
    return range;
}

Result<TrustedProxies> TrustedProxies::parse(std::span<const std::string> ranges) {
    TrustedProxies trusted;
    trusted.ranges_.clear();
    for (const std::string& text : ranges) {
        auto range = parse_range(text);
        if (!range) return range.error();
        trusted.ranges_.push_back(*range);
    }
    return trusted;
}

bool TrustedProxies::contains(std::string_view ip) const {
    auto address = parse_ip(ip);
    if (!address) return false;
    if (address->is_v6() && address->to_v6().is_v4_mapped()) {
        address = asio::ip::make_address_v4(asio::ip::v4_mapped, address->to_v6());
    }
    for (const Range& range : ranges_) {
        if (range.v6 != address->is_v6()) continue;
        bool inside = false;
        if (range.v6) {
            const auto bytes = address->to_v6().to_bytes();
            inside = same_bits(bytes.data(), range.network.data(), range.prefix_bits);
        } else {
            const auto bytes = address->to_v4().to_bytes();
            inside = same_bits(bytes.data(), range.network.data(), range.prefix_bits);
        }
        if (inside) return true;
    }
    return false;
}

Caller caller_of(const net::Address& peer, const Fields& fields, const TrustedProxies& trusted) {
    Caller caller;
    caller.host = peer.kind == net::Address::Kind::tcp ? peer.host : std::string();
    const std::string_view text = forwarded_text(fields);
    if (!text.empty()) {
        caller.forwarded = trusted.contains(caller.host) && is_ip(text);
        caller.header_ignored = !caller.forwarded;
    }
    if (caller.forwarded) {
        caller.host = text;
        caller.address = text;
    } else {
        caller.address = peer.to_string();
    }
    return caller;
}

Middleware real_ip(TrustedProxies trusted, Counter& ignored) {
    return [trusted = std::move(trusted), &ignored](Request& request, const Handler& next) {
        const std::string_view text = forwarded_text(request.fields);
        if (!text.empty()) {
            Caller caller = caller_of(request.remote, request.fields, trusted);
            if (caller.header_ignored) ignored.add();
            if (caller.forwarded) request.remote = net::Address::tcp(std::move(caller.host), 0);
        }
        return next(request);
    };
}

bool is_public_ip(std::string_view ip) {
    const auto address = parse_ip(ip);
    if (!address || !address->is_v4()) return false;
    const auto b = address->to_v4().to_bytes();
    const bool loopback = b[0] == 127;
    const bool link_local = (b[0] == 169 && b[1] == 254) || (b[0] == 224 && b[1] == 0 && b[2] == 0);
    const bool private_use =
        b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168);
    return !loopback && !link_local && !private_use;
}

bool is_ip(std::string_view text) {
    return parse_ip(text).has_value();
}

}  // namespace skywire::http
