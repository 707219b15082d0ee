#pragma once

#include "base/json.hpp"
#include "base/result.hpp"
#include "crypto/keys.hpp"
#include "net/address.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What a visor says of where it can be dialled, and what is kept and told of it. No I/O.
/// spec/services-http.md sections 6.1 and 6.2.
namespace skywire::resolver {

/// The transport types that are resolved.
enum class Type { stcpr, sudph, squicr, wt };

inline constexpr std::array kTypes{Type::stcpr, Type::sudph, Type::squicr, Type::wt};
/// Those that bind over HTTP.
inline constexpr std::array kHttpTypes{Type::stcpr, Type::squicr, Type::wt};

/// "stcpr": in paths, keys of the store and answers.
std::string_view type_name(Type type) noexcept;
/// Also the other names of squicr: quic, squic.
std::optional<Type> type_of(std::string_view name) noexcept;

/// The body of a bind, over HTTP and over UDP.
struct BindRequest {
    /// Text, as it is sent.
    std::string port;
    std::vector<std::string> addresses;
    /// Of visors of 2026: their address as others see it.
    std::string public_ip;
    std::string public_ip_v6;
    /// Of type wt.
    std::string cert_hash;

    /// Sent by a visor that binds again and again.
    bool refreshing() const noexcept { return !public_ip.empty() || !public_ip_v6.empty(); }

    /// "{7777 [203.0.113.7 10.0.0.4]}": how the refusals print it.
    std::string to_string() const;
};

/// Reads as the network's decoder does: any order and letter case of members, unknown ones and
/// nulls passed over. errc::malformed: not such an object. errc::out_of_range: more than 64
/// addresses, or a text that no address, port or hash has the length of.
Result<BindRequest> parse_bind_request(std::string_view body);
Result<BindRequest> bind_request_of(const json::value& value);

/// Where a visor can be dialled: the reference's VisorData.
struct Binding {
    /// stcpr, squicr, wt: a bare IP. sudph: ip:port as seen from outside.
    std::string remote_addr;
    std::string remote_addr_v6;
    std::string port;
    std::vector<std::string> addresses;
    std::string public_ip;
    std::string public_ip_v6;
    std::string cert_hash;
    /// Ends with its owner, not by age: spec/services-http.md section 13 item 3. Ours.
    bool held = false;

    bool operator==(const Binding&) const = default;
};

/// What resolve answers: everything but `held`.
std::string to_answer(const Binding& binding);

/// What is stored; programs of the network pass over `held`.
std::string to_text(const Binding& binding);
/// errc::malformed.
Result<Binding> parse_binding(std::string_view text);

/// A visor's UDP session with what it has bound, as it is kept for the time after a restart: visors
/// of 2024 bind once and then go on in the same conversation, whoever listens. Ours.
struct KeptSession {
    /// Where the visor's datagrams come from.
    net::Address from;
    std::uint32_t conversation = 0;
    Binding binding;

    bool operator==(const KeptSession&) const = default;
};

/// {"from":"203.0.113.7:45890","conversation":7,"binding":{...}}
std::string to_text(const KeptSession& session);
/// errc::malformed.
Result<KeptSession> parse_kept_session(std::string_view text);

/// Why a bind over HTTP is refused.
enum class Refusal { not_public, not_listed };

struct BindOutcome {
    /// Nothing: the binding is good.
    std::optional<Refusal> refusal;
    /// The sentence that the visor gets.
    std::string text;
    Binding binding;
};

/// Judges a bind over HTTP. `remote` is the caller's address without a port. The address of the
/// other family that is stored is kept.
BindOutcome judge_bind(
    const crypto::PublicKey& key,
    Type type,
    const BindRequest& request,
    const std::string& remote,
    const std::optional<Binding>& stored
);

/// The binding of a visor whose datagrams come from `ip`:`port`. A source that is not public gives
/// way to the public address that the visor claims.
Binding sudph_binding(const BindRequest& request, const std::string& ip, std::uint16_t port);

/// A unicast address of the whole internet: no loopback, link-local, unique local one.
bool is_global_ipv6(std::string_view ip);

}  // namespace skywire::resolver
