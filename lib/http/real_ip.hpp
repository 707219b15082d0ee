#pragma once

#include "base/metrics.hpp"
#include "http/router.hpp"

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Who the caller of a request is (spec/services-http.md section 1.1).
namespace skywire::http {

/// A list of CIDR ranges. A caller from one of them may say on whose behalf it calls.
class TrustedProxies {
 public:
    /// 127.0.0.0/8 and ::1.
    TrustedProxies();

    /// Ranges as "192.0.2.0/24", "2001:db8::/32", or bare addresses. Bits behind the prefix are
    /// ignored. Errors: errc::malformed with the item that is none.
    static Result<TrustedProxies> parse(std::span<const std::string> ranges);

    /// False for what is no IP address (a public key, a unix socket). An IPv4 address mapped into
    /// IPv6 counts as the IPv4 address.
    bool contains(std::string_view ip) const;

 private:
    struct Range {
        bool v6 = false;
        /// Network order; an IPv4 address takes the first four.
        std::array<unsigned char, 16> network{};
        unsigned prefix_bits = 0;
    };

    static Result<Range> parse_range(std::string_view text);

    std::vector<Range> ranges_;
};

/// The caller's address.
struct Caller {
    /// "IP:port" of the peer, or a bare IP from a header.
    std::string address;
    /// The same without a port.
    std::string host;
    /// The address comes from a header.
    bool forwarded = false;
    /// A header was there and did not count: the peer is not trusted, or its text is no IP.
    bool header_ignored = false;
};

/// The first non-empty one of True-Client-IP, X-Real-IP and the first item of X-Forwarded-For (cut
/// at the first comma, not trimmed) where the peer is trusted and the text parses as an IP address;
/// else the peer itself. Pure.
Caller caller_of(const net::Address& peer, const Fields& fields, const TrustedProxies& trusted);

/// Puts the caller's address into Request::remote before the handler runs: host = the bare IP,
/// port = 0 where a header said so. `ignored` counts headers that did not count.
Middleware real_ip(TrustedProxies trusted, Counter& ignored);

/// An IPv4 address outside loopback, link-local (multicast, too) and the private ranges. False for
/// every IPv6 address and for what is no address.
bool is_public_ip(std::string_view ip);

/// True for an IPv4 or IPv6 literal without zone and brackets.
bool is_ip(std::string_view text);

}  // namespace skywire::http
