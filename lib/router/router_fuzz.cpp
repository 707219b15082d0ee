// Rules, and the bodies of all calls. The first byte says which: 0 a rule, 1 calls, 2 answers. A
// route that passes the check becomes rules that use each reserved id once.

#include "router/error.hpp"
#include "router/setup_calls.hpp"
#include "router/transport_calls.hpp"

#include <cstdlib>
#include <set>

using namespace skywire;
using namespace skywire::router;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

void run_rule(ByteSpan bytes) {
    const auto rule = decode_rule(bytes);
    if (!rule) return;
    const Bytes again = encode(*rule);
    check(again.size() == bytes.size());
    check(encode(decode_rule(again).value()) == again);
}

void run_route(const BidirectionalRoute& route) {
    if (!check_route(route)) return;
    ReservedIds ids;
    std::uint32_t next = 1;
    for (const auto& [key, count] : ids_needed(route)) {
        check(count > 0 && count <= 255);
        for (std::size_t i = 0; i < count; ++i)
            ids[key].push_back(RouteId{next++});
    }
    const auto rules = make_rules(route, ids);
    check(rules.has_value());
    std::set<RouteId> used{
        rules->initiator.forward.key,
        rules->initiator.reverse.key,
        rules->responder.forward.key,
        rules->responder.reverse.key,
    };
    std::size_t count = 4;
    for (const auto& [key, list] : rules->intermediary) {
        for (const IntermediaryRule& rule : list)
            used.insert(rule.key);
        count += list.size();
    }
    check(used.size() == count);
    check(count == next - 1);
}

template <class T>
void read_as(const gob::Value& value) {
    T into{};
    (void)gob::read(value, into).has_value();
}

template <class Header>
void run_messages(ByteSpan bytes) {
    rpc::Incoming<Header> incoming;
    while (true) {
        const auto next = incoming.next(bytes);
        if (!next) return;
        const auto& message = *next;
        if (!message) return;
        const gob::Value& body = message->body;
        BidirectionalRoute route;
        if (gob::read(body, route)) run_route(route);
        read_as<RouteIds>(body);
        read_as<IntermediaryRules>(body);
        read_as<EdgeRules>(body);
        read_as<TransportRequest>(body);
        read_as<TransportResponse>(body);
        read_as<TransportResponses>(body);
        read_as<UuidRequest>(body);
        read_as<BoolResponse>(body);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const ByteSpan bytes = std::as_bytes(std::span(data + 1, size - 1));
    switch (data[0] % 3) {
        case 0:
            run_rule(bytes);
            break;
        case 1:
            run_messages<rpc::Request>(bytes);
            break;
        default:
            run_messages<rpc::Response>(bytes);
            break;
    }
    return 0;
}
