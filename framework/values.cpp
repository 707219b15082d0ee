#include "framework/values.hpp"

#include <charconv>

namespace skywire::framework::detail {

std::string trimmed_lower(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n";
    const std::size_t first = text.find_first_not_of(kSpace);
    if (first == std::string_view::npos) return "";
    std::string out(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

bool is_unset_key(std::string_view text) noexcept {
    return text.find_first_not_of('0') == std::string_view::npos;
}

namespace {

Result<Duration> read_any_duration(const ConfigValue& value) {
    if (value.kind == ConfigValue::Kind::string) return parse_duration(value.text);
    const auto nanoseconds = read_integer(value);
    if (!nanoseconds) return nanoseconds.error();
    return Duration(*nanoseconds);
}

}  // namespace

Result<Duration> read_duration(const ConfigValue& value) {
    // A deadline is `now` plus this, which must not run over.
    constexpr Duration kLongest = std::chrono::hours(24 * 365 * 100);
    auto duration = read_any_duration(value);
    if (duration && (*duration > kLongest || *duration < -kLongest)) {
        return fail(errc::out_of_range, "is longer than 100 years");
    }
    return duration;
}

Result<std::int64_t> read_integer(const ConfigValue& value) {
    std::int64_t number = 0;
    const char* const end = value.text.data() + value.text.size();
    const auto [stop, code] = std::from_chars(value.text.data(), end, number);
    if (code == std::errc::result_out_of_range) return fail(errc::out_of_range, "is out of range");
    if (code != std::errc() || stop != end) {
        return fail(errc::malformed, "has a fraction or an exponent");
    }
    return number;
}

std::optional<log::Level> read_level(std::string_view text) {
    return log::parse_level(trimmed_lower(text));
}

Result<UrlParts> split_url(std::string_view text) {
    const auto separator = text.find("://");
    if (separator == std::string_view::npos || separator == 0) {
        return fail(errc::malformed, "is no absolute URL");
    }
    UrlParts parts;
    parts.scheme = trimmed_lower(text.substr(0, separator));
    std::string_view rest = text.substr(separator + 3);
    rest = rest.substr(0, rest.find_first_of("/?#"));
    const auto user = rest.rfind('@');
    if (user != std::string_view::npos) rest.remove_prefix(user + 1);
    const bool literal = rest.starts_with('[');
    const auto host_end = literal ? rest.find(']') : rest.find(':');
    if (literal && host_end == std::string_view::npos) {
        return fail(errc::malformed, "has a '[' without a ']' in its host");
    }
    parts.host = rest.substr(literal ? 1 : 0, literal ? host_end - 1 : host_end);
    if (parts.host.empty()) return fail(errc::malformed, "has no host");
    rest.remove_prefix(std::min(rest.size(), literal ? host_end + 1 : host_end));
    if (rest.empty()) return parts;
    rest.remove_prefix(1);
    std::uint16_t port = 0;
    const auto [stop, code] = std::from_chars(rest.data(), rest.data() + rest.size(), port);
    if (code != std::errc() || stop != rest.data() + rest.size()) {
        return fail(errc::out_of_range, "has a port that is not between 0 and 65535");
    }
    parts.port = port;
    return parts;
}

const Field& canonical(const FieldTable& table, const Field& field) {
    if (field.alias_of.empty()) return field;
    const Field* target = find_field(table, field.alias_of);
    return target == nullptr ? field : *target;
}

const ConfigValue::Member* find_member(
    const ConfigValue& object, const FieldTable& table, const Field& field
) {
    const auto last_of = [&](std::string_view name) -> const ConfigValue::Member* {
        for (auto member = object.members.rbegin(); member != object.members.rend(); ++member) {
            if (member->value.kind == ConfigValue::Kind::null) continue;
            if (same_key(member->key, name)) return &*member;
        }
        return nullptr;
    };
    if (const auto* member = last_of(field.name)) return member;
    for (const Field& other : table) {
        if (other.alias_of != field.name) continue;
        if (const auto* member = last_of(other.name)) return member;
    }
    return nullptr;
}

void Reporter::error(
    std::string code, Position position, std::string message, std::string suggestion, Position other
) {
    add(
        {Problem::Severity::error,
         std::move(code),
         position,
         label_,
         std::move(message),
         std::move(suggestion),
         other}
    );
}

void Reporter::warning(
    std::string code, Position position, std::string message, std::string suggestion, Position other
) {
    add(
        {Problem::Severity::warning,
         std::move(code),
         position,
         label_,
         std::move(message),
         std::move(suggestion),
         other}
    );
}

void Reporter::add(Problem problem) {
    if (full()) return;
    if (problems_.size() == kProblemsMax) {
        problem = {
            Problem::Severity::error,
            "too-many",
            problem.position,
            "",
            fmt::format("more than {} problems; the rest is not shown", kProblemsMax),
            "",
            {}
        };
    }
    problems_.push_back(std::move(problem));
}

}  // namespace skywire::framework::detail
