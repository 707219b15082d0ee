// Lists as upstreams send them: the first byte says which part, and whether it is a leaf of a feed;
// a zero byte ends the first of two texts: lists of services and of clients, the path of a leaf.
// What comes out is JSON, and transports read back as the same.

#include "base/assert.hpp"
#include "base/json.hpp"
#include "services/network_visualizer/decode.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace skywire::network_visualizer {
namespace {

void check(const Result<Body>& body) {
    if (!body) return;
    const auto parsed = parse_json(*body->text);
    SKY_ASSERT(parsed.has_value());
    for (const char c : *body->text)
        SKY_ASSERT(c != '<' && c != '>');
}

}  // namespace
}  // namespace skywire::network_visualizer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace skywire::network_visualizer;
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::size_t zero = std::min(text.find('\0'), text.size());
    const std::string_view second = text.substr(std::min(zero + 1, text.size()));
    const std::string first(text.substr(0, zero));
    switch (data[0] % 6) {
        case 0:
            check(services_body({first, second.empty() ? "null" : second}));
            break;
        case 1:
            check(clients_body(first, second));
            break;
        case 2: {
            const auto body = transports_body(text);
            check(body);
            if (!body) break;
            const auto again = transports_body(*body->text);
            SKY_ASSERT(again && again->items == body->items && again->unreadable == 0);
            SKY_ASSERT(*again->text == *body->text);
            break;
        }
        default:
            check(leaves_body(kParts[data[0] % 3], {{first, std::string(second)}}));
    }
    return 0;
}
