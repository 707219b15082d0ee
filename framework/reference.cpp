#include "framework/deployment_config.hpp"
#include "framework/load.hpp"

namespace skywire::framework {

namespace {

/// A '|' would end the cell.
std::string cell(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '|') out += '\\';
        out += c;
    }
    return out;
}

std::string kind_text(const Field& field) {
    if (field.kind == FieldKind::list) {
        return fmt::format("list, each {}", kind_name(field.element));
    }
    if (field.kind == FieldKind::one_or_list) {
        return fmt::format("{}, or a list of them", kind_name(field.element));
    }
    if (field.kind != FieldKind::choice) return std::string(kind_name(field.kind));
    return fmt::format("`{}`", fmt::join(field.choices, "`, `"));
}

std::string range_text(const Field& field) {
    const bool low = field.min > std::numeric_limits<double>::lowest();
    const bool high = field.max < std::numeric_limits<double>::max();
    const std::string_view unit = field.kind == FieldKind::duration ? "s" : "";
    if (low && high) return fmt::format(" From {}{} to {}{}.", field.min, unit, field.max, unit);
    if (low) return fmt::format(" At least {}{}.", field.min, unit);
    return high ? fmt::format(" At most {}{}.", field.max, unit) : "";
}

void append_row(std::string& out, const Field& field, const std::string& path) {
    const bool secret = field.secret || field.kind == FieldKind::secret_key;
    std::string meaning(field.description);
    if (!field.alias_of.empty()) meaning = fmt::format("Another name of `{}`.", field.alias_of);
    if (!field.legacy.empty()) meaning = fmt::format("Accepted and ignored: it {}.", field.legacy);
    if (field.alias_of.empty() && field.legacy.empty()) meaning += range_text(field);
    if (field.required) meaning += " Required.";
    if (secret) meaning += " Never printed.";
    const bool plain = field.alias_of.empty() && field.legacy.empty();
    out += fmt::format(
        "| `{}{}` | {} | {} | {} |\n",
        path,
        field.name,
        plain ? cell(kind_text(field)) : "",
        plain && !secret && !field.default_json.empty()
            ? fmt::format("`{}`", cell(field.default_json))
            : "",
        cell(meaning)
    );
}

void append_rows(std::string& out, const FieldTable& table, const std::string& path) {
    for (const Field& field : table) {
        append_row(out, field, path);
        const bool many = field.kind == FieldKind::list || field.kind == FieldKind::one_or_list;
        append_rows(out, field.members, fmt::format("{}{}{}.", path, field.name, many ? "[]" : ""));
    }
}

void append_table(std::string& out, const FieldTable& table) {
    out += "| key | kind | default | meaning |\n|---|---|---|---|\n";
    append_rows(out, table, "");
    out += "\n";
}

}  // namespace

std::string deployment_reference(const ServiceRegistry& registry) {
    std::string out =
        "# Deployment file\n\n"
        "`{\"services\": [BLOCK, ...], \"supervisor\": {...}}`. Each block starts one service; "
        "`type` "
        "says which. Durations are text such as `\"1m30s\"` or `\"250ms\"`, or a number of "
        "nanoseconds. An empty string and null are the same as leaving a key out, unless its "
        "meaning "
        "says otherwise.\n\n"
        "## Keys of every block\n\n";
    append_table(out, framework_fields());
    for (const auto& [name, type] : registry.types()) {
        out += fmt::format("## {}\n\n{}\n\n", name, type.summary);
        if (!type.milestones.empty()) {
            out +=
                fmt::format("Milestones: `{}`, `ready`.\n\n", fmt::join(type.milestones, "`, `"));
        }
        if (!type.fields.empty()) append_table(out, type.fields);
    }
    out += "## supervisor\n\nSettings of the process, beside `services`.\n\n";
    append_table(out, supervisor_fields());
    out.pop_back();
    return out;
}

}  // namespace skywire::framework
