// The body of a registration and what the store gives back: whatever is taken is written as JSON
// that reads as the same entry.

#include "base/json.hpp"
#include "services/service_discovery/entry.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace skywire;
using namespace skywire::service_discovery;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

std::string written(const Entry& entry, Reader reader) {
    std::string text;
    append_entry(text, entry, reader);
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    (void)parse_stored(input);
    (void)ServiceAddress::parse(input);
    const auto entry = parse_posted(input);
    if (!entry) return 0;
    for (const Reader reader : {Reader::poster, Reader::one, Reader::list})
        require(parse_json(written(*entry, reader)).has_value());
    const auto again = parse_posted(written(*entry, Reader::poster));
    require(again.has_value());
    // Degrees are rounded once; what was rounded stays.
    const std::string twice = written(*again, Reader::poster);
    const auto third = parse_posted(twice);
    require(third.has_value());
    require(third->key == entry->key && third->type == entry->type);
    require(third->version == entry->version && third->local_ips == entry->local_ips);
    if (entry->key.is_null()) return 0;
    const auto stored = parse_stored(to_stored({*entry, true, 7}));
    require(stored.has_value() && stored->held && stored->expires_ms == 7);
    require(stored->entry.local_ips == entry->local_ips);
    return 0;
}
