#include "router/rule.hpp"

#include "router/error.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace skywire::router {
namespace {

constexpr std::size_t kHeaderSize = 13;
/// A slot of a key's size that an id of 16 bytes is written into.
constexpr std::size_t kPaddingSize = 17;

enum class Kind : std::uint8_t { consume = 0, forward = 1, intermediary = 2 };

template <class Number>
void put(Bytes& out, Number value) {
    for (int shift = (static_cast<int>(sizeof value) - 1) * 8; shift >= 0; shift -= 8)
        out.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> shift));
}

void put(Bytes& out, ByteSpan bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

void put_header(Bytes& out, Duration keep_alive, Kind kind, RouteId key) {
    put(out, static_cast<std::uint64_t>(keep_alive.count()));
    put(out, static_cast<std::uint8_t>(kind));
    put(out, static_cast<std::uint32_t>(key));
}

void put_next(Bytes& out, RouteId next, const TransportId& transport) {
    put(out, static_cast<std::uint32_t>(next));
    put(out, ByteSpan(transport.bytes));
    out.resize(out.size() + kPaddingSize);
}

/// Takes fields off the front; the caller has checked the length.
class Fields {
 public:
    explicit Fields(ByteSpan bytes) noexcept : rest_(bytes) {}

    template <class Number>
    Number number() noexcept {
        std::uint64_t value = 0;
        for (const std::byte byte : bytes(sizeof(Number)))
            value = value << 8 | std::to_integer<std::uint64_t>(byte);
        return static_cast<Number>(value);
    }
    ByteSpan bytes(std::size_t size) noexcept {
        const ByteSpan taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }
    RouteId route_id() noexcept { return RouteId{number<std::uint32_t>()}; }
    TransportId transport() noexcept {
        TransportId id;
        const ByteSpan taken = bytes(id.bytes.size());
        std::copy(taken.begin(), taken.end(), id.bytes.begin());
        return id;
    }

 private:
    ByteSpan rest_;
};

Error malformed(std::string text) {
    return {make_error_code(errc::malformed_rule), std::move(text)};
}

std::size_t size_of(Kind kind) {
    switch (kind) {
        case Kind::consume:
            return ConsumeRule::kSize;
        case Kind::forward:
            return ForwardRule::kSize;
        case Kind::intermediary:
            return IntermediaryRule::kSize;
    }
    return 0;
}

}  // namespace

std::array<std::byte, RouteDescriptor::kSize> RouteDescriptor::encode() const noexcept {
    Bytes out;
    out.reserve(kSize);
    put(out, ByteSpan(source.bytes()));
    put(out, ByteSpan(destination.bytes()));
    put(out, source_port);
    put(out, destination_port);
    std::array<std::byte, kSize> bytes{};
    std::copy(out.begin(), out.end(), bytes.begin());
    return bytes;
}

Result<RouteDescriptor> RouteDescriptor::decode(ByteSpan bytes) {
    if (bytes.size() != kSize)
        return malformed(fmt::format("a route descriptor of {} bytes", bytes.size()));
    Fields fields(bytes);
    const auto source = crypto::PublicKey::from_bytes(fields.bytes(crypto::PublicKey::kSize));
    if (!source) return source.error().within("source of the route");
    const auto destination = crypto::PublicKey::from_bytes(fields.bytes(crypto::PublicKey::kSize));
    if (!destination) return destination.error().within("destination of the route");
    RouteDescriptor descriptor;
    descriptor.source = *source;
    descriptor.destination = *destination;
    descriptor.source_port = fields.number<std::uint16_t>();
    descriptor.destination_port = fields.number<std::uint16_t>();
    return descriptor;
}

Bytes encode(const ConsumeRule& rule) {
    Bytes out;
    out.reserve(ConsumeRule::kSize);
    put_header(out, rule.keep_alive, Kind::consume, rule.key);
    put(out, ByteSpan(rule.descriptor.encode()));
    return out;
}

Bytes encode(const ForwardRule& rule) {
    Bytes out;
    out.reserve(ForwardRule::kSize);
    put_header(out, rule.keep_alive, Kind::forward, rule.key);
    put(out, ByteSpan(rule.descriptor.encode()));
    put_next(out, rule.next, rule.transport);
    return out;
}

Bytes encode(const IntermediaryRule& rule) {
    Bytes out;
    out.reserve(IntermediaryRule::kSize);
    put_header(out, rule.keep_alive, Kind::intermediary, rule.key);
    put_next(out, rule.next, rule.transport);
    return out;
}

Bytes encode(const Rule& rule) {
    return std::visit([](const auto& each) { return encode(each); }, rule);
}

Result<Rule> decode_rule(ByteSpan bytes) {
    if (bytes.size() < kHeaderSize)
        return malformed(fmt::format("a routing rule of {} bytes", bytes.size()));
    Fields fields(bytes);
    const auto nanoseconds = fields.number<std::uint64_t>();
    if (!std::in_range<Duration::rep>(nanoseconds))
        return malformed(fmt::format("a keep-alive time of {} ns", nanoseconds));
    const Duration keep_alive(static_cast<Duration::rep>(nanoseconds));
    const auto kind = Kind{fields.number<std::uint8_t>()};
    const RouteId key = fields.route_id();
    if (bytes.size() != size_of(kind)) {
        return malformed(fmt::format(
            "a routing rule of kind {} with {} bytes", static_cast<unsigned>(kind), bytes.size()
        ));
    }
    if (kind == Kind::intermediary) {
        const RouteId next = fields.route_id();
        return Rule(IntermediaryRule{keep_alive, key, next, fields.transport()});
    }
    const auto descriptor = RouteDescriptor::decode(fields.bytes(RouteDescriptor::kSize));
    if (!descriptor) return descriptor.error();
    if (kind == Kind::consume) return Rule(ConsumeRule{keep_alive, key, *descriptor});
    const RouteId next = fields.route_id();
    return Rule(ForwardRule{keep_alive, key, *descriptor, next, fields.transport()});
}

template <class Wanted>
Result<Wanted> decode_rule_as(ByteSpan bytes) {
    auto rule = decode_rule(bytes);
    if (!rule) return rule.error();
    Wanted* const wanted = std::get_if<Wanted>(&*rule);
    if (wanted == nullptr) return Error(errc::wrong_kind);
    return *wanted;
}

template Result<ConsumeRule> decode_rule_as<ConsumeRule>(ByteSpan bytes);
template Result<ForwardRule> decode_rule_as<ForwardRule>(ByteSpan bytes);
template Result<IntermediaryRule> decode_rule_as<IntermediaryRule>(ByteSpan bytes);

RouteId key_of(const Rule& rule) noexcept {
    return std::visit([](const auto& each) { return each.key; }, rule);
}

}  // namespace skywire::router
