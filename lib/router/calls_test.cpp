// The recorded calls of route set-up and transport set-up: written byte for byte, read back, and
// read with each byte changed.

#include "router/setup_calls.hpp"
#include "router/transport_calls.hpp"
#include "rpc/error.hpp"
#include "rpc/test_messages.hpp"

#include <functional>

namespace skywire::router {
namespace {

using rpc::body_of;
using rpc::Nothing;
using rpc::test::kAnswers;
using rpc::test::kCalls;
using rpc::test::recordings;

crypto::PublicKey key_of(const json::value& object, std::string_view member) {
    return crypto::PublicKey::from_text(test::text(object, member)).value();
}

TransportId id_of(const json::value& object, std::string_view member) {
    return TransportId::from_text(test::text(object, member)).value();
}

EdgeRules edge_of(const json::value& object) {
    EdgeRules edge;
    edge.descriptor = RouteDescriptor::decode(test::hex(test::text(object, "Desc"))).value();
    edge.forward = decode_rule_as<ForwardRule>(test::hex(test::text(object, "Forward"))).value();
    edge.reverse = decode_rule_as<ConsumeRule>(test::hex(test::text(object, "Reverse"))).value();
    return edge;
}

std::vector<Hop> hops_of(const json::value& list) {
    std::vector<Hop> hops;
    for (const json::value& each : list.as_array())
        hops.push_back({id_of(each, "TpID"), key_of(each, "From"), key_of(each, "To")});
    return hops;
}

TransportResponse transport_of(const json::value& object) {
    return {
        id_of(object, "ID"),
        key_of(object, "Local"),
        key_of(object, "Remote"),
        test::text(object, "Type")
    };
}

/// Both directions of one recorded connection, written again from the start.
class Replay {
 public:
    explicit Replay(const json::value& recording)
        : calls_(rpc::test::writes(recording, kCalls)),
          answers_(rpc::test::writes(recording, kAnswers)) {}

    template <class Argument, class Answer>
    void call(std::string_view method, const Argument& argument, const Answer& answer) {
        exchange(method, body_of(argument), body_of(answer), {});
    }
    template <class Argument>
    void failed(std::string_view method, const Argument& argument, std::string error) {
        exchange(method, body_of(argument), body_of(Nothing()), std::move(error));
    }
    void end() const {
        CHECK(done_ == calls_.size());
        CHECK(done_ == answers_.size());
    }

 private:
    void exchange(
        std::string_view method,
        const rpc::Body& argument,
        const rpc::Body& answer,
        std::string error
    ) {
        INFO(method << " " << done_);
        REQUIRE(done_ < calls_.size());
        Bytes out;
        to_server_.append(out, rpc::Request{std::string(method), done_}, argument);
        CHECK(to_hex(out) == to_hex(calls_[done_]));
        out.clear();
        to_client_.append(out, rpc::Response{std::string(method), done_, std::move(error)}, answer);
        CHECK(to_hex(out) == to_hex(answers_[done_]));
        ++done_;
    }

