// STUN datagrams as a server and as a client reads them.

#include "services/stun_server/stun_message.hpp"

#include <cstdlib>

using namespace skywire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteSpan datagram = std::as_bytes(std::span(data, size));
    if (const auto request = stun::parse_request(datagram)) {
        const stun::ServerAddresses server{{{{127, 0, 0, 1}, {127, 0, 0, 2}}}, {3478, 3479}};
        const stun::Endpoint client{{192, 0, 2, 1}, 1};
        const auto answer = stun::make_answer(*request, server, {}, client);
        const auto response = stun::parse_response(answer.datagram);
        if (!response || response->mapped != client) std::abort();
        const auto again = stun::parse_request(stun::build_request(*request));
        if (!again || again->change_ip != request->change_ip) std::abort();
    }
    if (const auto response = stun::parse_response(datagram)) {
        if (response->software.size() > size) std::abort();
    }
    return 0;
}
