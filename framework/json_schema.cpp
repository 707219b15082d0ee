#include "base/json.hpp"
#include "framework/deployment_config.hpp"
#include "framework/load.hpp"

namespace skywire::framework {

namespace {

constexpr std::string_view kDurationPattern =
    R"(^[+-]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$)";

json::object schema_of(const Field& field, FieldKind kind);

json::object properties_of(const FieldTable& table) {
    json::object properties;
    for (const Field& field : table) {
        json::object schema;
        const Field& target = detail::canonical(table, field);
        if (!field.legacy.empty()) {
            schema["description"] = fmt::format("Accepted and ignored: it {}.", field.legacy);
        } else {
            schema = schema_of(target, target.kind);
            if (!field.alias_of.empty()) {
                schema["description"] = fmt::format("Another name of {}.", field.alias_of);
            } else if (!field.description.empty()) {
                schema["description"] = json::string_view(field.description);
            }
        }
        if (!field.legacy.empty() || !field.alias_of.empty()) schema["deprecated"] = true;
        const bool secret = target.secret || target.kind == FieldKind::secret_key;
        if (!target.default_json.empty() && field.legacy.empty() && !secret) {
            schema["default"] = json::parse(json::string_view(target.default_json));
        }
        properties[json::string_view(field.name)] = std::move(schema);
    }
    return properties;
}

json::array required_of(const FieldTable& table) {
    json::array required;
    for (const Field& field : table) {
        if (field.required) required.emplace_back(json::string_view(field.name));
    }
    return required;
}

json::object object_schema(const FieldTable& table, bool open) {
    json::object schema;
    schema["type"] = "object";
    schema["properties"] = properties_of(table);
    if (!open) schema["additionalProperties"] = false;
    if (auto required = required_of(table); !required.empty())
        schema["required"] = std::move(required);
    return schema;
}

/// A bound as an integer where it is one: 65535, not 6.5535E4.
json::value bound(double value) {
    const auto whole = static_cast<std::int64_t>(value);
    if (static_cast<double>(whole) == value) return whole;
    return value;
}

json::object number_schema(const Field& field, std::string_view type) {
    json::object schema;
    schema["type"] = json::string_view(type);
    if (field.min > std::numeric_limits<double>::lowest()) schema["minimum"] = bound(field.min);
    if (field.max < std::numeric_limits<double>::max()) schema["maximum"] = bound(field.max);
    return schema;
}

json::object text_schema(std::string_view pattern = "") {
    json::object schema;
    schema["type"] = "string";
    if (!pattern.empty()) schema["pattern"] = json::string_view(pattern);
    return schema;
}

json::object either(json::object one, json::object other) {
    json::array both;
    both.emplace_back(std::move(one));
    both.emplace_back(std::move(other));
    json::object schema;
    schema["anyOf"] = std::move(both);
    return schema;
}

json::object choice_schema(const Field& field) {
    json::object schema;
    schema["type"] = "string";
    json::array words;
    for (const std::string_view word : field.choices)
        words.emplace_back(json::string_view(word));
    schema["enum"] = std::move(words);
    return schema;
}

json::object list_schema(const Field& field) {
    json::object schema;
    schema["type"] = "array";
    schema["items"] = schema_of(field, field.element);
    return schema;
}

json::object schema_of(const Field& field, FieldKind kind) {
    switch (kind) {
        case FieldKind::boolean: {
            json::object schema;
            schema["type"] = "boolean";
            return schema;
        }
        case FieldKind::integer:
            return number_schema(field, "integer");
        case FieldKind::number:
            return number_schema(field, "number");
        case FieldKind::string:
        case FieldKind::address:
        case FieldKind::ip:
        case FieldKind::cidr:
        case FieldKind::url:
        case FieldKind::redis_url:
        case FieldKind::log_level:
        case FieldKind::path:
            return text_schema();
        case FieldKind::duration: {
            json::object nanoseconds;
            nanoseconds["type"] = "integer";
            return either(text_schema(kDurationPattern), std::move(nanoseconds));
        }
        case FieldKind::public_key:
            return text_schema("^(0*|[0-9a-fA-F]{66})$");
        case FieldKind::secret_key:
            return text_schema("^(0*|[0-9a-fA-F]{64})$");
        case FieldKind::choice:
            return choice_schema(field);
        case FieldKind::list:
            return list_schema(field);
        case FieldKind::object:
            return object_schema(field.members, field.open);
        case FieldKind::one_or_list:
            return either(schema_of(field, field.element), list_schema(field));
        case FieldKind::text_or_object:
            return either(text_schema(), object_schema(field.members, field.open));
        case FieldKind::any:
            return {};
    }
    return {};
}

json::object block_schema(const ServiceType& type) {
    FieldTable fields = framework_fields();
    for (const Field& field : type.fields) {
        std::erase_if(fields, [&](const Field& shared) { return shared.name == field.name; });
    }
    json::object schema = object_schema(joined(std::move(fields), type.fields), /*open=*/false);
    schema["title"] = json::string_view(type.name);
    schema["description"] = json::string_view(type.summary);
    json::object name;
    name["const"] = json::string_view(type.name);
    schema["properties"].as_object()["type"] = std::move(name);
    return schema;
}

/// "A block whose type is NAME is as $defs/NAME says": editors then report the keys of that type
/// alone, which they do not for a list of alternatives.
json::object when_type(const std::string& name) {
    json::object constant;
    constant["const"] = json::string_view(name);
    json::object properties;
    properties["type"] = std::move(constant);
    json::object condition;
    condition["properties"] = std::move(properties);
    json::object then;
    then["$ref"] = "#/$defs/" + name;
    json::object rule;
    rule["if"] = std::move(condition);
    rule["then"] = std::move(then);
    return rule;
}

json::object services_schema(const ServiceRegistry& registry) {
    json::array names;
    json::array rules;
    for (const auto& [name, type] : registry.types()) {
        names.emplace_back(json::string_view(name));
        rules.emplace_back(when_type(name));
    }
    json::object type;
    type["enum"] = std::move(names);
    json::object properties;
    properties["type"] = std::move(type);
    json::object items;
    items["type"] = "object";
    items["required"] = json::array{"type"};
    items["properties"] = std::move(properties);
    items["allOf"] = std::move(rules);
    json::object services;
    services["type"] = "array";
    services["minItems"] = 1;
    services["description"] =
        json::string_view(find_field(detail::document_fields(), "services")->description);
    services["items"] = std::move(items);
    return services;
}

/// Indented by two spaces: the file is read by people and compared by git.
void write_pretty(std::string& out, const json::value& value, std::size_t indent) {
    const std::string inner(indent + 2, ' ');
    const std::string outer(indent, ' ');
    if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
        out += "{\n";
        for (std::size_t i = 0; const auto& member : *object) {
            out += inner;
            append_json_string(out, {member.key().data(), member.key().size()}, JsonEscape::plain);
            out += ": ";
            write_pretty(out, member.value(), indent + 2);
            out += ++i < object->size() ? ",\n" : "\n";
        }
        out += outer + "}";
        return;
    }
    const auto* array = value.if_array();
    const bool nested =
        array != nullptr && std::any_of(array->begin(), array->end(), [](const auto& element) {
            return element.is_structured();
        });
    if (!nested) {
        if (value.is_double()) {
            out += fmt::format("{}", value.get_double());
        } else {
            out += json::serialize(value);
        }
        return;
    }
    out += "[\n";
    for (std::size_t i = 0; const auto& element : *array) {
        out += inner;
        write_pretty(out, element, indent + 2);
        out += ++i < array->size() ? ",\n" : "\n";
    }
    out += outer + "]";
}

}  // namespace

std::string deployment_json_schema(const ServiceRegistry& registry) {
    json::object definitions;
    for (const auto& [name, type] : registry.types())
        definitions[name] = block_schema(type);
    const Field& supervisor = *find_field(detail::document_fields(), "supervisor");
    json::object supervisor_schema = schema_of(supervisor, supervisor.kind);
    supervisor_schema["description"] = json::string_view(supervisor.description);
    json::object properties;
    properties["services"] = services_schema(registry);
    properties["supervisor"] = std::move(supervisor_schema);

    json::object schema;
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    schema["title"] = "Skywire deployment";
    schema["description"] = "The file that `skywire svc run --config FILE` takes.";
    schema["type"] = "object";
    schema["required"] = json::array{"services"};
    schema["properties"] = std::move(properties);
    schema["$defs"] = std::move(definitions);
    std::string out;
    write_pretty(out, schema, 0);
    return out + "\n";
}

}  // namespace skywire::framework
