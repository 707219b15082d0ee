#include "net/proxy_protocol.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::net;
using State = ProxyHeader::State;

namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

/// A version 2 header: version and command, family and transport, what follows the length.
std::string v2(int command, int family, const std::string& rest) {
    std::string header = kSignature;
    header += static_cast<char>(0x20 | command);
    header += static_cast<char>(family);
    header += static_cast<char>(rest.size() >> 8);
    header += static_cast<char>(rest.size() & 0xff);
    return header + rest;
}

const std::string kV4Addresses("\xc0\x00\x02\x01\x7f\x00\x00\x01\x9c\x40\x00\x50", 12);

/// Every prefix of the header alone asks for more; with all of it, and whatever follows, it is
/// done.
void check_complete(
    const std::string& header, const std::string& source, const std::string& destination
) {
    CAPTURE(header);
    for (std::size_t size = 0; size < header.size(); ++size) {
        const auto part = parse_proxy_header(as_bytes(header.substr(0, size)));
        REQUIRE(part);
        REQUIRE(part->state == State::need_more);
    }
    for (const std::string after : {"", "G", "GET / HTTP/1.1\r\n\r\n", "\r\n"}) {
        const auto parsed = parse_proxy_header(as_bytes(header + after));
        REQUIRE(parsed);
        REQUIRE(parsed->state == State::complete);
        CHECK(parsed->size == header.size());
        CHECK((parsed->source ? parsed->source->to_string() : "") == source);
        CHECK((parsed->destination ? parsed->destination->to_string() : "") == destination);
    }
}

void check_malformed(const std::string& bytes, const std::string& rule) {
    CAPTURE(bytes);
    const auto parsed = parse_proxy_header(as_bytes(bytes));
    REQUIRE(!parsed);
    CHECK(parsed.error() == make_error_code(errc::malformed));
    CHECK_THAT(parsed.error().message(), Catch::Contains(rule));
}

}  // namespace

TEST_CASE("proxy: version 1 in any number of pieces") {
    check_complete(
        "PROXY TCP4 192.0.2.1 127.0.0.1 40000 80\r\n", "192.0.2.1:40000", "127.0.0.1:80"
    );
    check_complete("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", "[2001:db8::1]:65535", "[::1]:0");
    check_complete("PROXY UNKNOWN\r\n", "", "");
    check_complete("PROXY UNKNOWN ffff::1 anything at all\r\n", "", "");
    const std::string longest(107 - 16, 'x');
    check_complete("PROXY UNKNOWN " + longest + "\r\n", "", "");
}

TEST_CASE("proxy: version 2 in any number of pieces") {
    check_complete(v2(1, 0x11, kV4Addresses), "192.0.2.1:40000", "127.0.0.1:80");
    check_complete(v2(1, 0x12, kV4Addresses + "extensions"), "192.0.2.1:40000", "127.0.0.1:80");
    const std::string v6 = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + "\x01" +
                           std::string(15, '\0') + "\x01" + std::string("\x9c\x40\x00\x50", 4);
    check_complete(v2(1, 0x21, v6), "[2001:db8::1]:40000", "[::1]:80");
    const std::string mapped = std::string(10, '\0') + "\xff\xff\xc0" + std::string("\0\2\1", 3) +
                               std::string(15, '\0') + "\x01" + std::string("\x9c\x40\x00\x50", 4);
    check_complete(v2(1, 0x21, mapped), "192.0.2.1:40000", "[::1]:80");
    check_complete(v2(1, 0x31, std::string(216, 'p')), "", "");
    check_complete(v2(1, 0x00, ""), "", "");
    check_complete(v2(0, 0x00, ""), "", "");
    check_complete(v2(0, 0xff, "whatever"), "", "");
    check_complete(
        v2(1, 0x11, kV4Addresses + std::string(2048 - 28, 'e')), "192.0.2.1:40000", "127.0.0.1:80"
    );
}

TEST_CASE("proxy: other first bytes are no header, and known to be none at once") {
    for (const std::string bytes :
         {"GET / HTTP/1.1\r\n", "PUT", "PROXYTCP4", "proxy ", "\r\nGET", "\r\n\r\nG"}) {
        CAPTURE(bytes);
        const auto parsed = parse_proxy_header(as_bytes(bytes));
        REQUIRE(parsed);
        CHECK(parsed->state == State::absent);
        CHECK(parsed->size == 0);
    }
    CHECK(parse_proxy_header({}).value().state == State::need_more);
}

TEST_CASE("proxy: a broken header names the rule") {
    check_malformed("PROXY TCP5 192.0.2.1 127.0.0.1 1 2\r\n", "family");
    check_malformed("PROXY \r\n", "family");
    check_malformed("PROXY TCP4 ::1 127.0.0.1 1 2\r\n", "source address");
    check_malformed("PROXY TCP4 192.0.2.1 127.0.0 1 2\r\n", "destination address");
    check_malformed("PROXY TCP6 fe80::1%lo ::1 1 2\r\n", "source address");
    check_malformed("PROXY TCP4 192.0.2.1 127.0.0.1 65536 2\r\n", "source port");
    check_malformed("PROXY TCP4 192.0.2.1 127.0.0.1 1 02\r\n", "destination port");
    check_malformed("PROXY TCP4 192.0.2.1 127.0.0.1 1 2 \r\n", "destination port");
    check_malformed("PROXY TCP4 192.0.2.1 127.0.0.1 1\r\n", "destination port");
    check_malformed("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\n", "CR LF");
    check_malformed("PROXY UNKNOWN \rx\r\n", "CR LF");
    check_malformed("PROXY UNKNOWN " + std::string(107, 'x'), "107 bytes");
    check_malformed("PROXY UNKNOWN " + std::string(107 - 15, 'x') + "\r\n", "107 bytes");
    check_malformed(kSignature + "\x11", "version");
    check_malformed(kSignature + "\x22", "command");
    check_malformed(v2(1, 0x41, kV4Addresses), "family");
    check_malformed(v2(1, 0x13, kV4Addresses), "transport");
    check_malformed(v2(1, 0x11, kV4Addresses.substr(1)), "too short");
    check_malformed(v2(1, 0x11, kV4Addresses + std::string(2048, 'e')), "2048");
}
