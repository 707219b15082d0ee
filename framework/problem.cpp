#include "framework/problem.hpp"

#include "base/json.hpp"

namespace skywire::framework {

namespace {

/// Words longer than this are not compared: no key of ours is half as long.
constexpr std::size_t kWordMax = 64;

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Letters of another case count as equal; two neighbours exchanged count as one edit.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i)
        d[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j)
        d[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t change = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
            const bool exchanged = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                                   lower(a[i - 2]) == lower(b[j - 1]);
            if (exchanged) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a.size()][b.size()];
}

std::string_view severity_name(Problem::Severity severity) noexcept {
    switch (severity) {
        case Problem::Severity::warning:
            return "warning";
        case Problem::Severity::error:
            return "error";
    }
    return "error";
}

void append_member(std::string& out, std::string_view key, std::string_view text) {
    out += fmt::format(",\"{}\":", key);
    append_json_string(out, text, JsonEscape::plain);
}

}  // namespace

std::string Problem::to_string(std::string_view deployment_file) const {
    const auto place = [&](const std::string& named, Position at) {
        std::string text = named.empty() ? std::string(deployment_file) : named;
        if (at.line != 0) text += fmt::format(":{}:{}", at.line, at.column);
        return text;
    };
    std::string out = place(file, position);
    out += fmt::format(": {}: ", severity_name(severity));
    if (!label.empty()) out += label + ": ";
    out += message;
    if (!suggestion.empty()) out += fmt::format(" (did you mean \"{}\"?)", suggestion);
    if (other.line != 0) out += fmt::format(" (see {})", place(other_file, other));
    return out;
}

std::string Problem::to_json(std::string_view deployment_file) const {
    const std::string_view here = file.empty() ? deployment_file : file;
    std::string out = "{\"file\":";
    append_json_string(out, here, JsonEscape::plain);
    const auto append_position = [&](std::string_view prefix, Position at) {
        if (at.line == 0) return;
        out += fmt::format(",\"{}line\":{},\"{}column\":{}", prefix, at.line, prefix, at.column);
    };
    append_position("", position);
    append_member(out, "severity", severity_name(severity));
    append_member(out, "code", code);
    if (!label.empty()) append_member(out, "label", label);
    append_member(out, "message", message);
    if (!suggestion.empty()) append_member(out, "suggestion", suggestion);
    append_position("other_", other);
    const std::string_view there = other_file.empty() ? deployment_file : other_file;
    if (other.line != 0 && there != here) append_member(out, "other_file", there);
    return out + "}";
}

bool has_errors(const Problems& problems) noexcept {
    return std::any_of(problems.begin(), problems.end(), [](const Problem& problem) {
        return problem.severity == Problem::Severity::error;
    });
}

std::string nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
    if (word.empty() || word.size() > kWordMax) return "";
    const std::size_t limit = std::max<std::size_t>(2, word.size() / 3);
    std::string_view best;
    std::size_t best_distance = limit + 1;
    for (const std::string_view candidate : candidates) {
        if (candidate.empty() || candidate.size() > kWordMax) continue;
        const std::size_t distance = edit_distance(word, candidate);
        // Half of a short word changed is another word, not a slip.
        if (distance * 2 > std::max(word.size(), candidate.size())) continue;
        if (distance >= best_distance) continue;
        best = candidate;
        best_distance = distance;
    }
    return std::string(best);
}

}  // namespace skywire::framework
