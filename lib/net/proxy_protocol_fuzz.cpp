// Any bytes, in all prefixes: a decision once made stays, and nothing is read beyond a header's
// greatest length.

#include "base/assert.hpp"
#include "net/proxy_protocol.hpp"

#include <cstdint>

using namespace skywire;
using namespace skywire::net;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteSpan bytes(reinterpret_cast<const std::byte*>(data), size);
    const auto whole = parse_proxy_header(bytes);
    if (whole) {
        SKY_ASSERT(whole->size <= size && whole->size <= kProxyHeaderMax);
        SKY_ASSERT(whole->state != ProxyHeader::State::need_more || size < kProxyHeaderMax);
        SKY_ASSERT(whole->source.has_value() == whole->destination.has_value());
    }
    for (std::size_t length = 0; length < size; ++length) {
        const auto part = parse_proxy_header(bytes.first(length));
        if (part && part->state == ProxyHeader::State::need_more) continue;
        SKY_ASSERT(part.has_value() == whole.has_value());
        if (!part) continue;
        SKY_ASSERT(part->state == whole->state && part->size == whole->size);
        SKY_ASSERT(part->source == whole->source && part->destination == whole->destination);
    }
    return 0;
}
