#include "crypto/keys.hpp"
#include "framework/values.hpp"
#include "net/address.hpp"

#include <charconv>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

namespace skywire::framework::detail {

namespace {

using Kind = ConfigValue::Kind;

/// What is wrong with a value, and what may have been meant.
struct Fault {
    std::string message;
    std::string suggestion;
};
using Verdict = std::optional<Fault>;

Verdict fault(std::string message, std::string suggestion = {}) {
    return Fault{std::move(message), std::move(suggestion)};
}

bool is_hex_digit(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// Text of the file in a message. What may be a secret in the wrong place is not repeated.
std::string echo(std::string_view text) {
    if (text.size() == crypto::SecretKey::kTextSize &&
        std::all_of(text.begin(), text.end(), is_hex_digit)) {
        return "text of 64 hex digits (a secret key?)";
    }
    const std::size_t at = text.rfind('@');
    const std::size_t scheme = text.find("://");
    if (at != std::string_view::npos && scheme != std::string_view::npos && scheme < at) {
        return quote_peer_text(
            fmt::format("{}://***{}", text.substr(0, scheme), text.substr(at)), 80
        );
    }
    return quote_peer_text(text, 80);
}

std::string what_is(const ConfigValue& value, bool secret) {
    switch (value.kind) {
        case Kind::null:
            return "null";
        case Kind::boolean:
            return value.boolean ? "true" : "false";
        case Kind::number:
            return secret ? "a number" : "the number " + value.text.substr(0, 40);
        case Kind::string:
            return secret ? "a string" : "the string " + echo(value.text);
        case Kind::array:
            return "an array";
        case Kind::object:
            return "an object";
    }
    return "something else";
}

/// What a value of that kind looks like, behind "must be".
std::string wanted(const Field& field, FieldKind kind) {
    switch (kind) {
        case FieldKind::integer:
            return "an integer";
        case FieldKind::duration:
            return "a duration such as \"1m30s\"";
        case FieldKind::public_key:
            return "a public key of 66 hex digits";
        case FieldKind::secret_key:
            return "a secret key of 64 hex digits";
        case FieldKind::address:
            return field.allowed_unix ? "an address such as \"127.0.0.1:9090\" or \"unix:PATH\""
                                      : "an address such as \"127.0.0.1:9090\"";
        case FieldKind::choice:
            return fmt::format("one of {}", fmt::join(field.choices, ", "));
        case FieldKind::log_level:
            return "a log level";
        case FieldKind::one_or_list:
            return fmt::format("{} or a list of them", wanted(field, field.element));
        case FieldKind::boolean:
        case FieldKind::number:
        case FieldKind::string:
        case FieldKind::ip:
        case FieldKind::cidr:
        case FieldKind::url:
        case FieldKind::redis_url:
        case FieldKind::path:
        case FieldKind::list:
        case FieldKind::object:
        case FieldKind::text_or_object:
        case FieldKind::any:
            break;
    }
    return std::string(kind_name(kind));
}

/// "between 1 and 5", "at least 1", "at most 5": of a range with at least one end.
std::string range_text(const Field& field, std::string_view unit) {
    const bool low = field.min > std::numeric_limits<double>::lowest();
    const bool high = field.max < std::numeric_limits<double>::max();
    if (low && high) return fmt::format("between {}{} and {}{}", field.min, unit, field.max, unit);
    return low ? fmt::format("at least {}{}", field.min, unit)
               : fmt::format("at most {}{}", field.max, unit);
}

bool in_range(const Field& field, double value) noexcept {
    return value >= field.min && value <= field.max;
}

Verdict check_number(const Field& field, FieldKind kind, const ConfigValue& value) {
    if (kind == FieldKind::integer) {
        const auto integer = read_integer(value);
        if (!integer && integer.error() == make_error_code(errc::malformed)) {
            return fault("must be an integer, is " + value.text.substr(0, 40));
        }
        if (!integer || !in_range(field, static_cast<double>(*integer))) {
            const bool bounded = field.min > std::numeric_limits<double>::lowest() ||
                                 field.max < std::numeric_limits<double>::max();
            return fault(fmt::format(
                "must be {}, is {}",
                bounded ? range_text(field, "") : "an integer of 64 bits",
                value.text.substr(0, 40)
            ));
        }
        return std::nullopt;
    }
    double number = 0;
    const auto parsed =
        std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
    const std::string shown = value.text.substr(0, 40);
    if (parsed.ec != std::errc()) return fault("is too large or too small for a number: " + shown);
    if (in_range(field, number)) return std::nullopt;
    return fault(fmt::format("must be {}, is {}", range_text(field, ""), shown));
}

Verdict check_duration(const Field& field, const ConfigValue& value) {
    const std::string shown = field.secret                 ? "another"
                              : value.kind == Kind::string ? echo(value.text)
                                                           : value.text.substr(0, 40);
    const auto duration = read_duration(value);
    if (!duration) {
        return fault(fmt::format(
            "must be a duration such as \"1m30s\" or \"250ms\" (units ns, us, ms, s, m, h), is {}",
            shown
        ));
    }
    if (in_range(field, std::chrono::duration<double>(*duration).count())) return std::nullopt;
    return fault(fmt::format("must be {}, is {}", range_text(field, "s"), shown));
}

Verdict check_public_key(std::string_view text) {
    const auto key = crypto::PublicKey::from_text(text);
    if (key) return std::nullopt;
    const bool digits = std::all_of(text.begin(), text.end(), is_hex_digit);
    if (text.size() != crypto::PublicKey::kTextSize && digits) {
        return fault(fmt::format(
            "must be a public key of 66 hex digits, has {}{}",
            text.size(),
            text.size() == crypto::SecretKey::kTextSize ? " (a secret key?)" : ""
        ));
    }
    return fault(fmt::format("is no public key: {}: {}", echo(text), key.error().message()));
}

Verdict check_secret_key(std::string_view text) {
    if (is_unset_key(text)) return std::nullopt;
    const auto key = crypto::SecretKey::from_text(text);
    if (key) return std::nullopt;
    if (text.size() != crypto::SecretKey::kTextSize) {
        return fault(fmt::format(
            "must be a secret key of 64 hex digits, has {} characters (not shown)", text.size()
        ));
    }
    return fault(fmt::format("is no secret key (not shown): {}", key.error().message()));
}

Verdict check_address(const Field& field, std::string_view text) {
    const auto address = net::Address::parse(text);
    if (!address) {
        return fault(fmt::format("cannot be used: {}", address.error().message()));
    }
    if (address->kind != net::Address::Kind::unix_socket) return std::nullopt;
    if (!field.allowed_unix)
        return fault("must be \"host:port\": a unix socket is not possible here");
    // sizeof(sockaddr_un::sun_path), with its closing zero.
    constexpr std::size_t kPathMax = 107;
    if (address->path.size() <= kPathMax) return std::nullopt;
    return fault(fmt::format(
        "is a socket path of {} bytes; at most {} are possible", address->path.size(), kPathMax
    ));
}

Verdict check_cidr(std::string_view text) {
    namespace ip = boost::asio::ip;
    boost::system::error_code address_error;
    boost::system::error_code v4_error;
    boost::system::error_code v6_error;
    const std::string whole(text);
    ip::make_address(whole, address_error);
    ip::make_network_v4(whole, v4_error);
    ip::make_network_v6(whole, v6_error);
    if (!address_error || !v4_error || !v6_error) return std::nullopt;
    return fault("must be an IP network such as \"10.0.0.0/8\", is " + echo(text));
}

Verdict check_url(const Field& field, std::string_view text) {
    static const std::vector<std::string_view> usual{"http", "https", "dmsg"};
    const auto& schemes = field.choices.empty() ? usual : field.choices;
    const std::string scheme =
        trimmed_lower(text.substr(0, std::min(text.find("://"), text.size())));
    if (std::find(schemes.begin(), schemes.end(), scheme) == schemes.end()) {
        return fault(fmt::format(
            "must be a URL that begins with {}://, is {}", fmt::join(schemes, "://, "), echo(text)
        ));
    }
    const auto parts = split_url(text);
    if (!parts) return fault(fmt::format("{}: {}", parts.error().message(), echo(text)));
    // The characters of the rest: RFC 3986.
    if (boost::urls::parse_uri({text.data(), text.size()}).has_error()) {
        return fault(fmt::format("is no URL: {}", echo(text)));
    }
    if (scheme != "dmsg") return std::nullopt;
    const auto key = crypto::PublicKey::from_text_not_null(parts->host);
    if (key) return std::nullopt;
    return fault(
        fmt::format("has no public key as its host: {}: {}", echo(text), key.error().message())
    );
}

Verdict check_choice(const Field& field, std::string_view text) {
    const std::string word = trimmed_lower(text);
    if (std::find(field.choices.begin(), field.choices.end(), word) != field.choices.end()) {
        return std::nullopt;
    }
    const std::string all = fmt::format("{}", fmt::join(field.choices, ", "));
    if (field.secret) return fault(fmt::format("must be one of {}", all));
    return fault(
        fmt::format("must be one of {}, is {}", all, echo(text)), nearest(word, field.choices)
    );
}

/// Rules of text beyond being text; empty text is "unset" for all kinds.
Verdict check_text(const Field& field, FieldKind kind, std::string_view text) {
    if (text.empty()) return std::nullopt;
    switch (kind) {
        case FieldKind::public_key:
            return check_public_key(text);
        case FieldKind::secret_key:
            return check_secret_key(text);
        case FieldKind::address:
            return check_address(field, text);
        case FieldKind::cidr:
            return check_cidr(text);
        case FieldKind::url:
            return check_url(field, text);
        case FieldKind::choice:
            return check_choice(field, text);
        case FieldKind::ip: {
            boost::system::error_code ec;
            boost::asio::ip::make_address(std::string(text), ec);
            if (!ec) return std::nullopt;
            return fault("must be an IP address, is " + echo(text));
        }
        case FieldKind::path:
            if (text.find('\0') == std::string_view::npos) return std::nullopt;
            return fault("is no path: it holds a NUL character");
        case FieldKind::boolean:
        case FieldKind::integer:
        case FieldKind::number:
        case FieldKind::string:
        case FieldKind::duration:
        case FieldKind::redis_url:
        case FieldKind::log_level:
        case FieldKind::list:
        case FieldKind::object:
        case FieldKind::one_or_list:
        case FieldKind::text_or_object:
        case FieldKind::any:
            return std::nullopt;
    }
    return std::nullopt;
}

/// The JSON kind that a scalar has in the file.
bool has_json_kind(FieldKind kind, Kind json) noexcept {
    switch (kind) {
        case FieldKind::boolean:
            return json == Kind::boolean;
        case FieldKind::integer:
        case FieldKind::number:
            return json == Kind::number;
        case FieldKind::duration:
            return json == Kind::string || json == Kind::number;
        case FieldKind::list:
            return json == Kind::array;
        case FieldKind::object:
            return json == Kind::object;
        case FieldKind::one_or_list:
            return true;
        case FieldKind::text_or_object:
            return json == Kind::string || json == Kind::object;
        case FieldKind::any:
            return true;
        case FieldKind::string:
        case FieldKind::public_key:
        case FieldKind::secret_key:
        case FieldKind::address:
        case FieldKind::ip:
        case FieldKind::cidr:
        case FieldKind::url:
        case FieldKind::redis_url:
        case FieldKind::log_level:
        case FieldKind::path:
        case FieldKind::choice:
            return json == Kind::string;
    }
    return false;
}

Verdict check_scalar(const Field& field, FieldKind kind, const ConfigValue& value) {
    if (kind == FieldKind::duration) {
        if (value.kind == Kind::string && value.text.empty()) return std::nullopt;
        return check_duration(field, value);
    }
    if (value.kind == Kind::number) return check_number(field, kind, value);
    if (value.kind == Kind::string) return check_text(field, kind, value.text);
    return std::nullopt;
}

void check_value(
    const Field& field,
    FieldKind kind,
    const ConfigValue& value,
    const std::string& path,
    Reporter& reporter
);

void check_elements(
    const Field& field, const ConfigValue& list, const std::string& path, Reporter& reporter
) {
    for (std::size_t i = 0; i < list.elements.size(); ++i) {
        check_value(
            field, field.element, list.elements[i], fmt::format("{}[{}]", path, i), reporter
        );
    }
}

/// Things that are taken, and yet not what was meant.
void warn_about(
    const Field& field,
    FieldKind kind,
    const ConfigValue& value,
    const std::string& path,
    Reporter& reporter
) {
    if (kind == FieldKind::log_level && !value.text.empty() && !read_level(value.text)) {
        static const std::vector<std::string_view> levels{
            "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic", "off"
        };
        reporter.warning(
            "bad-value",
            value.position,
            fmt::format("\"{}\" is no log level: {}; info is used", path, echo(value.text)),
            nearest(trimmed_lower(value.text), levels)
        );
    }
    if (kind != FieldKind::duration || value.kind != Kind::number) return;
    const auto nanoseconds = read_integer(value);
    if (!nanoseconds || *nanoseconds == 0 || *nanoseconds >= 1'000'000 || *nanoseconds < 0) return;
    reporter.warning(
        "bad-value",
        value.position,
        fmt::format(
            "\"{}\" is {} nanoseconds: a duration without a unit; write \"{}s\" for seconds",
            path,
            field.secret ? "a few" : value.text,
            field.secret ? "N" : value.text
        )
    );
}

void check_value(
    const Field& field,
    FieldKind kind,
    const ConfigValue& value,
    const std::string& path,
    Reporter& reporter
) {
    const bool secret = field.secret || kind == FieldKind::secret_key;
    if (kind == FieldKind::one_or_list) {
        if (value.kind == Kind::array) return check_elements(field, value, path, reporter);
        if (!has_json_kind(field.element, value.kind)) {
            return reporter.error(
                "wrong-kind",
                value.position,
                fmt::format(
                    "\"{}\" must be {}, is {}", path, wanted(field, kind), what_is(value, secret)
                )
            );
        }
        return check_value(field, field.element, value, path, reporter);
    }
    if (!has_json_kind(kind, value.kind)) {
        return reporter.error(
            "wrong-kind",
            value.position,
            fmt::format(
                "\"{}\" must be {}, is {}", path, wanted(field, kind), what_is(value, secret)
            )
        );
    }
    if (kind == FieldKind::list) return check_elements(field, value, path, reporter);
    if (value.kind == Kind::object && kind != FieldKind::any) {
        ObjectRules rules;
        rules.table = &field.members;
        rules.open = field.open;
        rules.path = path + ".";
        return check_object(value, rules, reporter);
    }
    if (auto bad = check_scalar(field, kind, value)) {
        return reporter.error(
            "bad-value",
            value.position,
            fmt::format("\"{}\" {}", path, bad->message),
            std::move(bad->suggestion)
        );
    }
    warn_about(field, kind, value, path, reporter);
}

/// The field a key of the file stands for.
const Field* resolve(const ObjectRules& rules, std::string_view key) {
    for (const FieldTable* table : {rules.table, rules.shared}) {
        if (table == nullptr) continue;
        if (const Field* field = find_field(*table, key)) return field;
    }
    for (const FieldTable* table : {rules.table, rules.shared}) {
        if (table == nullptr) continue;
        for (const Field& field : *table) {
            if (same_key(field.name, key)) return &field;
        }
    }
    return nullptr;
}

void report_unknown(
    const ConfigValue::Member& member, const ObjectRules& rules, Reporter& reporter
) {
    std::vector<std::string_view> names;
    for (const FieldTable* table : {rules.table, rules.shared}) {
        if (table == nullptr) continue;
        for (const Field& field : *table) {
            if (field.legacy.empty()) names.push_back(field.name);
        }
    }
    std::string suggestion = nearest(member.key, names);
    std::string message =
        fmt::format("unknown key {}", quote_peer_text(rules.path + member.key, 80));
    // Short enough to be listed, for keys that resemble none.
    if (suggestion.empty() && names.size() <= 12) {
        std::sort(names.begin(), names.end());
        message += fmt::format("; there are {}", fmt::join(names, ", "));
    }
    if (rules.unknown_warns) {
        reporter.warning(
            "unknown-key", member.position, message + "; it is ignored", std::move(suggestion)
        );
    } else {
        reporter.error("unknown-key", member.position, std::move(message), std::move(suggestion));
    }
}

void check_required(
    const ConfigValue& object, const FieldTable* table, const ObjectRules& rules, Reporter& reporter
) {
    if (table == nullptr) return;
    for (const Field& field : *table) {
        if (!field.required) continue;
        const auto* member = find_member(object, *table, field);
        const bool empty =
            member != nullptr && member->value.kind == Kind::string && member->value.text.empty();
        if (member != nullptr && !empty) continue;
        reporter.error(
            "missing-key",
            empty ? member->value.position : object.position,
            fmt::format("\"{}{}\" is required{}", rules.path, field.name, empty ? " and empty" : "")
        );
    }
}

void warn_about_aliases(
    const ConfigValue& object, const FieldTable* table, const ObjectRules& rules, Reporter& reporter
) {
    if (table == nullptr) return;
    for (const Field& field : *table) {
        if (field.alias_of.empty()) continue;
        const auto* alias = find_member(object, {}, field);
        const auto* main = find_member(object, {}, canonical(*table, field));
        if (alias == nullptr || main == nullptr || alias == main) continue;
        reporter.warning(
            "alias",
            alias->position,
            fmt::format(
                "\"{}{}\" is another name of \"{}\", which is given too and counts",
                rules.path,
                field.name,
                field.alias_of
            ),
            "",
            main->position
        );
    }
}

}  // namespace

void check_object(const ConfigValue& object, const ObjectRules& rules, Reporter& reporter) {
    std::map<const Field*, const ConfigValue::Member*> seen;
    for (const ConfigValue::Member& member : object.members) {
        if (reporter.full()) return;
        const Field* field = resolve(rules, member.key);
        if (field == nullptr) {
            if (!rules.open) report_unknown(member, rules, reporter);
            continue;
        }
        const std::string path = rules.path + std::string(field->name);
        if (member.key != field->name) {
            reporter.warning(
                "key-case",
                member.position,
                fmt::format("key {} is taken for \"{}\"", quote_peer_text(member.key), path)
            );
        }
        const auto [earlier, first] = seen.emplace(field, &member);
        if (!first) {
            reporter.warning(
                "repeated-key",
                member.position,
                fmt::format("\"{}\" occurs twice in one object; the last one counts", path),
                "",
                earlier->second->position
            );
        }
        if (!field->legacy.empty()) {
            reporter.warning(
                "legacy-key",
                member.position,
                fmt::format("\"{}\" is ignored: it {}", path, field->legacy)
            );
            continue;
        }
        if (member.value.kind == Kind::null) continue;
        const Field& target = rules.table != nullptr ? canonical(*rules.table, *field) : *field;
        check_value(target, target.kind, member.value, path, reporter);
    }
    check_required(object, rules.table, rules, reporter);
    check_required(object, rules.shared, rules, reporter);
    warn_about_aliases(object, rules.table, rules, reporter);
}

}  // namespace skywire::framework::detail
