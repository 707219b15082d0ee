// Bodies with transport entries: reading, writing, checking.

#include "transport/entry.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    (void)transport::TransportId::from_text(body);
    (void)transport::parse_entries(body);
    const auto list = transport::parse_signed_entries(body);
    if (!list) return 0;
    const auto& entries = *list;
    if (!entries) return 0;
    for (const transport::SignedEntry& entry : *entries) {
        const auto again = transport::parse_signed_entries("[" + transport::to_json(entry) + "]");
        check(again.has_value());
        const auto& one = *again;
        if (!one || one->size() != 1) std::abort();
        const transport::SignedEntry& read = one->front();
        check(read.entry == entry.entry && read.signatures == entry.signatures);
        check(read.registered == entry.registered);
        if (transport::check_entry(entry.entry)) (void)transport::verify_entry(entry, false);
    }
    return 0;
}