    std::vector<Bytes> calls_;
    std::vector<Bytes> answers_;
    rpc::Outgoing to_server_;
    rpc::Outgoing to_client_;
    std::size_t done_ = 0;
};

RouteIds ids(std::uint32_t first, std::uint32_t count) {
    RouteIds made;
    for (std::uint32_t i = 0; i < count; ++i)
        made.ids.push_back(RouteId{first + i});
    return made;
}

/// Reads every body as what its method takes, and as everything else.
template <class Header>
void read_all(ByteSpan bytes) {
    rpc::Incoming<Header> incoming;
    const auto as = [](const gob::Value& value, auto into) {
        (void)gob::read(value, into).has_value();
    };
    while (true) {
        const auto message = incoming.next(bytes);
        if (!message || !*message) return;
        const gob::Value& body = (**message).body;
        as(body, RouteIds());
        as(body, IntermediaryRules());
        as(body, EdgeRules());
        as(body, BidirectionalRoute());
        as(body, TransportRequest());
        as(body, TransportResponse());
        as(body, TransportResponses());
        as(body, UuidRequest());
        as(body, BoolResponse());
        as(body, Nothing());
    }
}

/// The first body of a recorded direction, as T.
template <class T, class Header>
Result<T> first_body(const std::vector<Bytes>& writes) {
    const Bytes bytes = rpc::test::joined(writes);
    ByteSpan input = bytes;
    rpc::Incoming<Header> incoming;
    const auto message = incoming.next(input).value().value();
    T value{};
    if (const auto read = gob::read(message.body, value); !read) return read.error();
    return value;
}

}  // namespace

TEST_CASE("calls: a visor's set-up port, every byte as recorded") {
    const json::value recording = recordings().at("router_rpc_dmsg_port_136");
    const EdgeRules edge = edge_of(recording.at("edge"));
    const auto rule =
        decode_rule_as<IntermediaryRule>(test::hex(test::text(recording, "ir"))).value();
    Replay replay(recording);
    replay.call(kReserveIds, std::uint64_t{3}, ids(1, 3));
    replay.call(kReserveIds, std::uint64_t{200}, ids(4, 200));
    replay.call(kAddIntermediaryRules, IntermediaryRules{{rule, rule}}, true);
    replay.call(kAddEdgeRules, edge, true);
    replay.failed(kReserveIds, std::uint64_t{1}, "failure code 4 (boom)");
    replay.failed(kAddEdgeRules, edge, "failure code 1 (boom)");
    replay.failed(kAddIntermediaryRules, IntermediaryRules{{rule}}, "failure code 1 (boom)");
    replay.end();
}

TEST_CASE("calls: first calls of a stream, every byte as recorded") {
    const json::value all = recordings();
    const EdgeRules edge = edge_of(all.at("router_rpc_dmsg_port_136").at("edge"));
    const auto rule = decode_rule_as<IntermediaryRule>(
                          test::hex(test::text(all.at("router_rpc_dmsg_port_136"), "ir"))
    )
                          .value();
    Replay reserve(all.at("fresh_ReserveIDs_2"));
    reserve.call(kReserveIds, std::uint64_t{2}, ids(1, 2));
    reserve.end();
    Replay intermediary(all.at("fresh_AddIntermediaryRules_1"));
    intermediary.call(kAddIntermediaryRules, IntermediaryRules{{rule}}, true);
    intermediary.end();
    Replay edges(all.at("fresh_AddEdgeRules"));
    edges.call(kAddEdgeRules, edge, true);
    edges.end();
    Replay del(all.at("fresh_DelRules_2026_shape_then_unknown_method"));
    del.call(kDelRules, RouteIds{{RouteId{5}, RouteId{1000}}}, true);
    del.failed("RPCGateway.Nope", std::uint64_t{1}, "rpc: can't find method RPCGateway.Nope");
    del.end();
}

TEST_CASE("calls: a setup-node's port, every byte as recorded") {
    const json::value recording = recordings().at("setup_rpc_dmsg_port_36");
    const json::value& request = recording.at("request");
    BidirectionalRoute route;
    route.descriptor = RouteDescriptor::decode(test::hex(test::text(request, "Desc"))).value();
    route.keep_alive = Duration(request.at("KeepAlive_ns").to_number<std::int64_t>());
    route.forward = hops_of(request.at("Forward"));
    route.reverse = hops_of(request.at("Reverse"));
    const EdgeRules reply = edge_of(recording.at("reply"));
    Replay replay(recording);
    replay.call(kDialRouteGroup, route, reply);
    replay.failed(kDialRouteGroup, route, test::text(recording, "error"));
    replay.end();

    const auto read =
        first_body<BidirectionalRoute, rpc::Request>(rpc::test::writes(recording, kCalls));
    CHECK(read.value() == route);
    const auto answered =
        first_body<EdgeRules, rpc::Response>(rpc::test::writes(recording, kAnswers));
    CHECK(answered.value() == reply);
}

TEST_CASE("calls: a visor's port for transport set-up, every byte as recorded") {
    const json::value recording = recordings().at("transport_setup_rpc_dmsg_port_47");
    const TransportResponse first = transport_of(recording.at("tp"));
    const TransportResponse second = transport_of(recording.at("list_second"));
    Replay replay(recording);
    replay.call(kAddTransport, TransportRequest{first.remote, first.type}, first);
    replay.call(kRemoveTransport, UuidRequest{first.id}, BoolResponse{true});
    replay.call(kGetTransports, Nothing(), TransportResponses{{first, second}});
    replay.failed(kRemoveTransport, UuidRequest{first.id}, test::text(recording, "error"));
    replay.end();

    const auto request =
        first_body<TransportRequest, rpc::Request>(rpc::test::writes(recording, kCalls)).value();
    CHECK(request.remote == first.remote);
    CHECK(request.type == first.type);
    const auto response =
        first_body<TransportResponse, rpc::Response>(rpc::test::writes(recording, kAnswers));
    CHECK(response.value() == first);
}

TEST_CASE("calls: any byte of a recorded connection changed: an error or other values") {
    const json::value file = recordings();
    for (const auto& [name, recording] : file.as_object()) {
        INFO(name);
        for (const std::string_view direction : {kCalls, kAnswers}) {
            Bytes bytes = rpc::test::joined(rpc::test::writes(recording, direction));
            for (std::byte& byte : bytes) {
                for (const auto flip : {std::byte{1}, std::byte{0x80}, std::byte{0xff}}) {
                    byte ^= flip;
                    if (direction == kCalls) {
                        read_all<rpc::Request>(bytes);
                    } else {
                        read_all<rpc::Response>(bytes);
                    }
                    byte ^= flip;
                }
            }
        }
    }
}

TEST_CASE("calls: lists that are too long, keys that are none") {
    const auto read_back = [](const rpc::Body& body, auto into) {
        rpc::Outgoing outgoing;
        Bytes bytes;
        outgoing.append(bytes, rpc::Request{"A.B", 0}, body);
        ByteSpan input = bytes;
        rpc::Incoming<rpc::Request> incoming;
        const auto message = incoming.next(input).value().value();
        return gob::read(message.body, into);
    };
    CHECK(read_back(body_of(ids(1, 255)), RouteIds()));
    CHECK_FALSE(read_back(body_of(ids(1, 256)), RouteIds()));
    IntermediaryRules rules;
    rules.rules.resize(256);
    CHECK_FALSE(read_back(body_of(rules), IntermediaryRules()));
    rules.rules.resize(255);
    CHECK(read_back(body_of(rules), IntermediaryRules()));

    const json::value recording = recordings().at("setup_rpc_dmsg_port_36");
    auto route =
        first_body<BidirectionalRoute, rpc::Request>(rpc::test::writes(recording, kCalls)).value();
    const Hop hop = route.forward.front();
    route.forward.assign(1000, hop);
    CHECK(read_back(body_of(route), BidirectionalRoute()));
    route.forward.push_back(hop);
    CHECK_FALSE(read_back(body_of(route), BidirectionalRoute()));
    route.forward.resize(1);
    route.descriptor.source = crypto::PublicKey();
    CHECK_FALSE(read_back(body_of(route), BidirectionalRoute()));
}

}  // namespace skywire::router
