#include "services/address_resolver/binding.hpp"

#include "framework/schema.hpp"
#include "http/real_ip.hpp"

#include <algorithm>
#include <limits>

#include <boost/asio/ip/address_v6.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace skywire::resolver {
namespace {

constexpr std::size_t kAddressesMax = 64;
constexpr std::size_t kAddressSizeMax = 64;
constexpr std::size_t kPortSizeMax = 16;
constexpr std::size_t kHashSizeMax = 256;

/// The last member of that name, whatever the case of its letters; null where there is none or it
/// is null.
const json::value* member(const json::object& object, std::string_view name) {
    const json::value* found = nullptr;
    for (const auto& each : object)
        if (framework::same_key(each.key(), name)) found = &each.value();
    return found == nullptr || found->is_null() ? nullptr : found;
}

Result<std::string> text_of(
    const json::object& object, std::string_view name, std::size_t size_max
) {
    const json::value* value = member(object, name);
    if (value == nullptr) return std::string();
    if (!value->is_string()) return fail(errc::malformed, fmt::format("{} is no text", name));
    if (value->get_string().size() > size_max)
        return fail(errc::out_of_range, fmt::format("{} has more than {} bytes", name, size_max));
    return std::string(value->get_string());
}

Result<std::vector<std::string>> texts_of(const json::object& object, std::string_view name) {
    std::vector<std::string> texts;
    const json::value* value = member(object, name);
    if (value == nullptr) return texts;
    const auto* array = value->if_array();
    if (array == nullptr) return fail(errc::malformed, fmt::format("{} is no list", name));
    if (array->size() > kAddressesMax)
        return fail(errc::out_of_range, fmt::format("{}: more than {}", name, kAddressesMax));
    texts.reserve(array->size());
    for (const json::value& each : *array) {
        if (!each.is_string() && !each.is_null())
            return fail(errc::malformed, fmt::format("{} holds what is no text", name));
        texts.emplace_back(each.is_string() ? std::string_view(each.get_string()) : "");
        if (texts.back().size() > kAddressSizeMax) {
            return fail(
                errc::out_of_range, fmt::format("{}: more than {} bytes", name, kAddressSizeMax)
            );
        }
    }
    return texts;
}

/// Puts members of an object one after another.
class ObjectWriter {
 public:
    void text(std::string_view name, std::string_view value) {
        begin(name);
        append_json_string(out_, value, JsonEscape::html);
    }
    void optional_text(std::string_view name, std::string_view value) {
        if (!value.empty()) text(name, value);
    }
    void texts(std::string_view name, const std::vector<std::string>& values) {
        begin(name);
        out_ += '[';
        for (const std::string& value : values) {
            if (out_.back() != '[') out_ += ',';
            append_json_string(out_, value, JsonEscape::html);
        }
        out_ += ']';
    }
    void flag(std::string_view name) {
        begin(name);
        out_ += "true";
    }
    std::string end() && { return std::move(out_ += '}'); }

 private:
    void begin(std::string_view name) {
        if (out_.size() > 1) out_ += ',';
        out_ += '"';
        out_ += name;
        out_ += "\":";
    }

    std::string out_ = "{";
};

std::string write(const Binding& binding, bool with_class) {
    ObjectWriter out;
    out.text("remote_addr", binding.remote_addr);
    out.optional_text("remote_addr_v6", binding.remote_addr_v6);
    out.text("port", binding.port);
    out.texts("addresses", binding.addresses);
    out.optional_text("public_ip", binding.public_ip);
    out.optional_text("public_ip_v6", binding.public_ip_v6);
    out.optional_text("cert_hash", binding.cert_hash);
    if (with_class && binding.held) out.flag("held");
    return std::move(out).end();
}

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return out;
}

Binding begun(const BindRequest& request) {
    Binding binding;
    binding.port = request.port;
    binding.addresses = request.addresses;
    binding.public_ip = request.public_ip;
    binding.public_ip_v6 = request.public_ip_v6;
    binding.cert_hash = request.cert_hash;
    return binding;
}

}  // namespace

std::string_view type_name(Type type) noexcept {
    switch (type) {
        case Type::stcpr:
            return "stcpr";
        case Type::sudph:
            return "sudph";
        case Type::squicr:
            return "squicr";
        case Type::wt:
            return "wt";
    }
    return "";
}

std::optional<Type> type_of(std::string_view name) noexcept {
    for (const Type type : kTypes)
        if (name == type_name(type)) return type;
    if (name == "quic" || name == "squic") return Type::squicr;
    return std::nullopt;
}

std::string BindRequest::to_string() const {
    return fmt::format("{{{} [{}]}}", port, fmt::join(addresses, " "));
}

Result<BindRequest> bind_request_of(const json::value& value) {
    BindRequest request;
    if (value.is_null()) return request;
    const auto* object = value.if_object();
    if (object == nullptr) return fail(errc::malformed, "the body is no object");
    const auto take = [&](std::string_view name, std::size_t size_max, std::string& into) {
        auto text = text_of(*object, name, size_max);
        if (!text) return Result<>(text.error());
        into = std::move(*text);
        return Result<>();
    };
    auto addresses = texts_of(*object, "addresses");
    if (!addresses) return addresses.error();
    request.addresses = std::move(*addresses);
    for (const auto& taken :
         {take("port", kPortSizeMax, request.port),
          take("public_ip", kAddressSizeMax, request.public_ip),
          // Both spellings are on record for visors of 2026.
          take("public_ipv6", kAddressSizeMax, request.public_ip_v6),
          take("cert_hash", kHashSizeMax, request.cert_hash)})
        if (!taken) return taken.error();
    if (!request.public_ip_v6.empty()) return request;
    if (const auto taken = take("public_ip_v6", kAddressSizeMax, request.public_ip_v6); !taken)
        return taken.error();
    return request;
}

