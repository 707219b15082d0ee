#include "services/transport_setup/request.hpp"

#include "base/json.hpp"
#include "transport/entry.hpp"

#include <functional>
#include <initializer_list>
#include <optional>
#include <utility>

#include <boost/json/stream_parser.hpp>
#include <fmt/format.h>

namespace skywire::transport_setup {
namespace {

constexpr std::size_t kDepthMax = 32;
constexpr std::string_view kAddType = "TransportRequest";
constexpr std::string_view kRemoveType = "UUIDRequest";

Error refusal(std::string text) {
    return fail(errc::malformed, std::move(text));
}

bool same_name(std::string_view a, std::string_view lower) {
    if (a.size() != lower.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] + 32) : a[i];
        if (c != lower[i]) return false;
    }
    return true;
}

/// The first JSON value of a body, with the network's sentences for what is none.
Result<json::value> first_value(std::string_view body) {
    json::parse_options options;
    options.max_depth = kDepthMax;
    json::stream_parser parser(json::storage_ptr(), options);
    boost::system::error_code failed;
    parser.write_some(body.data(), body.size(), failed);
    if (!failed && !parser.done()) parser.finish(failed);
    if (!failed && parser.done()) return parser.release();
    if (failed == json::error::incomplete) {
        const bool blank = body.find_first_not_of(" \t\r\n") == std::string_view::npos;
        return refusal(blank ? "EOF" : "unexpected EOF");
    }
    const auto parsed = transport::parse_body(body);
    return refusal(parsed ? std::string("invalid JSON") : parsed.error().message());
}

/// Reads members one after another; the network's decoder goes on after an unknown member or one of
/// the wrong kind and tells the first such failure, and stops at a text that it cannot read.
class Members {
 public:
    Members(const json::value& value, std::string_view type) : value_(value), type_(type) {}

    struct Member {
        std::string_view name;
        /// Reads a text.
        std::function<Result<>(std::string_view)> read;
        std::string_view go_type;
    };

    Result<> read(std::initializer_list<Member> members) {
        if (value_.is_null()) return {};
        if (!value_.is_object()) {
            return refusal(fmt::format(
                "json: cannot unmarshal {} into Go value of type api.{}",
                transport::kind_name(value_),
                type_
            ));
        }
        for (const auto& [name, value] : value_.get_object()) {
            if (auto done = read_one(members, name, value); !done) return done;
        }
        if (first_) return *first_;
        return {};
    }

 private:
    Result<> read_one(
        std::initializer_list<Member> members, std::string_view name, const json::value& value
    ) {
        for (const Member& member : members) {
            if (!same_name(name, member.name)) continue;
            if (value.is_null()) return {};
            if (value.is_string()) return member.read(value.get_string());
            remember(fmt::format(
                "json: cannot unmarshal {} into Go struct field {}.{} of type {}",
                transport::kind_name(value),
                type_,
                member.name,
                member.go_type
            ));
            return {};
        }
        std::string text = "json: unknown field ";
        append_json_string(text, name.substr(0, 128), JsonEscape::plain);
        remember(std::move(text));
        return {};
    }

    void remember(std::string text) {
        if (!first_) first_ = refusal(std::move(text));
    }

    const json::value& value_;
    std::string_view type_;
    std::optional<Error> first_;
};

/// Into a key or an id.
template <class T>
std::function<Result<>(std::string_view)> into(T& target) {
    return [&target](std::string_view text) -> Result<> {
        auto read = T::from_text(text);
        if (!read) return refusal(read.error().message());
        target = *read;
        return {};
    };
}

std::function<Result<>(std::string_view)> into(std::string& target) {
    return [&target](std::string_view text) -> Result<> {
        target = text;
        return {};
    };
}

/// All of them are required: one line for each that is not there.
Result<> check_present(
    std::string_view type, std::initializer_list<std::pair<std::string_view, bool>> present
) {
    std::string text;
    for (const auto& [name, there] : present) {
        if (there) continue;
        text += fmt::format(
            "{}Key: '{}.{}' Error:Field validation for '{}' failed on the 'required' tag",
            text.empty() ? "" : "\n",
            type,
            name,
            name
        );
    }
    if (text.empty()) return {};
    return refusal(std::move(text));
}

}  // namespace

Result<AddRequest> read_add(std::string_view body) {
    const auto value = first_value(body);
    if (!value) return value.error();
    AddRequest request;
    Members members(*value, kAddType);
    const auto read = members.read({
        {"from", into(request.from), "cipher.PubKey"},
        {"to", into(request.to), "cipher.PubKey"},
        {"type", into(request.type), "string"},
    });
    if (!read) return read.error();
    const auto present = check_present(
        kAddType,
        {{"From", !request.from.is_null()},
         {"To", !request.to.is_null()},
         {"Type", !request.type.empty()}}
    );
    if (!present) return present.error();
    if (request.type.size() > transport::kTypeSizeMax)
        return refusal("the type of the transport is too long");
    return request;
}

Result<RemoveRequest> read_remove(std::string_view body) {
    const auto value = first_value(body);
    if (!value) return value.error();
    RemoveRequest request;
    Members members(*value, kRemoveType);
    const auto read = members.read({
        {"from", into(request.from), "cipher.PubKey"},
        {"id", into(request.id), "uuid.UUID"},
    });
    if (!read) return read.error();
    const auto present = check_present(
        kRemoveType,
        {{"From", !request.from.is_null()}, {"ID", request.id != router::TransportId()}}
    );
    if (!present) return present.error();
    return request;
}

std::string to_json(const router::TransportResponse& transport) {
    std::string out = fmt::format(
        R"({{"ID":"{}","Local":"{}","Remote":"{}","Type":)",
        transport.id.to_text(),
        transport.local,
        transport.remote
    );
    append_json_string(out, transport.type, JsonEscape::html);
    return out + "}";
}

std::string to_json(const router::TransportResponses& transports) {
    std::string out = "[";
    for (const auto& transport : transports.transports) {
        if (out.size() > 1) out += ',';
        out += to_json(transport);
    }
    return out + "]";
}

}  // namespace skywire::transport_setup
