#include "router/setup_calls.hpp"

#include "router/detail/wire.hpp"

#include <array>
#include <limits>

namespace skywire::gob {
namespace {

constexpr std::size_t kIdsMax = 255;
constexpr std::size_t kHopsMax = 1000;

Error too_long(std::size_t size, std::size_t limit) {
    return {
        make_error_code(errc::out_of_range),
        fmt::format("a list of {} is above the limit of {}", size, limit)
    };
}

}  // namespace

template <>
struct Reads<router::Hop> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, router::Hop& into) {
        router::detail::WireId transport;
        router::detail::WireKey from;
        router::detail::WireKey to;
        StructReader in(value);
        in.field("TpID", transport);
        in.field("From", from);
        in.field("To", to);
        into = {transport.id, from.key, to.key};
        return in.finish();
    }
};

Result<> Reads<router::RouteIds>::read(const Value& value, router::RouteIds& into) {
    std::vector<std::uint32_t> numbers;
    if (auto read = Reads<std::vector<std::uint32_t>>::read(value, numbers); !read) return read;
    if (numbers.size() > kIdsMax) return too_long(numbers.size(), kIdsMax);
    into.ids.clear();
    into.ids.reserve(numbers.size());
    for (const std::uint32_t number : numbers)
        into.ids.push_back(router::RouteId{number});
    return {};
}

Result<> Reads<router::IntermediaryRules>::read(
    const Value& value, router::IntermediaryRules& into
) {
    std::vector<Bytes> rules;
    if (auto read = Reads<std::vector<Bytes>>::read(value, rules); !read) return read;
    if (rules.size() > kIdsMax) return too_long(rules.size(), kIdsMax);
    into.rules.clear();
    into.rules.reserve(rules.size());
    for (const Bytes& bytes : rules) {
        const auto rule = router::decode_rule_as<router::IntermediaryRule>(bytes);
        if (!rule) return rule.error();
        into.rules.push_back(*rule);
    }
    return {};
}

Result<> Reads<router::EdgeRules>::read(const Value& value, router::EdgeRules& into) {
    std::array<std::byte, router::RouteDescriptor::kSize> descriptor{};
    Bytes forward;
    Bytes reverse;
    StructReader in(value);
    in.field("Desc", descriptor);
    in.field("Forward", forward);
    in.field("Reverse", reverse);
    if (auto done = in.finish(); !done) return done;
    const auto read = router::RouteDescriptor::decode(descriptor);
    if (!read) return read.error();
    const auto forward_rule = router::decode_rule_as<router::ForwardRule>(forward);
    if (!forward_rule) return forward_rule.error().within("Forward");
    const auto reverse_rule = router::decode_rule_as<router::ConsumeRule>(reverse);
    if (!reverse_rule) return reverse_rule.error().within("Reverse");
    into = {*read, *forward_rule, *reverse_rule};
    return {};
}

Result<> Reads<router::BidirectionalRoute>::read(
    const Value& value, router::BidirectionalRoute& into
) {
    std::array<std::byte, router::RouteDescriptor::kSize> descriptor{};
    std::int64_t keep_alive = 0;
    StructReader in(value);
    in.field("Desc", descriptor);
    in.field("KeepAlive", keep_alive);
    in.field("Forward", into.forward);
    in.field("Reverse", into.reverse);
    if (auto done = in.finish(); !done) return done;
    for (const auto* hops : {&into.forward, &into.reverse}) {
        if (hops->size() > kHopsMax) return too_long(hops->size(), kHopsMax);
    }
    const auto read = router::RouteDescriptor::decode(descriptor);
    if (!read) return read.error();
    into.descriptor = *read;
    into.keep_alive = Duration(keep_alive);
    return {};
}

}  // namespace skywire::gob

namespace skywire::rpc {

using namespace router::detail;

namespace {

gob::Type descriptor_type() {
    gob::Type type;
    type.kind = gob::Kind::array;
    type.name = "RouteDescriptor";
    type.element = gob::kUint;
    type.length = router::RouteDescriptor::kSize;
    return type;
}

void write_hops(Bytes& out, const std::vector<router::Hop>& hops) {
    gob::write_uint(out, hops.size());
    for (const router::Hop& hop : hops) {
        gob::StructWriter fields(out);
        id_field(fields, 0, hop.transport);
        key_field(fields, 1, hop.from);
        key_field(fields, 2, hop.to);
        fields.finish();
    }
}

void hops_field(
    gob::StructWriter& fields, Bytes& out, std::size_t index, const std::vector<router::Hop>& hops
) {
    if (hops.empty()) return;
    fields.begin(index);
    write_hops(out, hops);
}

}  // namespace

const Types& Writes<router::RouteIds>::types() {
    static const Types types{{kType, list_of(gob::kUint)}};
    return types;
}

void Writes<router::RouteIds>::write(Bytes& out, const router::RouteIds& value) {
    gob::write_uint(out, value.ids.size());
    for (const router::RouteId id : value.ids)
        gob::write_uint(out, static_cast<std::uint32_t>(id));
}

const Types& Writes<router::IntermediaryRules>::types() {
    static const Types types{{kType, list_of(gob::kBytes)}};
    return types;
}

void Writes<router::IntermediaryRules>::write(Bytes& out, const router::IntermediaryRules& value) {
    gob::write_uint(out, value.rules.size());
    for (const router::IntermediaryRule& rule : value.rules)
        gob::write_bytes(out, router::encode(rule));
}

const Types& Writes<router::EdgeRules>::types() {
    static const Types types{
        {kType,
         structure(
             "EdgeRules",
             {{"Desc", kDescriptorType}, {"Forward", gob::kBytes}, {"Reverse", gob::kBytes}}
         )},
        {kDescriptorType, descriptor_type()},
    };
    return types;
}

void Writes<router::EdgeRules>::write(Bytes& out, const router::EdgeRules& value) {
    gob::StructWriter fields(out);
    fields.begin(0);
    gob::write_byte_array(out, value.descriptor.encode());
    fields.bytes_field(1, router::encode(value.forward));
    fields.bytes_field(2, router::encode(value.reverse));
    fields.finish();
}

const Types& Writes<router::BidirectionalRoute>::types() {
    static const Types types{
        {kType,
         structure(
             "BidirectionalRoute",
             {{"Desc", kDescriptorType},
              {"KeepAlive", gob::kInt},
              {"Forward", kHopsType},
              {"Reverse", kHopsType}}
         )},
        {kDescriptorType, descriptor_type()},
        {kHopType, structure("Hop", {{"TpID", kUuidType}, {"From", kKeyType}, {"To", kKeyType}})},
        {kUuidType, opaque("UUID")},
        {kKeyType, opaque("PubKey")},
        {kHopsType, list_of(kHopType, "[]routing.Hop")},
    };
    return types;
}

void Writes<router::BidirectionalRoute>::write(
    Bytes& out, const router::BidirectionalRoute& value
) {
    gob::StructWriter fields(out);
    fields.begin(0);
    gob::write_byte_array(out, value.descriptor.encode());
    fields.int_field(1, value.keep_alive.count());
    hops_field(fields, out, 2, value.forward);
    hops_field(fields, out, 3, value.reverse);
    fields.finish();
}

}  // namespace skywire::rpc
