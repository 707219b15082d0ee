#pragma once

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "crypto/keys.hpp"
#include "transport/id.hpp"

#include <array>
#include <cstdint>
#include <variant>

/// Routing rules: what a visor does with packets of one route id. Values and their bytes, no
/// tables. spec/visor.md sections 9.2 and 9.3.
namespace skywire::router {

using transport::TransportId;

/// A number that a visor has handed out for one of its rules; 0 is none.
enum class RouteId : std::uint32_t {};

/// Which route group a rule belongs to: from where to where.
struct RouteDescriptor {
    static constexpr std::size_t kSize = 70;

    crypto::PublicKey source;
    crypto::PublicKey destination;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;

    RouteDescriptor inverted() const noexcept {
        return {destination, source, destination_port, source_port};
    }

    std::array<std::byte, kSize> encode() const noexcept;
    /// errc::malformed_rule for another length, crypto's errors for what is no key.
    static Result<RouteDescriptor> decode(ByteSpan bytes);

    friend auto operator<=>(const RouteDescriptor&, const RouteDescriptor&) noexcept = default;
    friend bool operator==(const RouteDescriptor&, const RouteDescriptor&) noexcept = default;
};

/// Packets of `key` are for a route group of this visor.
struct ConsumeRule {
    static constexpr std::size_t kSize = 83;

    /// The rule is dropped when it has not been used for so long.
    Duration keep_alive{0};
    RouteId key{};
    RouteDescriptor descriptor;

    friend bool operator==(const ConsumeRule&, const ConsumeRule&) noexcept = default;
};

/// A route group of this visor sends over `transport`, as packets of `next`.
struct ForwardRule {
    static constexpr std::size_t kSize = 120;

    Duration keep_alive{0};
    RouteId key{};
    RouteDescriptor descriptor;
    RouteId next{};
    TransportId transport;

    friend bool operator==(const ForwardRule&, const ForwardRule&) noexcept = default;
};

/// Packets of `key` go on over `transport`, as packets of `next`.
struct IntermediaryRule {
    static constexpr std::size_t kSize = 50;

    Duration keep_alive{0};
    RouteId key{};
    RouteId next{};
    TransportId transport;

    friend bool operator==(const IntermediaryRule&, const IntermediaryRule&) noexcept = default;
};

using Rule = std::variant<ConsumeRule, ForwardRule, IntermediaryRule>;

Bytes encode(const ConsumeRule& rule);
Bytes encode(const ForwardRule& rule);
Bytes encode(const IntermediaryRule& rule);
Bytes encode(const Rule& rule);

/// Whole bytes of one rule. errc::malformed_rule (kind, length, a time that no clock holds),
/// crypto's errors for what is no key. The 17 bytes that close forward and intermediary rules are
/// not looked at.
Result<Rule> decode_rule(ByteSpan bytes);

/// The same for a rule of one kind: also errc::wrong_kind.
template <class Kind>
Result<Kind> decode_rule_as(ByteSpan bytes);

extern template Result<ConsumeRule> decode_rule_as<ConsumeRule>(ByteSpan bytes);
extern template Result<ForwardRule> decode_rule_as<ForwardRule>(ByteSpan bytes);
extern template Result<IntermediaryRule> decode_rule_as<IntermediaryRule>(ByteSpan bytes);

RouteId key_of(const Rule& rule) noexcept;

}  // namespace skywire::router
