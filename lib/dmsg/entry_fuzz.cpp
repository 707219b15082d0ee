// Discovery entries as they come from the network: parsing, checking, and the text that is stored.

#include "dmsg/entry_rules.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto received =
        dmsg::ReceivedEntry::parse(std::string(reinterpret_cast<const char*>(data), size));
    if (!received) {
        check(received.error() == make_error_code(dmsg::errc::unexpected));
        return 0;
    }
    const dmsg::Entry& entry = received->entry();
    const auto canonical = dmsg::ReceivedEntry::parse(dmsg::to_json(entry));
    check(canonical && canonical->entry() == entry);

    const auto stored = dmsg::ReceivedEntry::parse(received->stored_text());
    check(stored && stored->entry() == entry);
    const auto typed = dmsg::ReceivedEntry::parse(received->stored_text("official"));
    check(typed.has_value());
    if (entry.server) {
        const auto& server = typed->entry().server;
        check(server && server->server_type == "official");
    }

    const WallTime now{std::chrono::nanoseconds(entry.timestamp / 2)};
    if (dmsg::check_entry(*received, {now})) check(!entry.static_key.is_null());
    return 0;
}
