#pragma once

#include "base/result.hpp"
#include "crypto/keys.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

/// Who and which port: what streams are dialled to. spec/dmsg.md section 8.
namespace skywire::dmsg {

struct Address {
    crypto::PublicKey pk;
    /// 0: none; no request may carry it.
    std::uint16_t port = 0;

    /// `<66 hex>:<port>`. `pk`, `pk:` and `pk:~` have port 0. crypto's errors for the key,
    /// errc::malformed and out_of_range (of lib/base) for the port.
    static Result<Address> parse(std::string_view text);

    /// The text again; port 0 is `~`.
    std::string to_string() const;

    /// Order of the keys, then of the ports.
    friend auto operator<=>(const Address& a, const Address& b) noexcept = default;
    friend bool operator==(const Address& a, const Address& b) noexcept = default;
};

}  // namespace skywire::dmsg

template <>
struct std::hash<skywire::dmsg::Address> {
    std::size_t operator()(const skywire::dmsg::Address& address) const noexcept {
        // The key's hash is as good as random; the port moves it by an odd constant.
        constexpr std::size_t kOdd = 0x9e37'79b9'7f4a'7c15;
        return std::hash<skywire::crypto::PublicKey>()(address.pk) ^ (address.port * kOdd);
    }
};

template <>
struct fmt::formatter<skywire::dmsg::Address> : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(const skywire::dmsg::Address& address, Context& context) const {
        return fmt::formatter<std::string_view>::format(address.to_string(), context);
    }
};
