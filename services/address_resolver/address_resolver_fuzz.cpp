// Any body: what is read as a bind or a binding is written and read again as the same, and what is
// judged good has an address.

#include "base/assert.hpp"
#include "services/address_resolver/binding.hpp"

#include <cstdint>

using namespace skywire;
using namespace skywire::resolver;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto binding = parse_binding(text)) {
        const auto again = parse_binding(to_text(*binding));
        SKY_ASSERT(again);
        SKY_ASSERT(to_text(*again) == to_text(*binding));
    }
    if (const auto session = parse_kept_session(text)) {
        const auto again = parse_kept_session(to_text(*session));
        SKY_ASSERT(again && *again == *session);
    }
    const auto request = parse_bind_request(text);
    if (!request) return 0;
    SKY_ASSERT(request->addresses.size() <= 64);
    for (const std::string remote : {"203.0.113.7", "10.0.0.1", "2a01::7", ""}) {
        const auto outcome = judge_bind({}, Type::stcpr, *request, remote, std::nullopt);
        const Binding& binding = outcome.binding;
        SKY_ASSERT(
            outcome.refusal.has_value() || !binding.remote_addr.empty() ||
            !binding.remote_addr_v6.empty()
        );
    }
    (void)to_text(sudph_binding(*request, "10.0.0.1", 1));
    return 0;
}
