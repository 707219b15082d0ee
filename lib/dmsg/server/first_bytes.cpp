#include "dmsg/server/first_bytes.hpp"

#include "net/proxy_protocol.hpp"

#include <algorithm>
#include <string_view>

namespace skywire::dmsg::detail {
namespace {

using Kind = FirstBytes::Kind;

Kind kind_of(std::string_view bytes) {
    // The lengths 49 of a first handshake message, and 1233 of one with the hybrid's offer.
    constexpr std::string_view kPlain("\x00\x31", 2);
    constexpr std::string_view kHybrid("\x04\xd1", 2);
    constexpr std::string_view kGet("GET ", 4);
    bool possible = false;
    for (const auto& [start, kind] :
         {std::pair(kPlain, Kind::handshake),
          std::pair(kHybrid, Kind::handshake),
          std::pair(kGet, Kind::websocket)}) {
        if (bytes.starts_with(start)) return kind;
        if (start.starts_with(bytes)) possible = true;
    }
    return possible ? Kind::need_more : Kind::refused;
}

}  // namespace

Result<FirstBytes> look_at_first_bytes(ByteSpan bytes, bool accept_proxy_header) {
    FirstBytes first;
    if (accept_proxy_header) {
        const auto header = net::parse_proxy_header(bytes);
        if (!header) return header.error();
        switch (header->state) {
            case net::ProxyHeader::State::need_more:
                return first;
            case net::ProxyHeader::State::absent:
                break;
            case net::ProxyHeader::State::complete:
                first.skip = header->size;
                first.source = header->source;
                break;
        }
    }
    first.kind = kind_of(as_text(bytes.subspan(first.skip)));
    return first;
}

}  // namespace skywire::dmsg::detail