Result<BindRequest> parse_bind_request(std::string_view body) {
    const auto value = parse_json(body);
    if (!value) return value.error();
    return bind_request_of(*value);
}

std::string to_answer(const Binding& binding) {
    return write(binding, /*with_class=*/false);
}

std::string to_text(const Binding& binding) {
    return write(binding, /*with_class=*/true);
}

namespace {

Result<Binding> binding_of(const json::value& value) {
    const auto request = bind_request_of(value);
    if (!request) return request.error();
    const auto* object = value.if_object();
    if (object == nullptr) return fail(errc::malformed, "a binding is no object");
    Binding binding = begun(*request);
    auto v4 = text_of(*object, "remote_addr", kAddressSizeMax);
    if (!v4) return v4.error();
    auto v6 = text_of(*object, "remote_addr_v6", kAddressSizeMax);
    if (!v6) return v6.error();
    binding.remote_addr = std::move(*v4);
    binding.remote_addr_v6 = std::move(*v6);
    const json::value* held = member(*object, "held");
    binding.held = held != nullptr && held->is_bool() && held->get_bool();
    return binding;
}

}  // namespace

Result<Binding> parse_binding(std::string_view text) {
    const auto value = parse_json(text);
    if (!value) return value.error();
    return binding_of(*value);
}

std::string to_text(const KeptSession& session) {
    std::string from;
    append_json_string(from, session.from.to_string(), JsonEscape::plain);
    return fmt::format(
        R"({{"from":{},"conversation":{},"binding":{}}})",
        from,
        session.conversation,
        to_text(session.binding)
    );
}

Result<KeptSession> parse_kept_session(std::string_view text) {
    const auto value = parse_json(text);
    if (!value) return value.error();
    const auto* object = value->if_object();
    if (object == nullptr) return fail(errc::malformed, "a kept session is no object");
    const json::value* from = member(*object, "from");
    const json::value* conversation = member(*object, "conversation");
    const json::value* binding = member(*object, "binding");
    const bool complete = from != nullptr && conversation != nullptr && binding != nullptr;
    if (!complete || !from->is_string() || !conversation->is_int64())
        return fail(errc::malformed, "a kept session lacks a member");
    const std::int64_t number = conversation->get_int64();
    if (number < 0 || number > std::numeric_limits<std::uint32_t>::max())
        return fail(errc::malformed, "a kept session has no such conversation");
    auto address = net::Address::parse(from->get_string());
    if (!address) return address.error();
    auto bound = binding_of(*binding);
    if (!bound) return bound.error();
    KeptSession session;
    session.from = std::move(*address);
    session.conversation = static_cast<std::uint32_t>(number);
    session.binding = std::move(*bound);
    return session;
}

bool is_global_ipv6(std::string_view ip) {
    if (!http::is_ip(ip)) return false;
    ErrorCode ec;
    const auto address = asio::ip::make_address_v6(std::string(ip), ec);
    if (ec || address.is_unspecified() || address.is_loopback() || address.is_multicast())
        return false;
    if (address.is_link_local() || address.is_site_local() || address.is_v4_mapped()) return false;
    // fc00::/7 is for private networks.
    return (address.to_bytes()[0] & 0xfeU) != 0xfcU;
}

BindOutcome judge_bind(
    const crypto::PublicKey& key,
    Type type,
    const BindRequest& request,
    const std::string& remote,
    const std::optional<Binding>& stored
) {
    BindOutcome outcome;
    const auto refuse = [&](Refusal refusal, std::string_view why) {
        outcome.refusal = refusal;
        outcome.text = fmt::format(
            "Cannot bind {} to {} ({}). {} in request: {}",
            key,
            remote,
            upper(type_name(type)),
            why,
            request.to_string()
        );
        return outcome;
    };
    Binding& binding = outcome.binding;
    binding = begun(request);
    binding.held = !request.refreshing();
    if (is_global_ipv6(request.public_ip_v6)) binding.remote_addr_v6 = request.public_ip_v6;
    if (http::is_public_ip(remote)) {
        const auto& listed = request.addresses;
        if (std::find(listed.begin(), listed.end(), remote) == listed.end())
            return refuse(Refusal::not_listed, "Remote address not present");
        binding.remote_addr = remote;
    } else {
        if (http::is_public_ip(request.public_ip)) binding.remote_addr = request.public_ip;
        // Visors that say nothing of IPv6 are refused there, as they were in their day.
        if (request.refreshing() && is_global_ipv6(remote)) binding.remote_addr_v6 = remote;
        if (binding.remote_addr.empty() && binding.remote_addr_v6.empty())
            return refuse(Refusal::not_public, "Invalid IP address");
    }
    if (!stored) return outcome;
    if (binding.remote_addr.empty()) binding.remote_addr = stored->remote_addr;
    if (binding.remote_addr_v6.empty()) binding.remote_addr_v6 = stored->remote_addr_v6;
    return outcome;
}

Binding sudph_binding(const BindRequest& request, const std::string& ip, std::uint16_t port) {
    Binding binding = begun(request);
    const std::string seen = net::Address::tcp(ip, port).to_string();
    const std::string claimed = request.public_ip + ":" + request.port;
    if (is_global_ipv6(request.public_ip_v6))
        binding.remote_addr_v6 = "[" + request.public_ip_v6 + "]:" + request.port;
    if (ip.find(':') != std::string::npos) binding.remote_addr_v6 = seen;
    const bool claims = !http::is_public_ip(ip) && http::is_public_ip(request.public_ip);
    binding.remote_addr = claims ? claimed : seen;
    return binding;
}

}  // namespace skywire::resolver
